package runner

import (
	"strings"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxResult bounds a result, in bytes: a message to the server has at most 4 MiB, and what goes around the result needs room too. A
// result that does not fit would end each session that it is sent on, for good.
const maxResult = 3 << 20

// fit leaves out the largest parts of a result that has more than most bytes, those first that are the least missed, and says which. What
// always stays is bounded by the bounds of a plan, of checks and of evidence.
func fit(res *actionv1.TaskResult, most int) {
	var left []string
	for _, part := range []struct {
		name string
		drop func()
	}{
		{"the output", func() { res.Output, res.OutputTruncated = "", true }},
		{"the states of what was put back", func() { dropUndoneStates(res) }},
		{"the states around the effects", func() { dropStates(res) }},
		{"the certificates", func() { res.Certificates = nil }},
		{"the findings", func() { res.Findings = nil }},
	} {
		if proto.Size(res) <= most {
			break
		}
		part.drop()
		left = append(left, part.name)
	}
	if len(left) > 0 {
		res.Evidence = append(res.Evidence, &actionv1.Evidence{
			Name: "result", Value: "it was too large for a message; left out are " + strings.Join(left, ", "),
		})
	}
}

func dropUndoneStates(res *actionv1.TaskResult) {
	for i, u := range res.GetUndone() {
		u = proto.CloneOf(u)
		u.State = nil
		res.Undone[i] = u
	}
}

// dropStates leaves the journal's own records as they are.
func dropStates(res *actionv1.TaskResult) {
	for i, e := range res.GetEffects() {
		e = proto.CloneOf(e)
		e.Before, e.After = nil, nil
		res.Effects[i] = e
	}
}
