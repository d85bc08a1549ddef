package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

var mapper = failures{server: "fleet:7443", timeout: 20 * time.Second}

func TestEveryStatusHasItsExitCode(t *testing.T) {
	want := map[codes.Code]exit.Code{
		codes.InvalidArgument: exit.BadInput, codes.FailedPrecondition: exit.BadInput, codes.AlreadyExists: exit.BadInput,
		codes.Aborted: exit.BadInput, codes.OutOfRange: exit.BadInput, codes.ResourceExhausted: exit.BadInput,
		codes.NotFound: exit.NotFound, codes.PermissionDenied: exit.Denied, codes.Unauthenticated: exit.Denied,
		codes.Unavailable: exit.Unreachable, codes.DeadlineExceeded: exit.Unreachable, codes.Canceled: exit.Unreachable,
		codes.Internal: exit.Internal, codes.Unknown: exit.Internal, codes.DataLoss: exit.Internal, codes.Unimplemented: exit.Internal,
	}
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		if got := exit.From(mapper.explain(status.Error(c, "x"))).Code; got != want[c] {
			t.Errorf("%s ends with %d, want %d", c, got, want[c])
		}
	}
}

func TestDetailsOfAnErrorAreShownOnce(t *testing.T) {
	s, err := status.New(codes.InvalidArgument, `job: parameter "stop_timeout": is 61s, want 5s to 60s`).WithDetails(
		&errdetails.ErrorInfo{Reason: "BAD_PARAMETER", Domain: "bandfleet"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "spec.params[stop_timeout]", Description: "is 61s, want 5s to 60s"},
			{Field: "spec.reason", Description: "is too long"},
		}},
		&errdetails.LocalizedMessage{Message: "see the action's parameters"},
	)
	if err != nil {
		t.Fatal(err)
	}
	e := exit.From(mapper.explain(s.Err()))
	if want := []string{"spec.reason: is too long"}; !slices.Equal(e.Details, want) {
		t.Errorf("details are %q, want %q: what the message says is not repeated", e.Details, want)
	}
	if e.Reason != "BAD_PARAMETER" || e.Next != "see the action's parameters" {
		t.Errorf("reason %q and next step %q were not taken over", e.Reason, e.Next)
	}
}

func TestUnreachableSaysWhyInWords(t *testing.T) {
	for _, c := range []struct{ message, says string }{
		{`connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`, "CA in your context file"},
		{`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`, "nothing listens there"},
		{`connection error: desc = "error reading server preface: remote error: tls: expired certificate"`, "your certificate has expired"},
		{`connection error: desc = "transport: Error while dialing: dial tcp: lookup nowhere: no such host"`, "name is not known"},
		{`something new`, "something new"},
	} {
		e := exit.From(mapper.explain(status.Error(codes.Unavailable, c.message)))
		if !strings.Contains(e.Message, c.says) || e.Next == "" || e.Code != exit.Unreachable {
			t.Errorf("%q became %q, next %q, want it to say %q and what to do", c.message, e.Message, e.Next, c.says)
		}
	}
}

// scriptedJobs is a JobService whose watches are given beforehand.
type scriptedJobs struct {
	fleetv1.JobServiceClient
	watches [][]any // messages, then an error
	creates []error
	ids     []string
	// deadline is set by a watch that has one.
	deadline bool
}

func (s *scriptedJobs) WatchJob(ctx context.Context, _ *fleetv1.WatchJobRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[fleetv1.WatchJobResponse], error) {
	_, s.deadline = ctx.Deadline()
	if len(s.watches) == 0 {
		return nil, exit.Errorf(exit.Unreachable, "gone")
	}
	w := s.watches[0]
	s.watches = s.watches[1:]
	return &scriptedStream{steps: w}, nil
}

func (s *scriptedJobs) CreateJob(_ context.Context, r *fleetv1.CreateJobRequest, _ ...grpc.CallOption) (*fleetv1.CreateJobResponse, error) {
	s.ids = append(s.ids, r.GetRequestId())
	err := s.creates[0]
	s.creates = s.creates[1:]
	return &fleetv1.CreateJobResponse{Job: &fleetv1.Job{Id: "j"}}, err
}

type scriptedStream struct {
	grpc.ClientStream
	steps []any
}

func (s *scriptedStream) Recv() (*fleetv1.WatchJobResponse, error) {
	step := s.steps[0]
	s.steps = s.steps[1:]
	if err, ok := step.(error); ok {
		return nil, err
	}
	return step.(*fleetv1.WatchJobResponse), nil
}

// witness notes what a watch tells.
type witness struct{ heard []string }

func (w *witness) Changed(m *fleetv1.WatchJobResponse) {
	w.heard = append(w.heard, m.GetJob().GetState().String())
}
func (w *witness) Lost(error) { w.heard = append(w.heard, "lost") }

func jobMessage(s fleetv1.JobState) *fleetv1.WatchJobResponse {
	return &fleetv1.WatchJobResponse{Job: &fleetv1.Job{State: s}}
}

func TestWatchGoesOnOverBrokenConnections(t *testing.T) {
	active, done := jobMessage(fleetv1.JobState_JOB_STATE_ACTIVE), jobMessage(fleetv1.JobState_JOB_STATE_DONE)
	gone := exit.Errorf(exit.Unreachable, "gone")
	denied := exit.Errorf(exit.Denied, "shut out")
	for _, c := range []struct {
		name    string
		watches [][]any
		heard   string
		code    exit.Code
	}{
		{"done at once", [][]any{{done, io.EOF}}, "JOB_STATE_DONE", exit.OK},
		{"broken, then done", [][]any{{active, gone}, {gone}, {done, io.EOF}}, "JOB_STATE_ACTIVE lost JOB_STATE_DONE", exit.OK},
		{"server stops politely", [][]any{{active, io.EOF}, {done, io.EOF}}, "JOB_STATE_ACTIVE lost JOB_STATE_DONE", exit.OK},
		{"broken after done, before the last tasks", [][]any{{done, gone}, {done, io.EOF}}, "JOB_STATE_DONE lost JOB_STATE_DONE", exit.OK},
		{"shut out meanwhile", [][]any{{active, gone}, {denied}}, "JOB_STATE_ACTIVE lost", exit.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &witness{}
				err := (&Client{Jobs: &scriptedJobs{watches: c.watches}}).WatchJob(t.Context(), "j", w)
				got := exit.OK
				if err != nil {
					got = exit.From(err).Code
				}
				if got != c.code {
					t.Errorf("the watch ended with code %d (%v), want %d", got, err, c.code)
				}
				if got := strings.Join(w.heard, " "); got != c.heard {
					t.Errorf("heard %q, want %q", got, c.heard)
				}
			})
		})
	}
}

func TestWatchWaitsForTheServerAsLongAsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
		defer cancel()
		err := (&Client{Jobs: &scriptedJobs{}}).WatchJob(ctx, "j", &witness{})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the watch ended with %v, want the end of the wait", err)
		}
	})
}

func TestWatchTellsTheServerNoDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	jobs := &scriptedJobs{watches: [][]any{{jobMessage(fleetv1.JobState_JOB_STATE_DONE), io.EOF}}}
	if err := (&Client{Jobs: jobs}).WatchJob(ctx, "j", &witness{}); err != nil {
		t.Fatal(err)
	}
	if jobs.deadline {
		t.Error("the stream has the wait's deadline: its end, made by the server, would be taken for a broken connection")
	}
}

func TestCreateJobRepeatsTheSameRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := exit.Errorf(exit.Unreachable, "gone")
		jobs := &scriptedJobs{creates: []error{gone, gone, nil}}
		lost := 0
		job, err := (&Client{Jobs: jobs}).CreateJob(t.Context(), &fleetv1.CreateJobRequest{RequestId: "r"}, func(error) { lost++ })
		if err != nil || job.GetId() != "j" {
			t.Fatalf("got %v, %v, want the job after the server came back", job, err)
		}
		if want := []string{"r", "r", "r"}; !slices.Equal(jobs.ids, want) {
			t.Errorf("request ids %q, want %q: another id would make another job", jobs.ids, want)
		}
		if lost != 1 {
			t.Errorf("told %d times that the server is away, want once", lost)
		}
		jobs.creates = []error{exit.Errorf(exit.Denied, "no")}
		if _, err := (&Client{Jobs: jobs}).CreateJob(t.Context(), &fleetv1.CreateJobRequest{}, func(error) {}); !exit.Is(err, exit.Denied) || len(jobs.ids) != 4 {
			t.Errorf("a refusal ended with %v after %d calls, want it at once", err, len(jobs.ids)-3)
		}
	})
}

func TestPagesAreMerged(t *testing.T) {
	calls := 0
	get := func(_ context.Context, token string) (*fleetv1.ListJobsResponse, error) {
		if want := strings.Repeat("x", calls); token != want {
			t.Errorf("page %d was asked for with token %q, want %q", calls, token, want)
		}
		calls++
		resp := &fleetv1.ListJobsResponse{Jobs: []*fleetv1.Job{{Id: fmt.Sprint(calls)}}}
		if calls < 4 {
			resp.NextPageToken = strings.Repeat("x", calls)
		}
		return resp, nil
	}
	merged, err := all(t.Context(), get, nil)
	if err != nil || len(merged.GetJobs()) != 4 || merged.GetNextPageToken() != "" {
		t.Errorf("got %v, %v, want 4 jobs and no token", merged, err)
	}
	calls = 0
	some, err := all(t.Context(), get, func(p *fleetv1.ListJobsResponse) bool { return len(p.GetJobs()) >= 2 })
	if err != nil || len(some.GetJobs()) != 2 || some.GetNextPageToken() == "" {
		t.Errorf("got %v, %v, want 2 jobs and the token of the rest", some, err)
	}
}

// pagedJobs is a JobService with two pages of tasks, the second of which may fail.
type pagedJobs struct {
	fleetv1.JobServiceClient
	second error
	asked  []string
}

func (p *pagedJobs) ListTasks(_ context.Context, r *fleetv1.ListTasksRequest, _ ...grpc.CallOption) (*fleetv1.ListTasksResponse, error) {
	p.asked = append(p.asked, r.GetPageToken())
	if r.GetPageToken() == "" {
		return &fleetv1.ListTasksResponse{Tasks: []*fleetv1.Task{{TerminalId: "T-1"}, {TerminalId: "T-2"}}, NextPageToken: "2"}, nil
	}
	return &fleetv1.ListTasksResponse{Tasks: []*fleetv1.Task{{TerminalId: "T-3"}}}, p.second
}

func TestTasksAreReadPageByPage(t *testing.T) {
	jobs := &pagedJobs{}
	c := &Client{Jobs: jobs}
	var heard []string
	for task, err := range c.EachTask(t.Context(), "j") {
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, task.GetTerminalId())
		if len(heard) == 2 && len(jobs.asked) != 1 {
			t.Errorf("%d pages were asked for when the first was not used up: a large job would be in memory", len(jobs.asked))
		}
	}
	if want := []string{"T-1", "T-2", "T-3"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	jobs.second = exit.Errorf(exit.Unreachable, "gone")
	var last error
	for _, err := range c.EachTask(t.Context(), "j") {
		last = err
	}
	if !exit.Is(last, exit.Unreachable) {
		t.Errorf("a list that was cut ended with %v, want the error: half of it would pass for all", last)
	}
}
