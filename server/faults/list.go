package faults

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// readChunk is how many faults one view reads.
const readChunk = 200

// List returns faults of the caller's sites, the newest first.
func (d *Desk) List(ctx context.Context, p *access.Principal, r *fleetv1.ListFaultsRequest) (*fleetv1.ListFaultsResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	l, err := d.filter(ctx, p, r)
	if err != nil {
		return nil, err
	}
	numbers, err := d.numbers(ctx, l)
	if err != nil {
		return nil, err
	}
	answer := &fleetv1.ListFaultsResponse{}
	for chunk := range slices.Chunk(numbers, readChunk) {
		full := false
		err := d.cfg.Store.View(ctx, func(v store.Snapshot) error {
			full, err = l.fill(v, chunk, size, answer)
			return err
		})
		if err != nil || full {
			return answer, err
		}
	}
	return answer, nil
}

// filter is which faults are wanted.
type filter struct {
	p        *access.Principal
	req      *fleetv1.ListFaultsRequest
	terminal string
	// before is the number of the last one of the page before; 0 on the first.
	before uint64
	since  time.Time
	// resolved is true when such as are resolved may be wanted.
	resolved bool
}

func (d *Desk) filter(ctx context.Context, p *access.Principal, r *fleetv1.ListFaultsRequest) (*filter, error) {
	l := &filter{p: p, req: r}
	if r.GetPageToken() != "" {
		n, err := strconv.ParseUint(r.GetPageToken(), 10, 64)
		if err != nil || n == 0 {
			return nil, paging.BadToken()
		}
		l.before = n
	}
	for _, s := range r.GetStates() {
		if fleetv1.FaultState_name[int32(s)] == "" || s == fleetv1.FaultState_FAULT_STATE_UNSPECIFIED {
			return nil, refusal.New(refusal.Invalid, "BAD_STATE", "state %d: is not known", s).At("states").Then("leave it out, or bring the server up to date")
		}
	}
	if r.GetSince() != nil {
		if r.GetSince().CheckValid() != nil {
			return nil, refusal.New(refusal.Invalid, "BAD_TIME", "since: is no time").At("since").Then("give one, or leave it out")
		}
		l.since = r.GetSince().AsTime()
	}
	l.resolved = slices.Contains(r.GetStates(), fleetv1.FaultState_FAULT_STATE_RESOLVED) ||
		len(r.GetStates()) == 0 && (r.GetSince() != nil || r.GetIncident() != "")
	return l, d.findTerminal(ctx, l)
}

// findTerminal finds the terminal that is meant. One of another site answers as one that does not exist.
func (d *Desk) findTerminal(ctx context.Context, l *filter) error {
	if l.req.GetTerminal() == "" {
		return nil
	}
	t, err := d.cfg.Inventory.Terminal(ctx, l.req.GetTerminal())
	if err == nil && !l.p.May(access.Read, t.GetTerminal().GetSite()) {
		err = access.NotFound(access.Terminal, l.req.GetTerminal()).At("terminal")
	}
	l.terminal = t.GetTerminal().GetId()
	return err
}

// numbers are those that may be wanted, the newest first, as the indexes have them.
func (d *Desk) numbers(ctx context.Context, l *filter) (found []uint64, err error) {
	add := func(n uint64) {
		if l.before == 0 || n < l.before {
			found = append(found, n)
		}
	}
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		found = nil
		var prefix []byte
		if l.req.GetSite() != "" {
			prefix = store.Prefix(access.Fold(l.req.GetSite()))
		}
		err := v.Scan(store.TableOpenFaults, prefix, nil, func(key, _ []byte) bool { add(store.LastNumber(key)); return true })
		if err != nil || !l.resolved {
			return err
		}
		from := store.Number(0)
		if !l.since.IsZero() {
			from = store.Number(uint64(max(0, l.since.UnixNano())))
		}
		return v.Scan(store.TableFaultEnds, nil, from, func(key, _ []byte) bool { add(store.LastNumber(key)); return true })
	})
	slices.SortFunc(found, func(a, b uint64) int { return cmp.Compare(b, a) })
	return slices.Compact(found), err
}

// fill adds what is wanted to a page, and reports whether it is full.
func (l *filter) fill(v store.Snapshot, numbers []uint64, size int, answer *fleetv1.ListFaultsResponse) (full bool, err error) {
	for _, n := range numbers {
		rec, err := readFault(v, n)
		if err != nil {
			return false, err
		}
		if !l.wants(rec) {
			continue
		}
		if len(answer.GetFaults()) == size {
			answer.NextPageToken = strconv.FormatUint(numberOf(faultPrefix, answer.GetFaults()[size-1].GetId()), 10)
			return true, nil
		}
		answer.Faults = append(answer.Faults, inList(rec.GetFault()))
	}
	return false, nil
}

// inList is a fault as lists have it.
func inList(f *fleetv1.Fault) *fleetv1.Fault {
	f.History = nil
	return f
}

func (l *filter) wants(rec *storagev1.FaultRecord) bool {
	f := rec.GetFault()
	last := f.GetLastSeen().AsTime()
	if f.GetResolved() != nil && f.GetResolved().AsTime().After(last) {
		last = f.GetResolved().AsTime()
	}
	return rec != nil && l.p.May(access.Read, f.GetSite()) &&
		(l.req.GetSite() == "" || strings.EqualFold(l.req.GetSite(), f.GetSite())) &&
		(l.terminal == "" || l.terminal == f.GetTerminalId()) &&
		(l.req.GetEntry() == "" || l.req.GetEntry() == f.GetEntry()) &&
		(l.req.GetIncident() == "" || strings.EqualFold(l.req.GetIncident(), f.GetIncident())) &&
		(len(l.req.GetStates()) == 0 || slices.Contains(l.req.GetStates(), f.GetState())) &&
		(l.resolved || isOpen(f)) && !last.Before(l.since)
}

// Incidents returns the incidents of the caller's sites, the newest first.
func (d *Desk) Incidents(ctx context.Context, p *access.Principal, r *fleetv1.ListIncidentsRequest) (*fleetv1.ListIncidentsResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	var from []byte
	if r.GetPageToken() != "" {
		n := numberOf(incidentPrefix, r.GetPageToken())
		if n == 0 {
			return nil, paging.BadToken()
		}
		from = store.Number(n - 1)
	}
	answer := &fleetv1.ListIncidentsResponse{}
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		answer.Reset()
		var bad error
		err := v.ScanBack(store.TableIncidents, nil, from, func(key, _ []byte) bool {
			var rec *storagev1.IncidentRecord
			rec, bad = read[storagev1.IncidentRecord](v, store.TableIncidents, slices.Clone(key))
			inc := rec.GetIncident()
			if bad != nil || !p.May(access.Read, inc.GetSite()) || r.GetSite() != "" && !strings.EqualFold(r.GetSite(), inc.GetSite()) ||
				inc.GetResolved() != nil && !r.GetIncludeResolved() {
				return bad == nil
			}
			if len(answer.GetIncidents()) == size {
				answer.NextPageToken = answer.GetIncidents()[size-1].GetId()
				return false
			}
			answer.Incidents = append(answer.Incidents, inc)
			return true
		})
		return errors.Join(err, bad)
	})
	return answer, err
}
