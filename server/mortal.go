//go:build killpoints

package server

import (
	"context"
	"os"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/killpoint"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/sessions"
	"github.com/bandfleet/bandfleet/server/store"
)

// The server's kill points, by name:
//
//	before commit of job|permit|result   all of it is written in the transaction, and nothing is on disk
//	after commit of job|permit|result    it is on disk, and nobody was told
//	before sending task                  the permit's mark is on disk, and the task is about to be sent
//	told of start                        the agent has started the task and said so, and nothing is noted
//	told of result                       the result has arrived, and nothing is noted

func mortalStore(st store.Store) store.Store { return dyingStore{st} }

func mortalLink(l jobs.Link) jobs.Link { return dyingLink{l} }

func mortalEngine(e sessions.Engine) sessions.Engine { return dyingEngine{e} }

// clockVariable names the environment variable that holds the path of a file with the clock's error ("8760h"). The file is read
// each time, so that a test can set the clock while the server runs.
const clockVariable = "BANDFLEET_CLOCK_ERROR"

// mortalClock is a clock that somebody sets: the jobs and the sessions go by it.
func mortalClock() func() time.Time {
	return func() time.Time {
		text, _ := os.ReadFile(os.Getenv(clockVariable)) // no file, no error
		wrong, _ := time.ParseDuration(string(text))
		return time.Now().Add(wrong)
	}
}

// dyingStore is the store as the engine sees it, with points around the commits that matter.
type dyingStore struct{ store.Store }

// Update implements store.Store.
func (d dyingStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	what := ""
	err := d.Store.Update(ctx, func(w store.Writer) error {
		seen := &noticing{Writer: w, put: make(map[store.Table]bool)}
		if err := fn(seen); err != nil {
			return err
		}
		what = seen.what()
		killpoint.Reach("before commit of " + what)
		return nil
	})
	if err == nil {
		killpoint.Reach("after commit of " + what)
	}
	return err
}

// noticing notes which tables are written to.
type noticing struct {
	store.Writer
	put map[store.Table]bool
}

// Put implements store.Writer.
func (n *noticing) Put(t store.Table, key, value []byte) error {
	n.put[t] = true
	return n.Writer.Put(t, key, value)
}

// what says what an update is, by the tables it writes to: a job becomes real together with the request that asked for it, and
// a result is written with its audit record.
func (n *noticing) what() string {
	switch {
	case n.put[store.TableRequests] && n.put[store.TableJobs]:
		return "job"
	case n.put[store.TablePermits]:
		return "permit"
	case n.put[store.TableTasks] && n.put[store.TableAudit]:
		return "result"
	}
	return "something else"
}

// dyingLink is the way to the agents with a point before each task.
type dyingLink struct{ jobs.Link }

// Send implements jobs.Link.
func (d dyingLink) Send(terminalID string, session uint64, m *agentv1.ConnectResponse) bool {
	if m.GetDispatch() != nil {
		killpoint.Reach("before sending task")
	}
	return d.Link.Send(terminalID, session, m)
}

// dyingEngine is the engine as the sessions see it, with points where agents' words come in.
type dyingEngine struct{ sessions.Engine }

// Started implements sessions.Engine.
func (d dyingEngine) Started(ctx context.Context, terminalID string, s *agentv1.Started) error {
	killpoint.Reach("told of start")
	return d.Engine.Started(ctx, terminalID, s)
}

// Result implements sessions.Engine.
func (d dyingEngine) Result(ctx context.Context, terminalID string, r *agentv1.Result, stored func(error)) error {
	killpoint.Reach("told of result")
	return d.Engine.Result(ctx, terminalID, r, stored)
}
