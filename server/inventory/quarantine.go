package inventory

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Why a terminal is in quarantine.
const (
	journalReplaced   = "its agent has lost its journal and made another"
	journalRolledBack = "its agent's journal was rolled back"
)

// doubt says why a terminal's agent may not know what it has done; empty when nothing speaks for it. Each hello of an intact journal has a
// greater sequence than all that was told before. An agent that does not count (sequence 0) cannot be caught with an older copy.
func doubt(r *storagev1.TerminalRecord, h *agentv1.Hello, heard uint64) string {
	switch told := h.GetJournalSequence(); {
	case r.GetJournalId() != h.GetJournalId():
		return journalReplaced
	case told != 0 && told <= max(heard, r.GetJournalSequence()):
		return journalRolledBack
	}
	return ""
}

// quarantine puts a terminal into quarantine, and says what it changed.
func (i *Inventory) quarantine(r *storagev1.TerminalRecord, why string) []*storagev1.AuditChange {
	r.Terminal.Quarantine = &fleetv1.Quarantine{Time: timestamppb.New(i.now()), Reason: why}
	return changes("quarantine", "", why)
}

// JournalRolledBack puts a terminal into quarantine whose agent does not know a task that it was permitted to start. One that is in it
// already, or out of service, stays as it is.
func (i *Inventory) JournalRolledBack(ctx context.Context, terminalID string) error {
	_, err := i.change(ctx, terminalID, func(_ store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		if !inUse(r) || r.GetTerminal().GetQuarantine() != nil {
			return nil, nil
		}
		return &audit.Entry{Actor: agentName(terminalID), Verb: "terminal.quarantine", Changes: i.quarantine(r, journalRolledBack)}, nil
	})
	return err
}

// Release ends a terminal's quarantine. One that is not in it stays as it is.
func (i *Inventory) Release(ctx context.Context, p *access.Principal, req *fleetv1.ReleaseTerminalRequest) (*storagev1.TerminalRecord, error) {
	if req.GetReason() == "" {
		return nil, refusal.New(refusal.Invalid, "REQUIRED", "reason: is required").At("reason").Then("say what was found at the terminal")
	}
	if err := wantText("reason", req.GetReason(), "reason", maxReason); err != nil {
		return nil, err
	}
	return i.changeBy(ctx, p, access.Admin, req.GetTerminal(), func(_ store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		if err := mustBeInUse(r); err != nil {
			return nil, err
		}
		diff := endQuarantine(r)
		if len(diff) == 0 {
			return nil, nil
		}
		return &audit.Entry{Actor: p.Name, Verb: "terminal.release", Reason: req.GetReason(), Changes: diff}, nil
	})
}

// endQuarantine lets tasks start again, and says what it changed.
func endQuarantine(r *storagev1.TerminalRecord) []*storagev1.AuditChange {
	q := r.GetTerminal().GetQuarantine()
	if q == nil {
		return nil
	}
	r.Terminal.Quarantine = nil
	return changes("quarantine", q.GetReason()+" (since "+q.GetTime().AsTime().Format(time.RFC3339)+")", "")
}
