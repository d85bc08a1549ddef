package cli

import (
	"context"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// view shows a job while it is watched.
type view interface {
	// changed is called with each message's changes.
	changed(*board, []change)
	// lost is called when the connection broke; the job goes on.
	lost(error)
	// tick is called a few times a second.
	tick(*board)
	// end is called once, before the summary.
	end()
}

// tickEvery is how often a view may redraw on its own.
const tickEvery = 200 * time.Millisecond

// event is what the watching goroutine hands over: a message, a broken connection, or the end.
type event struct {
	message *fleetv1.WatchJobResponse
	lost    error
	ended   bool
	err     error
}

// eventSender makes a client.Watcher of a channel. It gives up when nobody listens any more.
type eventSender struct {
	ctx context.Context
	to  chan<- event
}

func (s eventSender) Changed(m *fleetv1.WatchJobResponse) { s.send(event{message: m}) }
func (s eventSender) Lost(err error)                      { s.send(event{lost: err}) }

func (s eventSender) send(e event) {
	select {
	case s.to <- e:
	case <-s.ctx.Done():
	}
}

// follow watches a job until it is done, until timeout (0: no bound) or until the person interrupts; then it prints the
// summary. Its error holds the exit code.
func (a *app) follow(ctx context.Context, c *client.Client, job *fleetv1.Job, timeout time.Duration) error {
	waiting, cancel := bounded(ctx, timeout)
	defer cancel()
	b := newBoard(job)
	v := a.newView(b)
	watchErr := show(waiting, c, b, v)
	v.end()
	if err := a.printOutcome(b); err != nil {
		return err
	}
	if watchErr != nil && waiting.Err() == nil {
		// The server refuses to tell more; what was heard until then has been printed.
		return watchErr
	}
	return verdict(b, whyEnded(ctx, b))
}

// bounded ends with ctx, and after timeout if that is not 0.
func bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		return context.WithTimeout(ctx, timeout)
	}
	return context.WithCancel(ctx)
}

// show runs the watch and feeds the view.
func show(ctx context.Context, c *client.Client, b *board, v view) error {
	events := make(chan event)
	go func() {
		s := eventSender{ctx, events}
		err := c.WatchJob(ctx, b.job.GetId(), s)
		s.send(event{ended: true, err: err})
	}()
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case e := <-events:
			switch {
			case e.ended:
				return e.err
			case e.lost != nil:
				b.away = e.lost
				v.lost(e.lost)
			default:
				v.changed(b, b.apply(e.message))
			}
		case <-ticker.C:
			v.tick(b)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// whyEnded says why a wait ended before the job was done: the person ended it, or --timeout did.
func whyEnded(person context.Context, b *board) string {
	why := "the time for waiting is over"
	if person.Err() != nil {
		why = "interrupted"
	}
	if b.away != nil {
		why += ", and the above is as it was before the server went away (" + b.away.Error() + ")"
	}
	return why
}

// verdict gives the exit code of a job that was watched. why says why the wait ended early.
func verdict(b *board, why string) error {
	id := b.job.GetId()
	c := b.counts()
	switch good := c.GetSucceeded() + c.GetNoChange(); {
	case !b.done():
		return stillRunning(b.job, why)
	case c.GetTotal() == 0 || good < c.GetTotal():
		return exit.Errorf(exit.NotSuccessful, "job %s: %d of %s not successful", id, c.GetTotal()-good, output.Count(c.GetTotal(), "target")).
			Then("see all of it with `fleetctl job show %s %s`", id, firstUnsuccessful(b))
	default:
		return nil
	}
}

// stillRunning ends a wait before its job's end: it says what the job itself waits for.
func stillRunning(j *fleetv1.Job, why string) error {
	id := j.GetId()
	switch {
	case j.GetPause() != nil:
		return exit.Errorf(exit.StillRunning, "job %s: %s; it is %s", id, why, pausedBy(j.GetPause())).
			Then("let it go on with `fleetctl job resume %s`, or end it with `fleetctl job cancel %s`", id, id)
	case missing(j) > 0:
		return exit.Errorf(exit.StillRunning, "job %s: %s; it %s", id, why, awaitedWord(j)).
			Then("watch it with `fleetctl job watch %s`, or take it back with `fleetctl job cancel %s`", id, id)
	default:
		return exit.Errorf(exit.StillRunning, "job %s: %s; the job goes on (what has not started by %s will not start)",
			id, why, output.UTC(j.GetExpires())).
			Then("watch it with `fleetctl job watch %s`, or take back what has not started with `fleetctl job cancel %s`", id, id)
	}
}

// firstUnsuccessful names a terminal to look at.
func firstUnsuccessful(b *board) string {
	for _, t := range b.ordered() {
		if t.GetState() == fleetv1.TaskState_TASK_STATE_DONE && !succeeded(t.GetStatus()) {
			return pasteable(t)
		}
	}
	return "TERMINAL"
}

// pasteable names a terminal in a command that people copy into a shell: by its id, should the name mean something there.
func pasteable(t *fleetv1.Task) string {
	special := func(r rune) bool {
		return !strings.ContainsRune("-._", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	if strings.IndexFunc(t.GetTerminalName(), special) >= 0 {
		return t.GetTerminalId()
	}
	return t.GetTerminalName()
}

// printOutcome prints the summary for people or the document for programs.
func (a *app) printOutcome(b *board) error {
	switch a.format {
	case output.JSON, output.YAML:
		return a.out.Message(a.format, b.document())
	case output.Name:
		a.out.Line("%s", b.job.GetId())
		return nil
	}
	if b.job.GetDryRun() {
		printPlans(a.out, b)
	}
	printSummary(a, b)
	return nil
}

// newView draws in place on a terminal and prints lines elsewhere; for programs the lines go to standard error. A job that was
// done before has no changes to show.
func (a *app) newView(b *board) view {
	if b.done() {
		return noView{}
	}
	if !a.format.Machine() && output.CursorTerminal(a.stdout) {
		return &liveView{
			printer: a.out,
			live:    output.NewLive(a.stdout, func() (int, int) { return output.Size(a.stdout) }),
			now:     a.now,
		}
	}
	return &lineView{printer: a.people(), now: a.now}
}

// noView shows nothing.
type noView struct{}

func (noView) changed(*board, []change) {}
func (noView) lost(error)               {}
func (noView) tick(*board)              {}
func (noView) end()                     {}
