package reflex

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/journal"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

const (
	// defaultAttempts and defaultPeriod bound attempts of which no policy says how many there may be.
	defaultAttempts = 3
	defaultPeriod   = time.Hour
	// standAfter is how long after an attempt that went well a state that is still reported counts as still there.
	standAfter = 2 * time.Minute
)

// remedy tells breakers apart.
type remedy struct{ entry, subject, action string }

func remedyOf(t *agentv1.Task) remedy {
	return remedy{t.GetRemedies().GetEntry(), t.GetRemedies().GetSubject(), t.GetAction()}
}

// guardrails returns how attempts are bounded: as the policy's orders say, else as any orders for the same action say, else by default.
func (e *Engine) guardrails(policy string, of remedy) *agentv1.Guardrails {
	var found *agentv1.Guardrails
	for _, r := range e.orders.GetReflexes() {
		if r.GetEntry() != of.entry || r.GetAction() != of.action {
			continue
		}
		if found == nil || r.GetPolicy() == policy {
			found = r.GetGuardrails()
		}
		if r.GetPolicy() == policy {
			break
		}
	}
	g := &agentv1.Guardrails{
		MaxAttempts: found.GetMaxAttempts(), Period: found.GetPeriod(), Cooldown: found.GetCooldown(), OnlyWhenQuiet: found.GetOnlyWhenQuiet(),
	}
	if g.GetMaxAttempts() == 0 {
		g.MaxAttempts = defaultAttempts
	}
	if g.GetPeriod().AsDuration() <= 0 {
		g.Period = durationpb.New(defaultPeriod)
	}
	return g
}

// entryOf returns a copy of a breaker's record with the attempts that count now, or a new one.
func (e *Engine) entryOf(of remedy) *storagev1.JournalBreaker {
	b := &storagev1.JournalBreaker{Entry: of.entry, Subject: of.subject, Action: of.action}
	if known := e.book[of]; known != nil {
		b = proto.CloneOf(known)
	}
	b.Attempts = slices.DeleteFunc(b.GetAttempts(), func(a *storagev1.JournalAttempt) bool { return e.lapsed(b, a) })
	return b
}

// lapsed says that an attempt counts no more. While the breaker is open all do: they are why.
func (e *Engine) lapsed(b *storagev1.JournalBreaker, a *storagev1.JournalAttempt) bool {
	return !b.GetOpen() && a.GetEnded() != 0 && e.clock.now() >= a.GetStarted()+int64(period(b))
}

func period(b *storagev1.JournalBreaker) time.Duration {
	if d := b.GetGuardrails().GetPeriod().AsDuration(); d > 0 {
		return d
	}
	return defaultPeriod
}

// others are the attempts that count beside those of a task.
func others(b *storagev1.JournalBreaker, k *agentv1.TaskKey) (n uint32, last *storagev1.JournalAttempt) {
	for _, a := range b.GetAttempts() {
		if !proto.Equal(a.GetKey(), k) {
			n++
			last = a
		}
	}
	return n, last
}

// Refuses implements runner.Remedies.
func (e *Engine) Refuses(t *agentv1.Task) (reason, nextStep string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	policy := t.GetRemedies().GetPolicy()
	if policy == "" {
		return "", ""
	}
	of := remedyOf(t)
	b := e.entryOf(of)
	g := e.guardrails(policy, of)
	n, last := others(b, t.GetKey())
	if !b.GetOpen() && n >= g.GetMaxAttempts() && last.GetEnded() != 0 {
		b.Guardrails = g
		e.open(b, fmt.Sprintf("%d attempts did not help", n))
	}
	if b.GetOpen() {
		return fmt.Sprintf("breaker: %s; %s may be tried again at %s", b.GetReason(), of.action, e.told(b.GetUntil())),
			"look at the machine; `fleetctl breaker reset` allows it at once"
	}
	if until := last.GetEnded() + int64(g.GetCooldown().AsDuration()); last != nil && e.clock.now() < until {
		return fmt.Sprintf("cooldown: the last attempt has just ended; %s may be tried again at %s", of.action, e.told(until)), "wait until then"
	}
	return "", ""
}

// told is a moment of the steady clock as people read it: by the server's clock.
func (e *Engine) told(at int64) string { return e.stamp(at).AsTime().UTC().Format(time.RFC3339) }

func (e *Engine) stamp(at int64) *timestamppb.Timestamp {
	return timestamppb.New(e.runner.ServerTime().Add(time.Duration(at - e.clock.now())))
}

// Begins implements runner.Remedies.
func (e *Engine) Begins(t *agentv1.Task) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	of := remedyOf(t)
	b := e.entryOf(of)
	if slices.ContainsFunc(b.GetAttempts(), func(a *storagev1.JournalAttempt) bool { return proto.Equal(a.GetKey(), t.GetKey()) }) {
		return nil
	}
	if o := e.own[t.GetKey().GetJobId()]; o != nil {
		o.started = true
	}
	b.Guardrails = e.guardrails(t.GetRemedies().GetPolicy(), of)
	b.Attempts = append(b.Attempts, &storagev1.JournalAttempt{Key: t.GetKey(), Started: e.clock.now()})
	if !b.GetOpen() {
		b.Reason = ""
	}
	return e.write(b, true, journal.Beside{})
}

// finish notes the end of an attempt in its breaker's record, which it returns with the attempt's number; nil when it was none. One that did
// not start is no attempt.
func (e *Engine) finish(k *agentv1.TaskKey, started, failed bool) (b *storagev1.JournalBreaker, number uint32) {
	for _, known := range e.book {
		i := slices.IndexFunc(known.GetAttempts(), func(a *storagev1.JournalAttempt) bool { return proto.Equal(a.GetKey(), k) })
		if i < 0 || known.GetAttempts()[i].GetEnded() != 0 {
			continue
		}
		b = proto.CloneOf(known)
		if !started {
			b.Attempts = slices.Delete(b.Attempts, i, i+1)
			return b, 0
		}
		b.Attempts[i].Ended, b.Attempts[i].Failed = e.clock.now(), failed
		return b, uint32(i + 1)
	}
	return nil, 0
}

// write journals a breaker, and tells of it when that is wanted. It needs the lock.
func (e *Engine) write(b *storagev1.JournalBreaker, tell bool, beside journal.Beside) error {
	b.Written, b.Adapter = e.clock.now(), e.adapterOf(b)
	beside.Breaker = b
	var n *agentv1.News
	if tell {
		n = &agentv1.News{News: &agentv1.News_Breaker{Breaker: e.stateOf(b)}}
	}
	if err := e.cfg.News.AddWith(n, beside); err != nil {
		return e.fail(err)
	}
	e.book[remedy{b.GetEntry(), b.GetSubject(), b.GetAction()}] = b
	e.poke()
	return nil
}

func (e *Engine) stateOf(b *storagev1.JournalBreaker) *agentv1.BreakerState {
	s := &agentv1.BreakerState{
		Entry: b.GetEntry(), Subject: b.GetSubject(), Action: b.GetAction(), Open: b.GetOpen(),
		Attempts: uint32(len(b.GetAttempts())), Reason: b.GetReason(), Since: timestamppb.New(e.runner.ServerTime()),
	}
	if b.GetOpen() {
		s.Since, s.Until = e.stamp(b.GetSince()), e.stamp(b.GetUntil())
	}
	return s
}

// open opens a breaker and tells of it. It needs the lock.
func (e *Engine) open(b *storagev1.JournalBreaker, reason string) {
	b.Open, b.Since, b.Reason = true, e.clock.now(), reason
	b.Until = b.GetSince() + int64(period(b))
	e.log.Warn("a remedy is not tried any more", "entry", b.GetEntry(), "subject", b.GetSubject(), "action", b.GetAction(), "reason", reason, "for", period(b))
	_ = e.write(b, true, journal.Beside{}) // a failure ends Run
}

// closeBreaker closes a breaker, forgets its attempts and tells of it. It needs the lock.
func (e *Engine) closeBreaker(b *storagev1.JournalBreaker, reason string) {
	b = proto.CloneOf(b)
	b.Open, b.Since, b.Until, b.Reason = false, 0, 0, reason
	b.Attempts = slices.DeleteFunc(b.GetAttempts(), func(a *storagev1.JournalAttempt) bool { return a.GetEnded() != 0 })
	e.log.Info("a remedy may be tried again", "entry", b.GetEntry(), "subject", b.GetSubject(), "action", b.GetAction(), "reason", reason)
	_ = e.write(b, true, journal.Beside{}) // a failure ends Run
}

// Reset closes the breakers that a person means, and answers with how they stand. An empty subject or action means any.
func (e *Engine) Reset(r *agentv1.BreakerReset) {
	e.mu.Lock()
	defer e.mu.Unlock()
	reason := fmt.Sprintf("reset by %.200s", r.GetBy())
	met := false
	for of, b := range e.book {
		if of.entry != r.GetEntry() || (r.GetSubject() != "" && of.subject != r.GetSubject()) || (r.GetAction() != "" && of.action != r.GetAction()) {
			continue
		}
		met = true
		e.closeBreaker(b, reason)
	}
	if met {
		return
	}
	none := &storagev1.JournalBreaker{Entry: r.GetEntry(), Subject: r.GetSubject(), Action: r.GetAction(), Reason: reason}
	_ = e.fail(e.cfg.News.AddWith(&agentv1.News{News: &agentv1.News_Breaker{Breaker: e.stateOf(none)}}, journal.Beside{}))
}
