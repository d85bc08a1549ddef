package cli

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// wavesWord writes what waves reach: "wave 1: 1 terminal, wave 2: up to 10, wave 3: all 40".
func wavesWord(reach []uint32) string {
	if len(reach) == 0 {
		return ""
	}
	last := reach[len(reach)-1]
	if len(reach) == 1 {
		return "all " + output.Count(last, "terminal") + " in one wave"
	}
	parts := make([]string, 0, len(reach))
	for i, n := range reach {
		text := "up to " + number(n)
		switch {
		case i == 0:
			text = output.Count(n, "terminal")
		case i == len(reach)-1:
			text = "all " + number(n)
		}
		parts = append(parts, "wave "+number(uint32(i+1))+": "+text)
	}
	return strings.Join(parts, ", ")
}

// paceWord writes how many are worked on at once; "" when nothing bounds it.
func paceWord(r *fleetv1.Rollout, p *fleetv1.RolloutProgress) string {
	var parts []string
	if n := p.GetMaxConcurrent(); n > 0 {
		parts = append(parts, "at most "+number(n)+" at once")
	} else if text := amountWord(r.GetMaxConcurrent()); text != "" {
		parts = append(parts, "at most "+text+" at once")
	}
	if text := amountWord(r.GetMaxConcurrentPerSite()); text != "" {
		parts = append(parts, "at most "+text+" at once on one site")
	}
	return strings.Join(parts, ", ")
}

// limitsWord writes what happens at which number of failures: "pauses at 20% failed or 3 in a row".
func limitsWord(r *fleetv1.Rollout) string {
	var at []string
	if text := amountWord(r.GetMaxErrors()); text != "" {
		at = append(at, text+" failed")
	}
	if n := r.GetMaxConsecutive(); n > 0 {
		at = append(at, number(n)+" in a row")
	}
	if len(at) == 0 {
		return ""
	}
	switch r.GetOnLimit() {
	case fleetv1.LimitAction_LIMIT_ACTION_CONTINUE:
		return "goes on whatever fails"
	case fleetv1.LimitAction_LIMIT_ACTION_STOP:
		return "stops for good at " + strings.Join(at, " or ")
	default:
		return "pauses at " + strings.Join(at, " or ")
	}
}

// careWord writes what else a rollout minds: soak and floor.
func careWord(r *fleetv1.Rollout) string {
	var parts []string
	if d := r.GetSoak().AsDuration(); d > 0 {
		parts = append(parts, "watches their health for "+output.Duration(d)+" after each wave")
	}
	if f := r.GetFloor(); f != nil {
		parts = append(parts, "keeps "+output.Count(f.GetWorking(), "user terminal")+" of each "+f.GetLabel()+" working")
	}
	return strings.Join(parts, "; ")
}

// rolloutWords are a rollout's spread, limits and what else it minds. On a single terminal there is nothing to spread and nothing to
// stop.
func rolloutWords(r *fleetv1.Rollout, p *fleetv1.RolloutProgress) []string {
	if reach := p.GetReach(); len(reach) == 1 && reach[0] == 1 {
		return []string{careWord(r)}
	}
	return []string{joinWords(", ", wavesWord(p.GetReach()), paceWord(r, p)), limitsWord(r), careWord(r)}
}

// rolloutWord is all of a rollout in one line.
func rolloutWord(r *fleetv1.Rollout, p *fleetv1.RolloutProgress) string {
	return joinWords("; ", rolloutWords(r, p)...)
}

// failuresWord writes what counts against the limits: "1 of 8 failures, 1 of 3 in a row".
func failuresWord(p *fleetv1.RolloutProgress) string {
	if p.GetMaxErrors() == 0 && p.GetMaxConsecutive() == 0 {
		return ""
	}
	return "failures " + number(p.GetErrors()) + " of " + number(p.GetMaxErrors()) +
		", in a row " + number(p.GetConsecutive()) + " of " + number(p.GetMaxConsecutive())
}

// waveWord writes how far a rollout is: "wave 2 of 3 (up to 10 terminals)"; "" when there is one wave only.
func waveWord(p *fleetv1.RolloutProgress) string {
	n, reach := int(p.GetWave()), p.GetReach()
	if len(reach) < 2 || n < 1 || n > len(reach) {
		return ""
	}
	size := output.Count(reach[n-1], "terminal")
	switch n {
	case 1:
	case len(reach):
		size = "all " + size
	default:
		size = "up to " + size
	}
	return "wave " + number(p.GetWave()) + " of " + number(uint32(len(reach))) + " (" + size + ")"
}

// soakWord writes that a wave is watched and who is not well; "" when none is.
func soakWord(p *fleetv1.RolloutProgress) string {
	if p.GetSoakUntil() == nil {
		return ""
	}
	text := "the health of wave " + number(p.GetWave()) + " is watched until " + output.UTC(p.GetSoakUntil())
	if len(p.GetSick()) > 0 {
		text += "; offline or unhealthy: " + someNames(p.GetSick())
	}
	return text
}

// startsWord writes the times that bound a job's start.
func startsWord(notBefore *timestamppb.Timestamp) string {
	if notBefore == nil {
		return ""
	}
	return "starts nothing before " + momentWord(notBefore, time.Local)
}
