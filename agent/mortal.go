//go:build killpoints

package agent

import (
	"context"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/killpoint"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// The agent's kill points, by name:
//
//	before|after accept    the task's ACCEPTED is about to be journalled; it is on disk, and nobody was told
//	before|after start     the same of STARTED
//	before|after intent    the same of what is about to be done to the machine
//	before|after deed      a service is about to be stopped or started; that has come about, and is not journalled
//	during deed            a service has been asked to stop and is neither running nor stopped
//	before|after finish    the same of the result
//	before|after acknowledge  the same of the server's word that it has the result

func mortalJournal(j runner.Journal) runner.Journal { return dyingJournal{j} }

func mortalHost(h *host.Host) *host.Host {
	mortal := *h
	mortal.Services = dyingServices{h.Services}
	mortalMachine(&mortal)
	return &mortal
}

// around calls do between two points.
func around(what string, do func() error) error {
	killpoint.Reach("before " + what)
	if err := do(); err != nil {
		return err
	}
	killpoint.Reach("after " + what)
	return nil
}

// dyingJournal is the journal as the runner sees it, with points around what matters.
type dyingJournal struct{ runner.Journal }

// Accept implements runner.Journal.
func (d dyingJournal) Accept(t *agentv1.Task, at time.Time) (rec *storagev1.JournalTask, known bool, err error) {
	err = around("accept", func() (err error) { rec, known, err = d.Journal.Accept(t, at); return err })
	return rec, known, err
}

// Start implements runner.Journal.
func (d dyingJournal) Start(k *agentv1.TaskKey, at time.Time, bootID string) error {
	return around("start", func() error { return d.Journal.Start(k, at, bootID) })
}

// EffectIntent implements runner.Journal.
func (d dyingJournal) EffectIntent(k *agentv1.TaskKey, run uint32, e *actionv1.RecordedEffect) (n uint32, err error) {
	err = around("intent", func() (err error) { n, err = d.Journal.EffectIntent(k, run, e); return err })
	return n, err
}

// Finish implements runner.Journal.
func (d dyingJournal) Finish(k *agentv1.TaskKey, result *actionv1.TaskResult, at time.Time) error {
	return around("finish", func() error { return d.Journal.Finish(k, result, at) })
}

// FinishLeased implements runner.Journal.
func (d dyingJournal) FinishLeased(k *agentv1.TaskKey, result *actionv1.TaskResult, at time.Time, l *storagev1.JournalLease) error {
	return around("finish", func() error { return d.Journal.FinishLeased(k, result, at, l) })
}

// Acknowledge implements runner.Journal.
func (d dyingJournal) Acknowledge(k *agentv1.TaskKey, at time.Time) error {
	return around("acknowledge", func() error { return d.Journal.Acknowledge(k, at) })
}

// dyingServices are the machine's services, with points around each change.
type dyingServices struct{ host.Services }

// Stop implements host.Services.
func (d dyingServices) Stop(ctx context.Context, name string) error {
	if killpoint.Armed("during deed") {
		go d.dieOnTheWay(ctx, name)
	}
	return around("deed", func() error { return d.Services.Stop(ctx, name) })
}

// Start implements host.Services.
func (d dyingServices) Start(ctx context.Context, name string) error {
	return around("deed", func() error { return d.Services.Start(ctx, name) })
}

// dieOnTheWay waits until the service is on its way down. The test lets it hang there, so that there is such a moment.
func (d dyingServices) dieOnTheWay(ctx context.Context, name string) {
	for ctx.Err() == nil {
		state, err := d.State(ctx, name)
		if err == nil && state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPING {
			killpoint.Reach("during deed")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
