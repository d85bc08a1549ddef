package cli

import (
	"context"
	"crypto/sha256"
	"os"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// arrivalPatience is how long is waited for files that a task has announced, after its result.
	arrivalPatience = 10 * time.Minute
	// arrivalLook is how often is looked for them.
	arrivalLook = 500 * time.Millisecond
)

// errand is an action that a verb runs for what it brings back. It changes nothing on the machines, so nobody is asked first.
type errand struct {
	spec    *fleetv1.JobSpec
	timeout time.Duration
}

// run creates the job, follows it to its end and returns its tasks. The error is the one that `fleetctl fix` would end with; tasks may be
// there all the same.
func (e errand) run(ctx context.Context, a *app, c *client.Client) (job *fleetv1.Job, tasks []*fleetv1.Task, err error) {
	req := &fleetv1.CreateJobRequest{Spec: e.spec, RequestId: ulid.Make().String()}
	job, err = createJob(ctx, a, func(ctx context.Context, lost func(error)) (*fleetv1.Job, error) { return c.CreateJob(ctx, req, lost) })
	if err != nil {
		return nil, nil, err
	}
	a.people().Line("job %s: %s on %s", job.GetId(), e.spec.GetAction(), selectionWord(job.GetSelection()))
	followed := a.follow(ctx, c, job, e.timeout)
	if ctx.Err() != nil {
		return job, nil, followed
	}
	tasks, err = c.Tasks(ctx, job.GetId(), "")
	if followed != nil {
		err = followed
	}
	return job, tasks, err
}

// aside is the app for what is only on the way to a verb's own output: its words go to standard error.
func (a *app) aside() *app {
	quiet := *a
	quiet.out = a.info
	return &quiet
}

// arrived waits until every file of a kind that tasks have announced is with the server, and returns them.
func arrived(ctx context.Context, a *app, c *client.Client, job, kind string, tasks []*fleetv1.Task) ([]*fleetv1.Artifact, error) {
	announced := 0
	for _, t := range tasks {
		for _, ref := range t.GetResult().GetArtifacts() {
			if ref.GetKind() == kind {
				announced++
			}
		}
	}
	waiting, cancel := bounded(ctx, arrivalPatience)
	defer cancel()
	for told := false; ; told = true {
		here, err := complete(waiting, c, job, kind)
		if err != nil || len(here) >= announced {
			return here, err
		}
		if !told {
			a.info.Line("waiting for %d of %d files to arrive", announced-len(here), announced)
		}
		select {
		case <-waiting.Done():
			return here, exit.Errorf(exit.StillRunning, "job %s: %d of %d files have not arrived yet", job, announced-len(here), announced).
				Then("look with `fleetctl artifact list --job %s`, and fetch them with `fleetctl artifact get`", job)
		case <-time.After(arrivalLook):
		}
	}
}

func complete(ctx context.Context, c *client.Client, job, kind string) (here []*fleetv1.Artifact, err error) {
	resp, err := c.ListArtifacts(ctx, &fleetv1.ListArtifactsRequest{JobId: job}, 0)
	for _, f := range resp.GetArtifacts() {
		if f.GetKind() == kind && f.GetComplete() {
			here = append(here, f)
		}
	}
	return here, err
}

// fetchTemporary fetches a file to a temporary one that the caller closes and removes.
func fetchTemporary(ctx context.Context, c *client.Client, f *fleetv1.Artifact) (*os.File, error) {
	file, err := os.CreateTemp("", "fleetctl-*")
	if err != nil {
		return nil, notWritable(err)
	}
	d := &download{artifact: f, to: file, sum: sha256.New(), progress: func(uint64) {}}
	if err = d.run(ctx, c); err == nil {
		err = d.check("it was thrown away")
	}
	if err != nil {
		dropTemporary(file)
		return nil, err
	}
	return file, nil
}

func dropTemporary(file *os.File) {
	_ = file.Close()
	_ = os.Remove(file.Name())
}

// oneMachine makes the selection of one terminal or one NES host.
func oneMachine(terminal, host, verb string) (*fleetv1.Selection, error) {
	switch {
	case (terminal == "") == (host == ""):
		return nil, exit.Errorf(exit.BadInput, "%s: name one machine, with --terminal or with --host", verb).Then("see `fleetctl %s --help`", verb)
	case strings.Contains(terminal+host, ","):
		return nil, exit.Errorf(exit.BadInput, "%s: %q names several machines; one is wanted", verb, terminal+host)
	case terminal != "":
		return &fleetv1.Selection{Terminals: []string{terminal}}, nil
	default:
		return &fleetv1.Selection{Hosts: []string{host}}, nil
	}
}
