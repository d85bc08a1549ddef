package rollout

import (
	"fmt"
	"regexp"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Bounds of what may be asked for.
const (
	maxWaves = 20
	maxSoak  = 24 * time.Hour
)

// labelKey is what keys of labels are made of.
var labelKey = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

func bad(field, format string, args ...any) *refusal.Error {
	return refusal.New(refusal.Invalid, "BAD_ROLLOUT", "rollout: "+format, args...).At("spec.rollout." + field)
}

func check(r *fleetv1.Rollout) error {
	if err := checkWaves(r.GetWaves()); err != nil {
		return err
	}
	for _, a := range []struct {
		amount       *fleetv1.Amount
		field, words string
	}{
		{r.GetMaxConcurrent(), "max_concurrent", "how many run at once"},
		{r.GetMaxConcurrentPerSite(), "max_concurrent_per_site", "how many run at once on a site"},
		{r.GetMaxErrors(), "max_errors", "how many failures are too many"},
	} {
		if a.amount == nil {
			continue
		}
		if err := checkAmount(a.amount, a.field, a.words); err != nil {
			return err
		}
	}
	if err := checkFloor(r.GetFloor()); err != nil {
		return err
	}
	return checkRest(r)
}

func checkWaves(waves []*fleetv1.Amount) error {
	if len(waves) > maxWaves {
		return bad("waves", "%d waves are given, at most %d are allowed", len(waves), maxWaves).Then("give fewer")
	}
	for i, w := range waves {
		field := fmt.Sprintf("waves[%d]", i)
		if err := checkAmount(w, field, fmt.Sprintf("wave %d", i+1)); err != nil {
			return err
		}
		if i > 0 && shrinks(waves[i-1], w) {
			return bad(field, "wave %d (%s) reaches no more than wave %d (%s)", i+1, Words(w), i, Words(waves[i-1])).
				Then("each wave counts those before it too: give waves that grow, such as 1,5%%,25%%,100%%")
		}
	}
	return nil
}

// shrinks reports whether b is no more than a whatever the number of targets is. A number and a share can be told apart only
// then, and a wave that turns out not to grow is left out.
func shrinks(a, b *fleetv1.Amount) bool {
	return b.GetCount() > 0 && b.GetCount() <= a.GetCount() || b.GetPercent() > 0 && b.GetPercent() <= a.GetPercent() ||
		a.GetPercent() == 100
}

func checkAmount(a *fleetv1.Amount, field, words string) error {
	switch a := a.GetAmount().(type) {
	case *fleetv1.Amount_Count:
		if a.Count > 0 {
			return nil
		}
	case *fleetv1.Amount_Percent:
		if a.Percent >= 1 && a.Percent <= 100 {
			return nil
		}
	}
	return bad(field, "%s: %s is neither a number from 1 nor a share from 1%% to 100%%", words, Words(a)).Then("give one such as 2 or 10%%")
}

func checkFloor(f *fleetv1.Floor) error {
	switch {
	case f == nil:
		return nil
	case !labelKey.MatchString(f.GetLabel()):
		return bad("floor.label", "floor: its label is no key of a label").
			Then("name a label that says which terminals stand in for each other, such as zone")
	case f.GetWorking() == 0:
		return bad("floor.working", "floor: 0 terminals are to stay working").Then("give at least 1, or no floor")
	}
	return nil
}

func checkRest(r *fleetv1.Rollout) error {
	if d := r.GetSoak(); d != nil && (!d.IsValid() || d.AsDuration() < 0 || d.AsDuration() > maxSoak) {
		return bad("soak", "soak: is %s, want 0s to 24h", d.AsDuration()).Then("give a time such as 10m")
	}
	if _, known := fleetv1.LimitAction_name[int32(r.GetOnLimit())]; !known {
		return bad("on_limit", "on_limit: %d is not known", r.GetOnLimit()).Then("give pause, stop or continue")
	}
	return nil
}

// Words is an amount as people write it: "2", "10%".
func Words(a *fleetv1.Amount) string {
	switch a := a.GetAmount().(type) {
	case *fleetv1.Amount_Count:
		return fmt.Sprint(a.Count)
	case *fleetv1.Amount_Percent:
		return fmt.Sprintf("%d%%", a.Percent)
	default:
		return "nothing"
	}
}
