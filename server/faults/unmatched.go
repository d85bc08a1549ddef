package faults

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// mostTemplates is how many kinds of lines are told apart at one site, and mostTold how many of them one message may bring.
	mostTemplates = 1000
	mostTold      = 100
	// maxTemplate is the longest, in bytes.
	maxTemplate = 300
	// mostTerminals is how many terminals that had the same line are told apart.
	mostTerminals = 500
)

// CountUnmatched counts lines that match no rule, for the terminal's site. What is beyond the bounds is left out. It has no audit record:
// nothing follows from it.
func (d *Desk) CountUnmatched(ctx context.Context, terminal *storagev1.TerminalRecord, lines *agentv1.UnmatchedLines) error {
	t, err := d.cfg.Inventory.Terminal(ctx, terminal.GetTerminal().GetId())
	if err != nil {
		return err
	}
	d.counting.Lock()
	defer d.counting.Unlock()
	site := access.Fold(t.GetTerminal().GetSite())
	room, err := d.roomFor(ctx, site)
	if err != nil {
		return err
	}
	told := lines.GetTemplates()
	return d.cfg.Store.Update(ctx, func(w store.Writer) error {
		left := room
		for _, l := range told[:min(len(told), mostTold)] {
			if !idPattern.MatchString(l.GetFileClass()) || l.GetTemplate() == "" || !clean(l.GetTemplate(), maxTemplate) || l.GetCount() == 0 {
				continue
			}
			if err := d.countLine(w, t.GetTerminal(), l, &left); err != nil {
				return err
			}
		}
		return nil
	})
}

// roomFor is how many more kinds of lines a site may have.
func (d *Desk) roomFor(ctx context.Context, site string) (room int, err error) {
	room = mostTemplates
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		return v.Scan(store.TableUnmatchedLines, store.Prefix(site), nil, func(_, _ []byte) bool { room--; return room > 0 })
	})
	return room, err
}

func (d *Desk) countLine(w store.Writer, t *fleetv1.Terminal, l *agentv1.UnmatchedTemplate, room *int) error {
	key := store.UnmatchedKey(access.Fold(t.GetSite()), l.GetFileClass(), l.GetTemplate())
	rec, err := read[storagev1.UnmatchedRecord](w, store.TableUnmatchedLines, key)
	if err != nil {
		return err
	}
	if rec == nil {
		if *room <= 0 {
			return nil
		}
		*room--
		rec = &storagev1.UnmatchedRecord{Line: &fleetv1.UnmatchedLine{Site: t.GetSite(), FileClass: l.GetFileClass(), Template: l.GetTemplate()}}
	}
	rec.Line.Count += l.GetCount()
	rec.Line.LastSeen = timestamppb.New(d.cfg.Now())
	if !slices.Contains(rec.GetTerminalIds(), t.GetId()) && len(rec.GetTerminalIds()) < mostTerminals {
		rec.TerminalIds = append(rec.GetTerminalIds(), t.GetId())
	}
	rec.Line.Terminals = uint32(len(rec.GetTerminalIds()))
	return put(w, store.TableUnmatchedLines, key, rec)
}

// UnmatchedLines returns the lines of the caller's sites that match no rule, the most frequent first.
func (d *Desk) UnmatchedLines(ctx context.Context, p *access.Principal, r *fleetv1.ListUnmatchedLinesRequest) (*fleetv1.ListUnmatchedLinesResponse, error) {
	answer := &fleetv1.ListUnmatchedLinesResponse{}
	var prefix []byte
	if r.GetSite() != "" {
		prefix = store.Prefix(access.Fold(r.GetSite()))
	}
	err := d.each(ctx, store.TableUnmatchedLines, prefix, func(_, text []byte) (bool, error) {
		rec := &storagev1.UnmatchedRecord{}
		err := proto.Unmarshal(text, rec)
		if err == nil && p.May(access.Read, rec.GetLine().GetSite()) {
			answer.Lines = append(answer.Lines, rec.GetLine())
		}
		return true, err
	})
	slices.SortFunc(answer.Lines, func(a, b *fleetv1.UnmatchedLine) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), strings.Compare(a.GetTemplate(), b.GetTemplate()), strings.Compare(a.GetSite(), b.GetSite()))
	})
	answer.Lines = answer.GetLines()[:min(len(answer.GetLines()), mostTemplates)]
	return answer, err
}
