package sdktest

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// What the agent allows of a question.
const (
	maxPrompt    = 500
	leastConfirm = 10 * time.Second
	mostConfirm  = 24 * time.Hour
)

// person answers where Machine.Answers has nothing.
const person = "ada"

// confirm asks the machine's people and returns the record.
func (m *Machine) confirm(ctx context.Context, id string, e *actionv1.Effect) (*actionv1.RecordedEffect, error) {
	answer := &actionv1.Confirmation{Confirmed: true, By: person}
	if scripted, ok := m.Answers[id]; ok {
		answer = proto.CloneOf(scripted)
	}
	if reason := m.Fail[id]; reason != "" {
		answer = &actionv1.Confirmation{By: person, Note: reason}
	}
	if answer.GetBy() == "" {
		answer.Confirmed = false
		if err := pause(ctx, e.GetConfirm().GetTimeout().AsDuration()); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	m.changes++
	m.mu.Unlock()
	return &actionv1.RecordedEffect{
		PlanId: id, Effect: e, Inverse: actionv1.Inverse_INVERSE_EXACT, Error: refusalOf(e.GetConfirm(), answer),
		Before: confirmationState(&actionv1.Confirmation{}), After: confirmationState(answer),
	}, nil
}

// refusalOf says why a question was not confirmed; empty when it was.
func refusalOf(c *actionv1.Confirm, answer *actionv1.Confirmation) string {
	switch {
	case answer.GetConfirmed():
		return ""
	case answer.GetBy() == "":
		return fmt.Sprintf("nobody confirmed within %s: %s", c.GetTimeout().AsDuration(), c.GetPrompt())
	}
	return strings.TrimSuffix(answer.GetBy()+" said no: "+answer.GetNote(), ": ")
}

func confirmationState(c *actionv1.Confirmation) *actionv1.State {
	return &actionv1.State{State: &actionv1.State_Confirmation{Confirmation: c}}
}

// confirms checks a planned question by the agent's rules.
func (p *problems) confirms(a *actionv1.Action, id string, c *actionv1.Confirm) {
	prompt, timeout := c.GetPrompt(), c.GetTimeout().AsDuration()
	p.check(prompt != "" && len(prompt) <= maxPrompt, "effect %q asks with %d bytes, want 1 to %d", id, len(prompt), maxPrompt)
	p.check(utf8.ValidString(prompt) && !strings.ContainsFunc(prompt, unicode.IsControl), "effect %q asks with control characters", id)
	p.check(timeout >= leastConfirm && timeout <= mostConfirm, "effect %q waits %s for a person, want %s to %s", id, timeout, leastConfirm, mostConfirm)
	p.check(timeout < a.GetMaxDuration().AsDuration(), "effect %q waits %s for a person, want less than max_duration, which is %s", id, timeout, a.GetMaxDuration().AsDuration())
}
