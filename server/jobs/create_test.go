package jobs

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/rollout"
	"github.com/bandfleet/bandfleet/server/store"
)

// at is an operator who reads at some sites and acts at others.
func at(reads, acts string) *access.Principal {
	return operator("bob",
		&fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, Sites: strings.Fields(reads)},
		&fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: strings.Fields(acts)})
}

func expectRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	var no *refusal.Error
	if !errors.As(err, &no) || no.Reason != reason {
		t.Errorf("got %v, want a refusal with reason %s", err, reason)
		return
	}
	// An agent is told of foreign tasks, and the fleet's own refusals in these tests are no words of the engine.
	if no.Next == "" && reason != "FOREIGN_TASK" && reason != "NOTHING_MATCHES" {
		t.Errorf("the refusal %q does not say what to do next", no.Message)
	}
}

func TestWhatIsRefusedLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for reason, change := range map[string]func(*fleetv1.CreateJobRequest){
			"NO_ACTION":        func(q *fleetv1.CreateJobRequest) { q.Spec.Action = "" },
			"ACTION_NOT_FOUND": func(q *fleetv1.CreateJobRequest) { q.Spec.Action = "make-coffee" },
			"NOTHING_MATCHES":  func(q *fleetv1.CreateJobRequest) { q.Spec.Selection.Sites = []string{"rome"} },
			"BAD_PARAMETER":    func(q *fleetv1.CreateJobRequest) { q.Spec.Params = map[string]string{"stop_timeout": "61s"} },
			"BAD_EXPIRY":       func(q *fleetv1.CreateJobRequest) { q.Spec.ExpiresIn = durationpb.New(time.Second) },
			"BAD_REASON":       func(q *fleetv1.CreateJobRequest) { q.Spec.Reason = "turned \u202e round" },
			"BAD_REQUEST_ID":   func(q *fleetv1.CreateJobRequest) { q.RequestId = "not a request id" },
			"BAD_ROLLOUT":      func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout.MaxErrors = rollout.Percent(101) },
			"BAD_NOT_BEFORE": func(q *fleetv1.CreateJobRequest) {
				q.Spec.NotBefore = timestamppb.New(time.Now().Add(maxAhead + time.Second))
			},
			"BAD_IN_USE":      func(q *fleetv1.CreateJobRequest) { q.Spec.InUse = 99 },
			"TARGETS_CHANGED": func(q *fleetv1.CreateJobRequest) { q.TargetsDigest = "of yesterday" },
		} {
			_, err := r.tryCreate(change)
			expectRefusal(t, err, reason)
		}
		list, err := r.engine.List(t.Context(), admin(), &fleetv1.ListJobsRequest{})
		if err != nil || len(list.GetJobs()) > 0 {
			t.Errorf("refused jobs left %v, %v", list, err)
		}
		expect(t, "audit records", r.audited("job.create"), 0)
	}, "lyon")
}

// A newer client may ask for what this server would leave out; to do it all the same could do more than was meant.
func TestWhatTheServerDoesNotKnowIsRefused(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	bubble(t, func(t *testing.T, r *rig) {
		for field, of := range map[string]func(*fleetv1.JobSpec) proto.Message{
			"spec":                  func(s *fleetv1.JobSpec) proto.Message { return s },
			"spec.selection":        func(s *fleetv1.JobSpec) proto.Message { return s.GetSelection() },
			"spec.rollout":          func(s *fleetv1.JobSpec) proto.Message { return s.GetRollout() },
			"spec.rollout.waves[0]": func(s *fleetv1.JobSpec) proto.Message { return s.GetRollout().GetWaves()[0] },
		} {
			_, err := r.tryCreate(func(q *fleetv1.CreateJobRequest) { of(q.Spec).ProtoReflect().SetUnknown(unknown) })
			expectRefusal(t, err, "UNKNOWN_FIELD")
			var no *refusal.Error
			if errors.As(err, &no) && no.Field != field {
				t.Errorf("the refusal names the field %q, want %q", no.Field, field)
			}
		}
		expect(t, "audit records", r.audited("job.create"), 0)
	}, "lyon")
}

func TestABadParameterNamesItsField(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, err := r.tryCreate(func(q *fleetv1.CreateJobRequest) { q.Spec.Params = map[string]string{"stop_timeout": "abc"} })
		var no *refusal.Error
		if !errors.As(err, &no) || no.Field != "spec.params[stop_timeout]" {
			t.Errorf("got %#v, want the field spec.params[stop_timeout]", err)
		}
	}, "lyon")
}

// A terminal that cannot be served is accounted for from the start, and is never sent anything.
func TestTargetsThatCannotBeServed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.terminals[0].PluginSha256 = nil
		r.fleet.terminals[1].Terminal.Role = fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST
		newer := restart()
		newer.Version = "2.0.0"
		newer.Params[0].Max = "8s"
		r.fleet.actions["bb"] = newer
		r.fleet.terminals[2].PluginSha256 = []string{"bb"}
		for i := range 5 {
			r.connect(i)
		}
		job := r.create(nil)
		expect(t, "refused", job.GetCounts().GetRefused(), 3)
		for i, want := range []string{"none of its plugins offers", "it is a nes-host", "refuses the parameters"} {
			task := r.task(i, job)
			if task.GetStatus() != refused || !strings.Contains(task.GetResult().GetReason(), want) {
				t.Errorf("task %d is %v %q, want refused: %s", i, task.GetStatus(), task.GetResult().GetReason(), want)
			}
			expectSent(t, r.wire.take(terminalID(i)))
		}
		expectSent(t, r.wire.take(terminalID(3)), "dispatch for 30s")
	}, "lyon", "lyon", "lyon", "lyon", "lyon")
}

func TestAJobOfRefusedTargetsIsDoneAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.terminals[0].PluginSha256 = nil
		job := r.create(nil)
		expect(t, "state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
	}, "lyon")
}

func TestCreateIsRepeatable(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ask := func(q *fleetv1.CreateJobRequest) { q.RequestId = "r-1" }
		var ids sync.Map
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				job, err := r.tryCreate(ask)
				if err != nil {
					t.Errorf("a repeated request: %v", err)
				}
				ids.Store(job.GetId(), true)
			})
		}
		all.Wait()
		n := 0
		ids.Range(func(any, any) bool { n++; return true })
		expect(t, "jobs for one request_id", n, 1)
		list, err := r.engine.List(t.Context(), admin(), &fleetv1.ListJobsRequest{})
		if err != nil || len(list.GetJobs()) != 1 {
			t.Errorf("one request_id left %d jobs (%v), want 1", len(list.GetJobs()), err)
		}
		_, err = r.tryCreate(func(q *fleetv1.CreateJobRequest) { ask(q); q.Spec.Reason = "another" })
		expectRefusal(t, err, "REQUEST_ID_REUSED")
	}, "lyon")
}

func TestACallerSeesAndActsOnlyWhereAllowed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		lyon := at("", "lyon")
		got, err := r.engine.Get(t.Context(), lyon, job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "total as seen from one site", got.GetCounts().GetTotal(), 2)
		expect(t, "sites as seen from one site", strings.Join(got.GetSites(), " "), "lyon")
		if got.GetSelection() != nil {
			t.Error("the selection names what the reader may not see")
		}
		tasks, err := r.engine.Tasks(t.Context(), lyon, &fleetv1.ListTasksRequest{JobId: job.GetId()})
		if err != nil || len(tasks.GetTasks()) != 2 {
			t.Errorf("tasks as seen from one site: %d, %v; want 2", len(tasks.GetTasks()), err)
		}
		_, err = r.engine.Cancel(t.Context(), lyon, job.GetId(), "")
		expectRefusal(t, err, "RIGHT_MISSING")
		_, hidden := r.engine.Get(t.Context(), at("rome", ""), job.GetId())
		expectRefusal(t, hidden, "NOT_FOUND")
		_, err = r.engine.Get(t.Context(), at("rome", ""), strings.Repeat("0", 26))
		expect(t, "answer for a job that does not exist, against that for one that is hidden",
			strings.ReplaceAll(err.Error(), strings.Repeat("0", 26), job.GetId()), hidden.Error())
		mine, err := r.engine.Create(t.Context(), at("paris", "lyon"),
			&fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{}}})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "targets of a job by one who acts at lyon only", mine.GetCounts().GetTotal(), 2)
	}, "lyon", "lyon", "paris")
}

// A crash between the first write of a job and the one that makes it real leaves a job that nobody was told of.
func TestACreationThatWasCutShortIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		d, err := r.engine.draft(t.Context(), admin(), &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{}})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.engine.record(admin(), &fleetv1.JobSpec{Action: "ble-restart"}, d)
		if err != nil {
			t.Fatal(err)
		}
		id := rec.GetJob().GetId()
		err = r.store.Update(t.Context(), func(w store.Writer) error {
			return errors.Join(put(w, store.TableJobs, store.JobKey(id), rec), w.Put(store.TableActiveJobs, store.JobKey(id), nil),
				put(w, store.TableTasks, store.TaskKey(id, 0), d.tasks(id, time.Now())[0]))
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.engine.Get(t.Context(), admin(), id)
		expectRefusal(t, err, "NOT_FOUND")
		r.restart()
		for _, table := range []store.Table{store.TableJobs, store.TableActiveJobs, store.TableTasks} {
			if left, err := keysUnder(t.Context(), r.store, table, nil); err != nil || len(left) > 0 {
				t.Errorf("table %s holds %q, %v; want nothing of the job that never was", table, left, err)
			}
		}
	}, "lyon")
}

func TestPreviewTellsWhatCreateDoes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.terminals[1].PluginSha256 = nil
		spec := &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{}}
		seen, err := r.engine.Preview(t.Context(), admin(), spec)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "targets", len(seen.GetTargets()), 2)
		expect(t, "problem of the one that can be served", seen.GetTargets()[0].GetProblem(), "")
		if seen.GetTargets()[1].GetProblem() == "" {
			t.Error("the terminal without plugins has no problem in the preview")
		}
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.TargetsDigest = seen.GetTargetsDigest() })
		expect(t, "parameter", job.GetParams()["stop_timeout"], seen.GetParams()["stop_timeout"])
	}, "lyon", "paris")
}

func TestListsPageAndFilter(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ids []string
		for range 5 {
			ids = append(ids, r.create(nil).GetId())
		}
		var got []string
		token := ""
		for {
			page, err := r.engine.List(t.Context(), admin(), &fleetv1.ListJobsRequest{PageSize: 2, PageToken: token, ActiveOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range page.GetJobs() {
				got = append(got, j.GetId())
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		for i, id := range got {
			expect(t, "job in the list, newest first", id, ids[len(ids)-1-i])
		}
		expect(t, "jobs over all pages", len(got), len(ids))
		none, err := r.engine.List(t.Context(), admin(), &fleetv1.ListJobsRequest{Site: "rome"})
		if err != nil || len(none.GetJobs()) > 0 {
			t.Errorf("jobs at another site: %v, %v", none, err)
		}
		_, err = r.engine.List(t.Context(), admin(), &fleetv1.ListJobsRequest{PageToken: "what"})
		expectRefusal(t, err, "BAD_PAGE_TOKEN")
		first, err := r.engine.Tasks(t.Context(), admin(), &fleetv1.ListTasksRequest{JobId: ids[0], PageSize: 1})
		if err != nil || len(first.GetTasks()) != 1 || first.GetNextPageToken() == "" {
			t.Errorf("first page of tasks: %v, %v", first, err)
		}
	}, "lyon", "lyon")
}

// A job that ends between the reading of a list and the look at what is running must not be shown as one without targets.
func TestAJobThatEndsWhileItIsListed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		list := []*fleetv1.Job{{Id: job.GetId(), State: fleetv1.JobState_JOB_STATE_ACTIVE}}
		if err := r.engine.overlayJobs(t.Context(), admin(), list); err != nil {
			t.Fatal(err)
		}
		expect(t, "state", list[0].GetState(), fleetv1.JobState_JOB_STATE_DONE)
		expect(t, "succeeded", list[0].GetCounts().GetSucceeded(), 1)
	}, "lyon")
}

// Nor a task that ends in between as one that waits for nothing.
func TestATaskThatEndsWhileItIsListed(t *testing.T) {
	for name, n := range map[string]int{"the job goes on": 2, "the job is done": 1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connect(0)
				job := r.create(nil)
				list := []*fleetv1.Task{{JobId: job.GetId(), State: fleetv1.TaskState_TASK_STATE_WAITING}}
				r.end(0, job, succeeded)
				if err := r.engine.overlayTasks(t.Context(), job.GetId(), list); err != nil {
					t.Fatal(err)
				}
				expect(t, "state", list[0].GetState(), fleetv1.TaskState_TASK_STATE_DONE)
				expect(t, "status", list[0].GetStatus(), succeeded)
			}, lyon(n)...)
		})
	}
}

func TestALargeJob(t *testing.T) {
	const n = 2000
	sites := make([]string, n)
	for i := range sites {
		sites[i] = []string{"lyon", "paris"}[i%2]
	}
	bubble(t, func(t *testing.T, r *rig) {
		for i := range n {
			r.wire.open(terminalID(i), 1)
			if err := r.engine.Connected(t.Context(), terminalID(i), 1, nil, "journal"); err != nil {
				t.Fatal(err)
			}
		}
		job := r.create(nil)
		expect(t, "running", r.job(job).GetCounts().GetRunning(), n)
		acks := make(chan error, n)
		for i := range n {
			if err := r.engine.Result(t.Context(), terminalID(i), resultOf(job, succeeded), func(err error) { acks <- err }); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			if err := <-acks; err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		got := r.job(job)
		expect(t, "succeeded", got.GetCounts().GetSucceeded(), n)
		expect(t, "state", got.GetState(), fleetv1.JobState_JOB_STATE_DONE)
		if left, err := keysUnder(t.Context(), r.store, store.TablePermits, nil); err != nil || len(left) > 0 {
			t.Errorf("%d marks of permits are left after the job, %v", len(left), err)
		}
	}, sites...)
}

func TestAResultIsAcknowledgedOnlyWhenItIsOnDisk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.disk.set(true)
		answer := make(chan error, 1)
		if err := r.engine.Result(t.Context(), "T-0000", resultOf(job, succeeded), func(err error) { answer <- err }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(answer) > 0 {
			t.Error("a result was acknowledged while the disk was full: the agent forgets it then")
		}
		r.disk.set(false)
		if err := <-answer; err != nil {
			t.Error(err)
		}
		expect(t, "status", r.task(0, job).GetStatus(), succeeded)
	}, "lyon")
}

func TestEveryStatusHasItsCount(t *testing.T) {
	for number := range actionv1.TaskStatus_name {
		c := &fleetv1.JobCounts{Total: 1}
		*bucket(c, actionv1.TaskStatus(number))++
		checkSum(t, c)
	}
}

// What the job was asked for stays readable in the record and in the audit: one line, however it was typed.
func TestTheRecordKeepsTheExpression(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Selection.Expression = "site = lyon,\n\tnot (online)" })
		const want = "site=lyon and !online"
		expect(t, "expression of the job", r.job(job).GetSelection().GetExpression(), want)
		expect(t, "expression in the audit", r.change("job.create", "expression"), want)
	}, "lyon")
}
