package jobs

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// A record that was changed behind the server's back is not what was approved.
func TestVerifyFindsWhatNobodyApproved(t *testing.T) {
	for says, spoil := range map[string]func(*storagev1.JobRecord){
		"":                              func(*storagev1.JobRecord) {},
		"its digest for approval is":    func(rec *storagev1.JobRecord) { rec.Job.Params["stop_timeout"] = "59s" },
		"1 plugins were frozen":         func(rec *storagev1.JobRecord) { rec.PluginSha256 = rec.PluginSha256[:1] },
		"and that of its record":        func(rec *storagev1.JobRecord) { rec.PluginSha256[1] = "bb" },
		"for approval is " + "0123abcd": func(rec *storagev1.JobRecord) { rec.Job.Approval.Digest = "0123abcd" },
	} {
		bubble(t, func(t *testing.T, r *rig) {
			job := r.create(needing(1))
			err := r.store.Update(t.Context(), func(w store.Writer) error {
				rec, err := readJob(w, job.GetId())
				if err != nil {
					return err
				}
				spoil(rec)
				return put(w, store.TableJobs, store.JobKey(job.GetId()), rec)
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Verify(t.Context(), r.store)
			if (err == nil) != (says == "") || (err != nil && !strings.Contains(err.Error(), says)) {
				t.Errorf("error %v, want one that says %q", err, says)
			}
		}, "lyon", "paris")
	}
}

// Each case spoils one record whose own checksum is right: only a comparison with the others can find it.
func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w store.Writer, done, active string) error
		says  string
	}{
		"sound": {spoil: func(store.Writer, string, string) error { return nil }},
		"a task is gone": {func(w store.Writer, done, _ string) error {
			return w.Delete(store.TableTasks, store.TaskKey(done, 1))
		}, "has 1 tasks, and 2 were frozen"},
		"the first task is gone": {func(w store.Writer, done, _ string) error {
			return w.Delete(store.TableTasks, store.TaskKey(done, 0))
		}, "task 0: in its place lies task 1"},
		"a result was lost": {func(w store.Writer, done, _ string) error {
			rec, err := readTask(w, done, 1)
			if err != nil {
				return err
			}
			rec.Task.Status = unknown
			return put(w, store.TableTasks, store.TaskKey(done, 1), rec)
		}, "its counts are"},
		"an active job is forgotten": {func(w store.Writer, _, active string) error {
			return w.Delete(store.TableActiveJobs, store.JobKey(active))
		}, "is JOB_STATE_ACTIVE"},
		"a job that is done is active": {func(w store.Writer, done, _ string) error {
			return w.Put(store.TableActiveJobs, store.JobKey(done), nil)
		}, `"jobs-active": holds 2 records, and 1 belong to jobs`},
		"a job is gone": {func(w store.Writer, done, _ string) error {
			return w.Delete(store.TableJobs, store.JobKey(done))
		}, `"tasks": holds 4 records, and 2 belong to jobs`},
		"a permit for nobody": {func(w store.Writer, _, active string) error {
			mark, err := proto.Marshal(&storagev1.PermitBatch{Indexes: []uint32{9}})
			if err != nil {
				return err
			}
			return w.Put(store.TablePermits, store.PermitKey(active, 7), mark)
		}, "a permit is for task 9 of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connect(0)
				r.connect(1)
				done := r.create(nil)
				for i := range 2 {
					if err := r.result(i, done, succeeded); err != nil {
						t.Fatal(err)
					}
				}
				active := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = atOnce(1) })
				err := r.store.Update(t.Context(), func(w store.Writer) error { return c.spoil(w, done.GetId(), active.GetId()) })
				if err != nil {
					t.Fatal(err)
				}
				found, err := Verify(t.Context(), r.store)
				if c.says == "" {
					expect(t, "found", found, "2 jobs (1 of them active), 4 tasks")
				}
				if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
					t.Errorf("error %v, want one that says %q", err, c.says)
				}
			}, "lyon", "paris")
		})
	}
}
