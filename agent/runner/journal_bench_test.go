package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// memoryFolder is a file system without a disk below it, where a sync costs nothing.
const memoryFolder = "/dev/shm"

// BenchmarkJournal takes a task with two effects from its delivery to its acknowledged result, on a machine whose services need no time: with
// the journal on this folder's disk, on a file system without one, and with no journal at all. What lies between the first and the last is
// what it costs that a crash is settled.
func BenchmarkJournal(b *testing.B) {
	b.Run("none", func(b *testing.B) {
		runTasks(b, forgetful{tasks: map[string]*storagev1.JournalTask{}, mu: &sync.Mutex{}})
	})
	if _, err := os.Stat(memoryFolder); err == nil {
		b.Run("without a disk", func(b *testing.B) {
			dir, err := os.MkdirTemp(memoryFolder, "bandfleet-bench") //nolint:usetesting // it must be in this folder
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			runTasks(b, openJournal(b, dir))
		})
	}
	b.Run("on disk", func(b *testing.B) { runTasks(b, openJournal(b, b.TempDir())) })
}

func openJournal(b *testing.B, dir string) Journal {
	b.Helper()
	j, err := journal.Open(filepath.Join(dir, "journal.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { j.Close() })
	return j
}

func runTasks(b *testing.B, j Journal) {
	b.Helper()
	p, server := newRestarter(), newServer()
	p.verify = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
		return finishVerdict(&actionv1.Check{Name: "all is well", Ok: true}), nil
	}
	r := New(Config{Host: hosttest.NewMemory().Host(), Journal: j, Plugins: fakePlugins{"restart": p}, BootID: "boot-1"})
	r.SetReporter(server)
	r.SetServerTime(time.Now())
	r.SessionStarted()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	n := 0
	for b.Loop() {
		n++
		key := &agentv1.TaskKey{JobId: fmt.Sprintf("j-%d", n), Attempt: 1}
		task := &agentv1.Task{Key: key, Action: "restart", Expires: timestamppb.New(time.Now().Add(time.Hour)), Epoch: 1}
		if err := r.Dispatch(ctx, &agentv1.Dispatch{Task: task, PermitValidFor: durationpb.New(30 * time.Second)}); err != nil {
			b.Fatal(err)
		}
		if res := server.wait(key, time.Minute); res.GetStatus() != succeeded || len(res.GetEffects()) != 2 {
			b.Fatalf("result is %v, want success with two effects", res)
		}
		r.Acknowledge(key)
	}
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

// forgetful is a journal that remembers no more than the runner asks for while a task runs, and nothing over a crash.
type forgetful struct {
	Journal
	mu    *sync.Mutex
	tasks map[string]*storagev1.JournalTask
}

func (f forgetful) Epoch() (uint64, error)  { return 1, nil }
func (f forgetful) RaiseEpoch(uint64) error { return nil }

func (f forgetful) Accept(t *agentv1.Task, _ time.Time) (*storagev1.JournalTask, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rec := &storagev1.JournalTask{Task: t, State: agentv1.TaskState_TASK_STATE_ACCEPTED}
	f.tasks[nameOf(t.GetKey())] = rec
	return rec, false, nil
}

func (f forgetful) Start(*agentv1.TaskKey, time.Time, string) error                { return nil }
func (f forgetful) SavePlan(*agentv1.TaskKey, *actionv1.Plan) error                { return nil }
func (f forgetful) EnterPhase(*agentv1.TaskKey, actionv1.Phase) error              { return nil }
func (f forgetful) Finish(*agentv1.TaskKey, *actionv1.TaskResult, time.Time) error { return nil }
func (f forgetful) EffectOutcome(*agentv1.TaskKey, uint32, *actionv1.RecordedEffect) error {
	return nil
}
func (f forgetful) EffectIntent(*agentv1.TaskKey, uint32, *actionv1.RecordedEffect) (uint32, error) {
	return 1, nil
}

func (f forgetful) Acknowledge(k *agentv1.TaskKey, _ time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tasks, nameOf(k))
	return nil
}
