package faults

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// reflex takes what the agent did by itself into the history of the fault that it did it for. One that was opened and ended while the
// server was away was reported before it.
func (t *taking) reflex(r *agentv1.ReflexRun) error {
	outcome := statusWord(r.GetResult().GetStatus())
	t.others = append(t.others, audit.Entry{
		Actor: identity.Name{Kind: KindPolicy, ID: r.GetPolicy() + " (reflex)"}, Verb: "reflex.run", Object: "terminal/" + t.terminal.GetId(),
		Changes: []*storagev1.AuditChange{
			audit.Change("entry", "", r.GetEntry()), audit.Change("subject", "", r.GetSubject()), audit.Change("action", "", r.GetAction()),
			audit.Change("attempt", "", fmt.Sprint(r.GetAttempt())), audit.Change("result", "", outcome),
		},
	})
	rec, err := lastOf(t.w, t.terminal.GetId(), r.GetEntry(), r.GetSubject())
	if err != nil || rec == nil {
		return err
	}
	before, f := proto.CloneOf(rec), rec.GetFault()
	note(f, t.now, "policy "+r.GetPolicy()+" (reflex)", line(fmt.Sprintf("%s, attempt %d: %s%s", r.GetAction(), r.GetAttempt(), outcome, because(r.GetResult())), maxNote))
	if r.GetResult().GetStatus() == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
		rec.Helped = "reflex " + r.GetPolicy()
		if !isOpen(f) && f.GetResolvedBy() == byItself {
			f.ResolvedBy = rec.GetHelped()
		}
	}
	return save(t.w, before, rec)
}

// sameBreaker is by how much the times may differ at which an agent says that one breaker opened: it reckons them by a clock of its own.
const sameBreaker = time.Minute

func because(r *actionv1.TaskResult) string {
	if r.GetReason() == "" {
		return ""
	}
	return " (" + r.GetReason() + ")"
}

// statusWord is a result as people read it ("rolled-back").
func statusWord(s actionv1.TaskStatus) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.String(), "TASK_STATUS_")), "_", "-")
}

// breaker stores what the agent says of a breaker.
func (t *taking) breaker(b *agentv1.BreakerState) error {
	key := store.BreakerKey(t.terminal.GetId(), b.GetEntry(), b.GetSubject(), b.GetAction())
	before, err := read[fleetv1.Breaker](t.w, store.TableBreakers, key)
	if err != nil {
		return err
	}
	if before == nil && t.full {
		t.tooMany()
		return nil
	}
	now := &fleetv1.Breaker{
		TerminalId: t.terminal.GetId(), TerminalName: t.terminal.GetName(), Site: t.terminal.GetSite(), Entry: b.GetEntry(), Subject: b.GetSubject(),
		Action: b.GetAction(), Open: b.GetOpen(), Attempts: b.GetAttempts(), Since: t.stamp(b.GetSince()), Until: b.GetUntil(), Reason: b.GetReason(),
	}
	if b.GetOpen() && before.GetResetBy() != "" && now.GetSince().AsTime().Sub(before.GetSince().AsTime()).Abs() < sameBreaker {
		// The same breaker: the reset is still on its way.
		now.ResetBy = before.GetResetBy()
	}
	if err := put(t.w, store.TableBreakers, key, now); err != nil || before.GetOpen() == b.GetOpen() {
		return err
	}
	word := map[bool]string{true: "opened", false: "closed"}
	if before != nil || b.GetOpen() {
		t.changes = append(t.changes, audit.Change("breaker/"+b.GetEntry()+"/"+b.GetAction(), "", word[b.GetOpen()]))
	}
	return errors.Join(t.tellFault(now, word[b.GetOpen()]), t.tellPeople(now))
}

// tellFault puts it into the history of the breaker's fault, which is due: no more is tried there, or again.
func (t *taking) tellFault(b *fleetv1.Breaker, word string) error {
	rec, err := lastOf(t.w, b.GetTerminalId(), b.GetEntry(), b.GetSubject())
	if err != nil || rec == nil || !isOpen(rec.GetFault()) {
		return err
	}
	before := proto.CloneOf(rec)
	note(rec.GetFault(), t.now, agentActor, line(fmt.Sprintf("breaker of %s %s after %d attempts: %s", b.GetAction(), word, b.GetAttempts(), b.GetReason()), maxNote))
	if rec.GetFault().GetIncident() == "" && !rec.GetHistorical() {
		rec.Due = timestamppb.New(t.now)
	}
	return save(t.w, before, rec)
}

func (t *taking) tellPeople(b *fleetv1.Breaker) error {
	if !b.GetOpen() {
		return nil
	}
	return t.post(t.w, &fleetv1.Notice{
		Event: "breaker.opened", Site: b.GetSite(), Time: timestamppb.New(t.now), Object: b.GetTerminalId(), TerminalName: b.GetTerminalName(), Entry: b.GetEntry(),
		Summary: line(fmt.Sprintf("%s: %s is not tried any more after %d attempts", b.GetTerminalName(), b.GetAction(), b.GetAttempts()), maxNote),
		Details: []string{"reason: " + b.GetReason()},
	})
}
