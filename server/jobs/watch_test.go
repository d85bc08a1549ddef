package jobs

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func next(t *testing.T, w *Watch) *fleetv1.WatchJobResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m, err := w.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return m
}

func TestWatchTellsEverythingThenChangesThenEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		first := next(t, w)
		expect(t, "tasks at first", len(first.GetTasks()), 2)
		expect(t, "synced", first.GetSynced(), true)

		progress := &agentv1.TaskProgress{Key: key(job), Phase: "verify", Message: "watching for 30s"}
		if err := r.engine.Progress(t.Context(), "T-0000", progress); err != nil {
			t.Fatal(err)
		}
		change := next(t, w)
		expect(t, "tasks after progress", len(change.GetTasks()), 1)
		expect(t, "progress", change.GetTasks()[0].GetProgress(), "verify: watching for 30s")

		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		done := next(t, w)
		expect(t, "status", done.GetTasks()[0].GetStatus(), succeeded)
		expect(t, "plugin in the watched result", done.GetTasks()[0].GetResult().GetPlugin(), "endpoint")

		r.connect(1)
		if err := r.result(1, job, succeeded); err != nil {
			t.Fatal(err)
		}
		last := next(t, w)
		expect(t, "job state", last.GetJob().GetState(), fleetv1.JobState_JOB_STATE_DONE)
		if _, err := w.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v, want EOF", err)
		}
	}, "lyon", "lyon")
}

// A watch of a large job comes in pieces; a reader who does not read costs nothing and misses nothing in the end.
func TestASlowWatcherIsToldTheLatest(t *testing.T) {
	sites := make([]string, 2*watchChunk+10)
	for i := range sites {
		sites[i] = "lyon"
	}
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for i := range sites {
			r.connect(i)
			if err := r.result(i, job, succeeded); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[uint32]fleetv1.TaskState{}
		for {
			m, err := w.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range m.GetTasks() {
				seen[task.GetIndex()] = task.GetState()
			}
		}
		expect(t, "tasks told", len(seen), len(sites))
		for i, state := range seen {
			if state != fleetv1.TaskState_TASK_STATE_DONE {
				t.Errorf("task %d was last told as %v", i, state)
			}
		}
	}, sites...)
}

// Clients take 4 MiB a message, and a result may hold a plugin's output.
func TestLargeResultsAreToldInSeveralMessages(t *testing.T) {
	sites := make([]string, 20)
	for i := range sites {
		sites[i] = "lyon"
	}
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		for i := range sites {
			r.connect(i)
			res := resultOf(job, succeeded)
			res.Result.Output = strings.Repeat("x", 200<<10)
			if err := r.engine.Result(t.Context(), terminalID(i), res, func(error) {}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		tasks := 0
		for {
			m, err := w.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			tasks += len(m.GetTasks())
			if size := proto.Size(m); size > 2*maxBytes {
				t.Errorf("a message of the watch has %d bytes", size)
			}
		}
		expect(t, "tasks told", tasks, len(sites))
		list, err := r.engine.Tasks(t.Context(), admin(), &fleetv1.ListTasksRequest{JobId: job.GetId(), PageSize: 1000})
		if err != nil || proto.Size(list) > 2*maxBytes || list.GetNextPageToken() == "" {
			t.Errorf("a page of the list has %d bytes and next page %q (%v), want it to stop early", proto.Size(list), list.GetNextPageToken(), err)
		}
	}, sites...)
}

func TestWatchOfAJobThatIsDone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		m := next(t, w)
		expect(t, "synced", m.GetSynced(), true)
		expect(t, "job state", m.GetJob().GetState(), fleetv1.JobState_JOB_STATE_DONE)
		expect(t, "status", m.GetTasks()[0].GetStatus(), succeeded)
		if _, err := w.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v, want EOF", err)
		}
	}, "lyon")
}

func TestAWatchEndsWithTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "lyon")
		job := r.create(nil)
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		next(t, w)
		ended := make(chan error)
		go func() { _, err := w.Next(context.Background()); ended <- err }()
		r.halt()
		expectRefusal(t, <-ended, "STOPPING")
	})
}

// A watcher is told when the time has come before which nothing starts: the terminal may be offline then.
func TestAWatcherIsToldThatTheTimeHasCome(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.NotBefore = timestamppb.New(time.Now().Add(time.Minute)) })
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		m, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "reason", m.GetTasks()[0].GetWait().GetReason(), fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE)
		time.Sleep(time.Minute)
		synctest.Wait()
		var p portion
		w.pop(&p)
		if len(p.indexes) != 1 {
			t.Error("nothing was told when the time had come: the watcher goes on showing NOT_BEFORE")
		}
	}, "lyon")
}
