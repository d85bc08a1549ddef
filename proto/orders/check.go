package orders

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// Limits of orders. All that an agent is sent stays far below the 4 MiB that one message may have.
const (
	// MaxSize is in bytes.
	MaxSize     = 2 << 20
	MaxStates   = 2000
	MaxLogs     = 2000
	MaxReflexes = 2000
	// maxTexts is how many texts a rule may look for, and maxText how long one is, in bytes.
	maxTexts, maxText = 64, 1024
	maxName           = 128
	maxReason         = 1024
	maxParams         = 64
	maxAttempts       = 100
	maxCount          = 100_000
	// maxTime is the longest time that anything in orders may take.
	maxTime = 31 * 24 * time.Hour
)

// known is what this build can look for.
type known struct {
	signals map[string][]string
	classes map[string]bool
}

func newKnown() known {
	k := known{signals: map[string][]string{}, classes: map[string]bool{}}
	for _, s := range catalogue.Signals() {
		k.signals[s.Name] = s.Values
	}
	for _, c := range catalogue.Classes() {
		k.classes[c.Name] = true
	}
	return k
}

func (k known) state(r *agentv1.StateRule) error {
	if err := errors.Join(name("entry", r.GetEntry()), lasts("for", r.GetFor())); err != nil {
		return err
	}
	if len(r.GetAll()) == 0 || len(r.GetAll()) > maxTexts {
		return fmt.Errorf("entry %q: %d signals, want 1 to %d", r.GetEntry(), len(r.GetAll()), maxTexts)
	}
	for _, is := range r.GetAll() {
		if err := k.is(is); err != nil {
			return fmt.Errorf("entry %q: %w", r.GetEntry(), err)
		}
	}
	return nil
}

func (k known) is(s *agentv1.SignalIs) error {
	values, ok := k.signals[s.GetSignal()]
	if !ok {
		return fmt.Errorf("signal %.100q: is not known here; bring agent and server to versions that fit", s.GetSignal())
	}
	if len(s.GetValues()) == 0 {
		return fmt.Errorf("signal %q: no values", s.GetSignal())
	}
	for _, v := range s.GetValues() {
		if !slices.Contains(values, v) {
			return fmt.Errorf("signal %q: cannot be %.100q", s.GetSignal(), v)
		}
	}
	return nil
}

func (k known) log(r *agentv1.LogRule) error {
	if err := errors.Join(
		name("entry", r.GetEntry()), name("id", r.GetId()), text("code", r.GetCode(), maxName),
		texts("all", r.GetAll()), texts("any", r.GetAny()), texts("none", r.GetNone()), texts("candidates", r.GetCandidates()),
		lasts("window", r.GetWindow()), lasts("cooldown", r.GetCooldown()),
	); err != nil {
		return fmt.Errorf("rule %.100q: %w", r.GetId(), err)
	}
	switch {
	case !k.classes[r.GetFileClass()]:
		return fmt.Errorf("rule %q: file class %.100q: is not known here; bring agent and server to versions that fit", r.GetId(), r.GetFileClass())
	case len(r.GetAll()) == 0 && len(r.GetAny()) == 0 && r.GetCode() == "":
		return fmt.Errorf("rule %q: looks for nothing", r.GetId())
	case r.GetCount() > maxCount:
		return fmt.Errorf("rule %q: count is %d, want at most %d", r.GetId(), r.GetCount(), maxCount)
	}
	return nil
}

func reflex(r *agentv1.Reflex) error {
	g := r.GetGuardrails()
	if err := errors.Join(
		name("policy", r.GetPolicy()), name("entry", r.GetEntry()), name("action", r.GetAction()),
		lasts("period", g.GetPeriod()), lasts("cooldown", g.GetCooldown()),
	); err != nil {
		return err
	}
	if g.GetMaxAttempts() > maxAttempts {
		return fmt.Errorf("policy %q: %d attempts, want at most %d", r.GetPolicy(), g.GetMaxAttempts(), maxAttempts)
	}
	if len(r.GetParams()) > maxParams {
		return fmt.Errorf("policy %q: %d parameters, want at most %d", r.GetPolicy(), len(r.GetParams()), maxParams)
	}
	return nil
}

func name(field, value string) error {
	if value == "" {
		return fmt.Errorf("%s is empty", field)
	}
	return text(field, value, maxName)
}

func texts(field string, values []string) error {
	if len(values) > maxTexts {
		return fmt.Errorf("%s has %d texts, want at most %d", field, len(values), maxTexts)
	}
	for _, v := range values {
		if err := name(field, v[:min(len(v), 1)]); err != nil {
			return err
		}
		if err := text(field, v, maxText); err != nil {
			return err
		}
	}
	return nil
}

func text(field, value string, most int) error {
	if len(value) > most {
		return fmt.Errorf("%s has %d bytes, want at most %d", field, len(value), most)
	}
	return nil
}

func lasts(field string, d *durationpb.Duration) error {
	if d == nil {
		return nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 || d.AsDuration() > maxTime {
		return fmt.Errorf("%s is %s, want 0s to %s", field, d.AsDuration(), maxTime)
	}
	return nil
}
