package cli

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// faultsView shows faults while they are watched.
type faultsView interface {
	changed(*fleetv1.WatchFaultsResponse)
	lost(error)
	tick()
	end()
}

// faultEvent is what the watching goroutine hands over.
type faultEvent struct {
	message *fleetv1.WatchFaultsResponse
	lost    error
	ended   bool
	err     error
}

func runWatchFaults(cmd *cobra.Command, a *app, o *getFaultsOptions) error {
	if err := o.checkWatch(cmd); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx := cmd.Context()
	events := make(chan faultEvent)
	send := func(e faultEvent) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	go func() {
		err := c.WatchFaults(ctx, &fleetv1.WatchFaultsRequest{Site: o.site, Terminal: o.terminal},
			func(m *fleetv1.WatchFaultsResponse) { send(faultEvent{message: m}) }, func(err error) { send(faultEvent{lost: err}) })
		send(faultEvent{ended: true, err: err})
	}()
	return showFaults(ctx, events, a.newFaultsView())
}

// showFaults feeds the view until the person has seen enough, which is no error, or the server refuses to tell more.
func showFaults(ctx context.Context, events <-chan faultEvent, v faultsView) error {
	defer v.end()
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case e := <-events:
			switch {
			case e.ended && errors.Is(e.err, context.Canceled):
				return nil
			case e.ended:
				return e.err
			case e.lost != nil:
				v.lost(e.lost)
			default:
				v.changed(e.message)
			}
		case <-ticker.C:
			v.tick()
		case <-ctx.Done():
			return nil
		}
	}
}

// newFaultsView draws in place on a terminal and prints lines elsewhere.
func (a *app) newFaultsView() faultsView {
	if !a.format.Machine() && output.CursorTerminal(a.stdout) {
		return &liveFaults{
			printer: a.out, now: a.now, live: output.NewLive(a.stdout, func() (int, int) { return output.Size(a.stdout) }),
			faults: map[string]*fleetv1.Fault{},
		}
	}
	return &faultLines{a: a, told: map[string]string{}}
}

// faultLines prints a line for each change, for pipes and logs; a document each for programs.
type faultLines struct {
	a    *app
	away bool
	// told is what was said of each fault last.
	told map[string]string
}

func (v *faultLines) changed(m *fleetv1.WatchFaultsResponse) {
	if v.away {
		v.away = false
		v.a.info.Line("%s  the server answers again", v.stamp())
	}
	f := m.GetFault()
	if f == nil {
		return
	}
	text := faultLine(f)
	if v.told[f.GetId()] == text {
		return
	}
	if v.told[f.GetId()] = text; f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED {
		delete(v.told, f.GetId())
	}
	switch v.a.format {
	case output.JSON, output.YAML:
		_ = v.a.out.Message(v.a.format, proto.CloneOf(f))
	case output.Name:
		v.a.out.Line("%s", f.GetId())
	default:
		v.a.out.Line("%s  %s", v.stamp(), v.a.out.Paint(faultStyle(f), text))
	}
}

func (v *faultLines) stamp() string { return v.a.now().UTC().Format(time.RFC3339) }

func (v *faultLines) lost(err error) {
	v.away = true
	v.a.info.Line("%s  connection to the server lost, trying again: %s", v.stamp(), err.Error())
}

func (*faultLines) tick() {}
func (*faultLines) end()  {}

// faultLine is a fault in one line.
func faultLine(f *fleetv1.Fault) string {
	line := strings.Join([]string{f.GetId(), f.GetTerminalName(), f.GetSite(), faultState(f)}, "  ") + ": " + f.GetTitle()
	if f.GetSubject() != "" {
		line += " (" + f.GetSubject() + ")"
	}
	if now := faultNow(f); now != "" {
		line += "; " + now
	}
	return line
}

// liveFaults draws the open faults in place on a terminal, the newest first.
type liveFaults struct {
	printer *output.Printer
	live    *output.Live
	now     func() time.Time
	away    error
	faults  map[string]*fleetv1.Fault
}

func (v *liveFaults) changed(m *fleetv1.WatchFaultsResponse) {
	v.away = nil
	if m.GetReset_() {
		clear(v.faults)
	}
	switch f := m.GetFault(); {
	case f == nil:
	case f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED:
		delete(v.faults, f.GetId())
	default:
		v.faults[f.GetId()] = f
	}
}

func (v *liveFaults) lost(err error) { v.away = err }
func (v *liveFaults) tick()          { _ = v.live.Draw(v.lines()) }
func (v *liveFaults) end()           { _ = v.live.Clear() }

func (v *liveFaults) lines() []output.Painted {
	lines := []output.Painted{v.printer.Paint(output.Bold, output.Count(len(v.faults), "open fault")+"  Ctrl-C ends the watch")}
	if v.away != nil {
		lines = append(lines, v.printer.Paint(output.Doubt, "connection to the server lost, trying again: "+v.away.Error()))
	}
	sorted := slices.SortedFunc(func(yield func(*fleetv1.Fault) bool) {
		for _, f := range v.faults {
			if !yield(f) {
				return
			}
		}
	}, func(a, b *fleetv1.Fault) int { return cmp.Compare(faultNumber(b), faultNumber(a)) })
	room := max(v.live.Height()-len(lines)-1, 0)
	for _, f := range sorted[:min(room, len(sorted))] {
		lines = append(lines, v.printer.Paint(faultStyle(f), "  "+output.Safe(faultLine(f)))+v.printer.Paint(output.Faint, "  seen "+output.Ago(f.GetLastSeen(), v.now())))
	}
	if more := len(sorted) - room; more > 0 {
		lines = append(lines, v.printer.Paint(output.Faint, "  and "+output.Count(more, "other")))
	}
	return lines
}

// faultNumber is the number in a fault's id.
func faultNumber(f *fleetv1.Fault) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(f.GetId(), "F-"), 10, 64)
	return n
}
