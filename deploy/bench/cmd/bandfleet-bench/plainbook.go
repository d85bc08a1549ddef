package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// plainBook writes what fleetd writes of a job and its tasks, in fleetd's own store with its group commit: the job, a record for
// each task, the mark before anything is sent, each result, the end. Only the audit records are left out.
type plainBook struct {
	store *store.Bolt
	// jobs counts the jobs: the present one's number is its id.
	jobs atomic.Int64
}

func openPlainBook(path string) (*plainBook, error) {
	st, err := store.Open(path)
	return &plainBook{store: st}, err
}

// id is as long as a real one.
func (b *plainBook) id() string { return fmt.Sprintf("%026d", b.jobs.Load()) }

func (b *plainBook) put(t store.Table, key []byte, m proto.Message) error {
	value, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return b.store.Update(context.Background(), func(w store.Writer) error { return w.Put(t, key, value) })
}

func (b *plainBook) task(number int) *fleetv1.Task {
	return &fleetv1.Task{
		JobId: b.id(), TerminalId: fmt.Sprintf("T-%04d", number), TerminalName: fmt.Sprintf("bench-%d", number), Site: benchSite,
		Index: uint32(number), State: fleetv1.TaskState_TASK_STATE_WAITING, Attempt: 1,
	}
}

// tasksPerUpdate is as many as fleetd writes in one update.
const tasksPerUpdate = 100

func (b *plainBook) begin(n int) error {
	b.jobs.Add(1)
	if err := b.put(store.TableJobs, store.JobKey(b.id()), &storagev1.JobRecord{Job: &fleetv1.Job{Id: b.id(), Action: benchAction}}); err != nil {
		return err
	}
	numbers := make([]int, n)
	marks := &storagev1.PermitBatch{Time: timestamppb.Now()}
	for i := range numbers {
		numbers[i] = i
		marks.Indexes, marks.Journals = append(marks.Indexes, uint32(i)), append(marks.Journals, "bench")
	}
	var all errgroup.Group
	all.SetLimit(16)
	for chunk := range slices.Chunk(numbers, tasksPerUpdate) {
		all.Go(func() error { return b.writeTasks(chunk) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return b.put(store.TablePermits, store.PermitKey(b.id(), 0), marks)
}

func (b *plainBook) writeTasks(numbers []int) error {
	return b.store.Update(context.Background(), func(w store.Writer) error {
		for _, n := range numbers {
			value, err := proto.Marshal(&storagev1.TaskRecord{Task: b.task(n)})
			if err != nil {
				return err
			}
			if err := w.Put(store.TableTasks, store.TaskKey(b.id(), uint32(n)), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// result returns when the result is on disk.
func (b *plainBook) result(number int, r *agentv1.Result) error {
	task := b.task(number)
	task.State, task.Status, task.Result = fleetv1.TaskState_TASK_STATE_DONE, r.GetResult().GetStatus(), r.GetResult()
	task.Permitted, task.Started, task.Finished = timestamppb.Now(), r.GetResult().GetStarted(), timestamppb.New(time.Now())
	return b.put(store.TableTasks, store.TaskKey(b.id(), uint32(number)), &storagev1.TaskRecord{Task: task})
}

// fault returns when a fault is on disk: its record alone, without the indexes, the mark and the audit record that fleetd writes with it.
func (b *plainBook) fault(number int, n *agentv1.News) error {
	f := n.GetFault()
	key := uint64(number)*1_000_000 + n.GetSequence() //nolint:gosec // a number of an agent
	return b.put(store.TableFaults, store.Number(key), &storagev1.FaultRecord{Opened: timestamppb.Now(), Fault: &fleetv1.Fault{
		Id: fmt.Sprintf("F-%d", key), Entry: f.GetEntry(), TerminalId: fmt.Sprintf("T-%04d", number), TerminalName: fmt.Sprintf("bench-%d", number), Site: benchSite,
		Subject: f.GetSubject(), State: fleetv1.FaultState_FAULT_STATE_OPEN, FirstSeen: f.GetFirstSeen(), LastSeen: f.GetLastSeen(), Count: 1, Evidence: f.GetEvidence(),
	}})
}

func (b *plainBook) end() error {
	job := &fleetv1.Job{Id: b.id(), Action: benchAction, State: fleetv1.JobState_JOB_STATE_DONE, Finished: timestamppb.Now()}
	return b.put(store.TableJobs, store.JobKey(b.id()), &storagev1.JobRecord{Job: job})
}
