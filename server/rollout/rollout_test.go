package rollout_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/rollout"
)

func plan(t *testing.T, asked *fleetv1.Rollout, servable int, careful bool) *rollout.Plan {
	t.Helper()
	r, err := rollout.Resolve(asked, servable, careful)
	if err != nil {
		t.Fatal(err)
	}
	return rollout.NewPlan(r, servable)
}

func waves(all ...*fleetv1.Amount) *fleetv1.Rollout { return &fleetv1.Rollout{Waves: all} }

func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		servable   int
		reach      []int
		concurrent int
		errors     []int
	}{
		{1, []int{1}, 1, []int{1}},
		{5, []int{1, 5}, 5, []int{1, 1}},
		{6, []int{1, 6}, 1, []int{1, 2}},
		{1000, []int{1, 1000}, 100, []int{1, 200}},
		{1001, []int{1, 1001}, 101, []int{1, 201}},
	} {
		p := plan(t, nil, c.servable, true)
		if !slices.Equal(p.Reach, c.reach) || p.MaxConcurrent != c.concurrent || p.MaxConsecutive() != 3 {
			t.Errorf("%d targets: reach %v, %d at once, %d in a row; want %v, %d, 3", c.servable, p.Reach, p.MaxConcurrent, p.MaxConsecutive(), c.reach, c.concurrent)
		}
		for i, want := range c.errors {
			if got := p.MaxErrors(i + 1); got != want {
				t.Errorf("%d targets, wave %d: %d failures are the limit, want %d", c.servable, i+1, got, want)
			}
		}
		if p.OnLimit() != fleetv1.LimitAction_LIMIT_ACTION_PAUSE {
			t.Errorf("%d targets: on a limit %s, want a pause", c.servable, p.OnLimit())
		}
	}
}

// What changes nothing goes to all at once, unless something else was asked for.
func TestNoDefaultsForWhatChangesNothing(t *testing.T) {
	p := plan(t, nil, 1000, false)
	if !slices.Equal(p.Reach, []int{1000}) || p.MaxConcurrent != 0 || p.AtLimit(1, 1000, 1000) || p.Floor() != nil {
		t.Errorf("a dry run over 1000: reach %v, %d at once, stops at failures: %t; want all at once and no limits", p.Reach, p.MaxConcurrent, p.AtLimit(1, 1000, 1000))
	}
	p = plan(t, &fleetv1.Rollout{MaxConcurrent: rollout.Count(7), MaxErrors: rollout.Count(2)}, 1000, false)
	if p.MaxConcurrent != 7 || !p.AtLimit(1, 2, 0) || p.AtLimit(1, 1, 1) {
		t.Errorf("a dry run with limits of its own: %d at once, limit at 2: %t, at 1: %t; want what was given", p.MaxConcurrent, p.AtLimit(1, 2, 0), p.AtLimit(1, 1, 1))
	}
}

func TestReach(t *testing.T) {
	usual := waves(rollout.Count(1), rollout.Percent(5), rollout.Percent(25), rollout.Percent(100))
	for _, c := range []struct {
		asked    *fleetv1.Rollout
		servable int
		want     []int
	}{
		{usual, 1000, []int{1, 50, 250, 1000}},
		{usual, 21, []int{1, 2, 6, 21}},
		// 5 % of 10 is the canary again.
		{usual, 10, []int{1, 3, 10}},
		{usual, 1, []int{1}},
		{waves(rollout.Percent(100)), 10, []int{10}},
		{waves(rollout.Count(20)), 10, []int{10}},
		// All is added where the last wave is not all.
		{waves(rollout.Count(2)), 10, []int{2, 10}},
		{waves(rollout.Count(5), rollout.Percent(10)), 10, []int{5, 10}},
		{usual, 0, []int{0}},
	} {
		if got := plan(t, c.asked, c.servable, true).Reach; !slices.Equal(got, c.want) {
			t.Errorf("%s over %d: reach %v, want %v", rollout.String(c.asked), c.servable, got, c.want)
		}
	}
}

func TestWhatMakesNoSense(t *testing.T) {
	for name, c := range map[string]struct {
		asked *fleetv1.Rollout
		field string
		says  string
	}{
		"numbers that shrink": {waves(rollout.Count(5), rollout.Count(5)), "waves[1]", "wave 2 (5) reaches no more than wave 1 (5)"},
		"shares that shrink":  {waves(rollout.Percent(50), rollout.Percent(5)), "waves[1]", "give waves that grow, such as 1,5%,25%,100%"},
		"more than all":       {waves(rollout.Percent(100), rollout.Count(5)), "waves[1]", "no more than wave 1 (100%)"},
		"an empty wave":       {waves(rollout.Count(0)), "waves[0]", "wave 1: 0 is neither"},
		"an unset wave":       {waves(&fleetv1.Amount{}), "waves[0]", "wave 1: nothing is neither"},
		"too many waves":      {waves(slices.Repeat([]*fleetv1.Amount{rollout.Count(1)}, 21)...), "waves", "at most 20"},
		"101 %":               {&fleetv1.Rollout{MaxConcurrent: rollout.Percent(101)}, "max_concurrent", "101% is neither"},
		"0 % per site":        {&fleetv1.Rollout{MaxConcurrentPerSite: rollout.Percent(0)}, "max_concurrent_per_site", "0% is neither"},
		"no errors":           {&fleetv1.Rollout{MaxErrors: rollout.Count(0)}, "max_errors", "from 1"},
		"a floor of nothing":  {&fleetv1.Rollout{Floor: &fleetv1.Floor{Label: "zone"}}, "floor.working", "at least 1"},
		"a floor of no label": {&fleetv1.Rollout{Floor: &fleetv1.Floor{Label: "Zone 1", Working: 1}}, "floor.label", "such as zone"},
		"a long soak":         {&fleetv1.Rollout{Soak: durationpb.New(25 * time.Hour)}, "soak", "want 0s to 24h"},
		"a negative soak":     {&fleetv1.Rollout{Soak: durationpb.New(-time.Second)}, "soak", "want 0s to 24h"},
		"an unknown action":   {&fleetv1.Rollout{OnLimit: 99}, "on_limit", "pause, stop or continue"},
	} {
		_, err := rollout.Resolve(c.asked, 10, false)
		var no *refusal.Error
		if !errors.As(err, &no) || no.Reason != "BAD_ROLLOUT" || no.Field != "spec.rollout."+c.field || !strings.Contains(no.Error(), c.says) || no.Next == "" {
			t.Errorf("%s: %v (%#v), want BAD_ROLLOUT at %s that says %q and what to do", name, err, no, c.field, c.says)
		}
	}
}

// Whatever is asked for: waves grow, the last is all, and what is resolved stays as it is when it is resolved again.
func TestEveryPlanGrowsToAll(t *testing.T) {
	amount := rapid.Custom(func(t *rapid.T) *fleetv1.Amount {
		if rapid.Bool().Draw(t, "share") {
			return rollout.Percent(rapid.Uint32Range(1, 100).Draw(t, "percent"))
		}
		return rollout.Count(rapid.Uint32Range(1, 30).Draw(t, "count"))
	})
	rapid.Check(t, func(t *rapid.T) {
		servable := rapid.IntRange(0, 40).Draw(t, "servable")
		asked := waves(rapid.SliceOfN(amount, 0, 5).Draw(t, "waves")...)
		r, err := rollout.Resolve(asked, servable, true)
		if err != nil {
			t.Skip()
		}
		p := rollout.NewPlan(r, servable)
		if last := p.Reach[len(p.Reach)-1]; last != servable {
			t.Fatalf("the last wave reaches %d of %d", last, servable)
		}
		for i := 1; i < len(p.Reach); i++ {
			if p.Reach[i] <= p.Reach[i-1] {
				t.Fatalf("reach %v does not grow", p.Reach)
			}
		}
		again, err := rollout.Resolve(r, servable, true)
		if err != nil || rollout.String(again) != rollout.String(r) {
			t.Fatalf("resolved again: %v, %v; want %v", again, err, r)
		}
	})
}
