package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// createFor is how long the creation of a job is tried again when the server cannot be reached.
const createFor = time.Minute

const fixLong = `Runs an action on the terminals that are selected: everything given must hold, several values of one flag are
alternatives, and no selection at all is an error. --select says the rest as an expression over site, role, labels, facts and
state (see "fleetctl help expressions"); it is checked here before the server is asked. First it shows how many terminals where, and asks; then it follows the job
and at the end accounts for every target. Success means that the action's own check held afterwards.

--dry-run changes nothing: each terminal works out what it would do, and the plans are shown. It does not ask. A terminal that
made a plan is PLANNED (in the API its status is SUCCEEDED).
--timeout bounds only the wait; the job goes on. Ctrl-C ends the wait, too. Without --timeout the wait lasts to the job's end: a
terminal that is offline is waited for, in a dry run too, until it connects or the job expires (--expires-in), and a server that
went away until it answers again. What has not started when the job expires is EXPIRED.

With -o json or yaml the end is a document {job, tasks}, the shape of a WatchJobResponse (with --no-wait only {job}); -o name
prints the job's id. Everything else then goes to standard error.

Exit codes:
`

type fixOptions struct {
	selectionOptions
	action        string
	params        []string
	dryRun        bool
	reason        string
	yes           bool
	noWait        bool
	timeout       time.Duration
	maxConcurrent uint32
	expiresIn     time.Duration
}

func newFix(a *app) *cobra.Command {
	o := &fixOptions{}
	c := &cobra.Command{
		Use:   "fix ACTION",
		Short: "Run a remedy on terminals, and prove that it helped",
		Long:  fixLong + exit.Table(),
		Example: `  fleetctl fix ble-restart --site lyon --dry-run
  fleetctl fix ble-restart --site lyon --reason INC-4711
  fleetctl fix ble-restart --terminal lyon-01,lyon-02 --param force_kill=true --yes
  fleetctl fix ble-restart --select 'site in (lyon, turin) and online and endpoint=stopped'
  fleetctl fix nymi-agent-restart --role user-terminal -l line=3 --max-concurrent 2 --yes --timeout 10m`,
		Args:              takes(1, "ACTION"),
		ValidArgsFunction: byPlace(a.completeActions),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.action = args[0]
			return runFix(cmd.Context(), a, o)
		},
	}
	o.addTo(c, a)
	f := c.Flags()
	f.StringArrayVarP(&o.params, "param", "p", nil, "parameter of the action, as `name=value` (repeatable); see `fleetctl describe action ACTION`")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be done")
	addReason(c, &o.reason)
	addYes(c, &o.yes)
	f.BoolVar(&o.noWait, "no-wait", false, "end as soon as the server has accepted the job")
	f.DurationVar(&o.timeout, "timeout", 0, "longest time to wait; the job goes on after it (default: to the job's end)")
	f.Uint32Var(&o.maxConcurrent, "max-concurrent", 0, "most terminals that are worked on at once (default: no limit)")
	f.DurationVar(&o.expiresIn, "expires-in", 0, "time after which nothing of the job starts any more, 1m to 720h (default 1h)")
	mustComplete(c, "param", a.completeParams)
	return c
}

func runFix(ctx context.Context, a *app, o *fixOptions) error {
	spec, err := o.spec()
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	req, err := prepareJob(ctx, a, c, spec, o.yes || o.dryRun)
	if err != nil && ctx.Err() != nil {
		return exit.Errorf(exit.BadInput, "interrupted; nothing was created")
	}
	if err != nil {
		return err
	}
	job, err := createJob(ctx, a, c, req)
	if err != nil {
		return err
	}
	if o.noWait {
		return printAccepted(a, job)
	}
	a.people().Line("job %s", job.GetId())
	return a.follow(ctx, c, job, o.timeout)
}

// prepareJob checks what is asked, shows what it would reach, and asks the person. Nothing is created yet.
func prepareJob(ctx context.Context, a *app, c *client.Client, spec *fleetv1.JobSpec, yes bool) (*fleetv1.CreateJobRequest, error) {
	offered, err := action(ctx, c, spec.GetAction())
	if err != nil {
		return nil, err
	}
	if err := checkParams(offered, spec.GetParams()); err != nil {
		return nil, err
	}
	preview, err := c.Jobs.PreviewJob(ctx, &fleetv1.PreviewJobRequest{Spec: spec})
	if err != nil {
		return nil, err
	}
	printPreview(a.people(), spec, offered, preview)
	if err := a.confirm(ctx, yes); err != nil {
		return nil, err
	}
	return &fleetv1.CreateJobRequest{Spec: spec, RequestId: ulid.Make().String(), TargetsDigest: preview.GetTargetsDigest()}, nil
}

// spec reads the flags and reports all their problems together.
func (o *fixOptions) spec() (*fleetv1.JobSpec, error) {
	selection, problems := o.selection()
	given, more := parsePairs("--param", o.params)
	problems = append(problems, more...)
	if o.timeout < 0 {
		problems = append(problems, "--timeout: want a positive duration")
	}
	if o.noWait && o.timeout != 0 {
		problems = append(problems, "--no-wait and --timeout exclude each other")
	}
	if o.isEmpty() {
		problems = append(problems, "no terminals are selected: give --site, --terminal, --host, --role, -l or --select")
	}
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "action %q: the command cannot be read; nothing was created", o.action).
			With(problems...).Then("see `fleetctl fix --help`")
	}
	spec := &fleetv1.JobSpec{
		Action: o.action, Params: given, Selection: selection, DryRun: o.dryRun, Reason: o.reason,
	}
	if o.maxConcurrent != 0 {
		spec.Rollout = &fleetv1.Rollout{MaxConcurrent: &fleetv1.Amount{Amount: &fleetv1.Amount_Count{Count: o.maxConcurrent}}}
	}
	if o.expiresIn != 0 {
		spec.ExpiresIn = durationpb.New(o.expiresIn)
	}
	return spec, nil
}

// checkParams refuses parameters that no offered version of the action takes, before the server is asked. When some version
// takes them, the server refuses the terminals of the others.
func checkParams(offered *fleetv1.GetActionResponse, given map[string]string) error {
	var firstErr error
	for _, o := range offered.GetActions() {
		_, err := params.Resolve(o.GetAction(), given)
		if err == nil {
			return nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	if firstErr == nil {
		return nil
	}
	name := offered.GetActions()[0].GetAction().GetName()
	e := exit.Errorf(exit.BadInput, "action %q: these parameters are refused; nothing was created", name)
	if bad, ok := errors.AsType[*params.Error](firstErr); ok {
		for _, p := range bad.Problems {
			e.Details = append(e.Details, problemWord(p))
		}
	}
	return e.Then("see `fleetctl describe action %s`", name)
}

// problemWord writes what is wrong with a parameter; a rule over several of them names them itself.
func problemWord(p params.Problem) string {
	if strings.HasPrefix(p.Reason, p.Param) {
		return p.Reason
	}
	return p.Param + " " + p.Reason
}

// createJob creates the job, over broken connections. When nobody can say whether it was created, the error says so.
func createJob(ctx context.Context, a *app, c *client.Client, req *fleetv1.CreateJobRequest) (*fleetv1.Job, error) {
	limited, cancel := bounded(ctx, createFor)
	defer cancel()
	job, err := c.CreateJob(limited, req, func(err error) {
		a.info.Line("connection to the server lost (%s); trying for at most %s", err, output.Duration(createFor))
	})
	switch {
	case err == nil:
		return job, nil
	case exit.Is(err, exit.Unreachable):
		return nil, exit.Errorf(exit.Unreachable, "the job may or may not have been created: %v", err).
			Then("look with `fleetctl get jobs --active` before you ask again")
	case exit.From(err).Reason == "TARGETS_CHANGED":
		return nil, exit.From(err).Then("the terminals changed while you looked; nothing was created; repeat the command")
	default:
		return nil, err
	}
}

func printAccepted(a *app, job *fleetv1.Job) error {
	return printObject(a, &fleetv1.WatchJobResponse{Job: job}, job.GetId(), func() {
		a.out.Line("job %s is accepted: %s", job.GetId(), output.Count(job.GetCounts().GetTotal(), "target"))
		a.out.Line("next: watch it with `fleetctl job watch %s`", job.GetId())
	})
}
