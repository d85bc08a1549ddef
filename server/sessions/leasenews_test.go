package sessions

import (
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

func leaseNews(change func(*agentv1.LeaseNews)) *agentv1.ConnectRequest {
	n := &agentv1.LeaseNews{
		Key:   &agentv1.TaskKey{JobId: job, Attempt: 1},
		Lease: &actionv1.LeaseState{Id: "l-1", Ended: true, EndedAt: timestamppb.Now(), Tries: 1},
	}
	if change != nil {
		change(n)
	}
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_LeaseNews{LeaseNews: n}}
}

// TestLeaseNewsIsAcknowledgedWhenItIsStored, or when there is no place for it any more; otherwise the agent keeps it.
func TestLeaseNewsIsAcknowledgedWhenItIsStored(t *testing.T) {
	for name, tc := range map[string]struct {
		err          error
		acknowledged bool
	}{
		"stored":                {nil, true},
		"of a forgotten job":    {refusal.New(refusal.NotFound, "JOB_NOT_FOUND", "no such job"), true},
		"before the result":     {refusal.New(refusal.Precondition, "NO_RESULT", "no result yet"), false},
		"of another's terminal": {refusal.New(refusal.Denied, "FOREIGN_TASK", "no such task"), false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.connected()
				p.toServer <- leaseNews(nil)
				synctest.Wait()
				if len(p.toAgent) > 0 {
					t.Error("acknowledged before it was stored: a crash now would lose the news")
				}
				r.world.stored(tc.err)
				synctest.Wait()
				if got := len(p.toAgent) > 0; got != tc.acknowledged {
					t.Fatalf("acknowledged: %t, want %t", got, tc.acknowledged)
				}
				if tc.acknowledged {
					if ack := (<-p.toAgent).GetLeaseNewsAck(); ack.GetId() != "l-1" || !ack.GetEnded() {
						t.Errorf("got the acknowledgement %v, want that of the end of l-1", ack)
					}
				}
				p.hangUp(t)
				synctest.Wait()
			})
		})
	}
}

func TestManyForeignLeasesCutTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.connected()
		for range maxForeign + 1 {
			p.toServer <- leaseNews(nil)
			synctest.Wait()
			r.world.stored(refusal.New(refusal.Denied, "FOREIGN_TASK", "no such task"))
		}
		expectRefusal(t, <-p.returned, "FOREIGN_TASKS")
		synctest.Wait()
	})
}

func TestBadLeaseNewsEndsTheSession(t *testing.T) {
	for name, change := range map[string]func(*agentv1.LeaseNews){
		"no task":         func(n *agentv1.LeaseNews) { n.Key = nil },
		"no lease":        func(n *agentv1.LeaseNews) { n.Lease = nil },
		"a long id":       func(n *agentv1.LeaseNews) { n.Lease.Id = strings.Repeat("l", maxLeaseID+1) },
		"a long text":     func(n *agentv1.LeaseNews) { n.Lease.Outcome = strings.Repeat("x", maxLeaseText+1) },
		"no time":         func(n *agentv1.LeaseNews) { n.Lease.EndedAt = nil },
		"a time too many": func(n *agentv1.LeaseNews) { n.Lease.Ended = false },
		"a time of none":  func(n *agentv1.LeaseNews) { n.Lease.EndedAt = &timestamppb.Timestamp{Nanos: -1} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.connected()
				p.toServer <- leaseNews(change)
				expectRefusal(t, <-p.returned, "MALFORMED_MESSAGE")
				synctest.Wait()
			})
		})
	}
}
