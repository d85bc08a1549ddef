package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// diagnoseAction is the action that looks at a machine.
const diagnoseAction = "diagnose"

// diagnoseWait is how long a diagnosis is waited for unless a time is given: it takes less than half a minute where the terminal is online.
const diagnoseWait = 2 * time.Minute

const diagnoseLong = `Looks at terminals by the rules of the troubleshooting guide and lists what is found: what is there, what is expected, and what to do.
Nothing is changed. Problems, warnings and what could not be told are listed; what is good is counted, and listed with -o wide.

Without --profile a user terminal is looked at as a terminal, a NES host as one; nes-install and nes-ca are about the installation of NES
and its certificate authority. --check narrows it to some checks; see "fleetctl describe action diagnose".

It is a job of the action diagnose, and is kept: "fleetctl job show JOB TERMINAL" shows it again. A terminal that is offline is waited
for until --timeout. With -o json or yaml the end is a document {job, tasks}, the findings in each task's result.

Exit codes (3 also says that a problem was found):
`

type diagnoseOptions struct {
	selectionOptions
	profile string
	checks  []string
	reason  string
	timeout time.Duration
}

func newDiagnose(a *app) *cobra.Command {
	o := &diagnoseOptions{}
	c := &cobra.Command{
		Use:   "diagnose [TERMINAL]...",
		Short: "Look at terminals and list what is wrong",
		Long:  diagnoseLong + exit.Table(),
		Example: `  fleetctl diagnose lyon-01
  fleetctl diagnose lyon-01 --check config,adapter
  fleetctl diagnose --host nes-lyon-1 --profile nes-ca
  fleetctl diagnose --site lyon -o json`,
		ValidArgsFunction: a.completeTerminals,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.terminals = append(o.terminals, args...)
			return runDiagnose(cmd.Context(), a, o)
		},
	}
	o.addTo(c, a)
	f := c.Flags()
	f.StringVar(&o.profile, "profile", "", "what the machines should be: terminal, nes, nes-install or nes-ca (default: by their role)")
	f.StringArrayVar(&o.checks, "check", nil, "only these `checks` (repeatable, or separated by commas)")
	spanVar(f, &o.timeout, "timeout", diagnoseWait, "longest time to wait; the job goes on after it")
	addReason(c, &o.reason)
	mustComplete(c, "profile", fixedCompletion("terminal", "nes", "nes-install", "nes-ca"))
	return c
}

// spec reads the flags and reports all their problems together.
func (o *diagnoseOptions) spec() (*fleetv1.JobSpec, error) {
	selection, problems := o.selection()
	if o.isEmpty() {
		problems = append(problems, "no terminals are selected: name one, or give --host, --site, --role, -l or --select")
	}
	params := map[string]string{}
	if o.profile != "" {
		params["profile"] = o.profile
	}
	if checks := named("--check", o.checks, &problems); len(checks) > 0 {
		params["check"] = strings.Join(checks, ",")
	}
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "diagnose: the command cannot be read; nothing was looked at").
			With(problems...).Then("see `fleetctl diagnose --help`")
	}
	return &fleetv1.JobSpec{Action: diagnoseAction, Params: params, Selection: selection, Reason: o.reason}, nil
}

func runDiagnose(ctx context.Context, a *app, o *diagnoseOptions) error {
	spec, err := o.spec()
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	req, err := prepareJob(ctx, a, c, spec, true)
	if err != nil {
		return err
	}
	job, err := createJob(ctx, a, func(ctx context.Context, lost func(error)) (*fleetv1.Job, error) {
		return c.CreateJob(ctx, req, lost)
	})
	if err != nil {
		return err
	}
	a.people().Line("job %s", job.GetId())
	return a.followDiagnosis(ctx, c, job, o.timeout)
}

// followDiagnosis waits for a diagnosis and prints what was found.
func (a *app) followDiagnosis(ctx context.Context, c *client.Client, job *fleetv1.Job, timeout time.Duration) error {
	waiting, cancel := bounded(ctx, timeout)
	defer cancel()
	b := newBoard(job)
	v := a.newView(b)
	watchErr := show(waiting, c, b, v)
	v.end()
	if err := a.printDiagnosis(b); err != nil {
		return err
	}
	if watchErr != nil && waiting.Err() == nil {
		return watchErr
	}
	if err := verdict(b, whyEnded(ctx, b)); err != nil {
		return err
	}
	return diagnosisVerdict(b)
}

func (a *app) printDiagnosis(b *board) error {
	if a.format != output.Table && a.format != output.Wide {
		return a.printOutcome(b)
	}
	a.out.Line("")
	var rest []*fleetv1.Task
	for _, t := range b.ordered() {
		findings := t.GetResult().GetFindings()
		if len(findings) == 0 {
			rest = append(rest, t)
			continue
		}
		a.out.Line("%s at %s: %s", a.out.Paint(output.Bold, t.GetTerminalName()), t.GetSite(), findingsWord(findings))
		printFindings(a.out, findings, a.format == output.Wide)
	}
	for _, t := range rest {
		a.out.Line("%s at %s: %s", a.out.Paint(output.Bold, t.GetTerminalName()), t.GetSite(), a.out.Paint(taskStyle(t), joinWords(": ", taskWord(t, false), whatWord(t))))
		if next := t.GetResult().GetNextStep(); next != "" {
			a.out.Line("  next: %s", next)
		}
	}
	return nil
}

// diagnosisVerdict ends with an error when a problem was found anywhere.
func diagnosisVerdict(b *board) error {
	sick := uint32(0)
	for _, t := range b.ordered() {
		if hasProblem(t.GetResult().GetFindings()) {
			sick++
		}
	}
	if sick == 0 {
		return nil
	}
	return exit.Errorf(exit.NotSuccessful, "job %s: problems were found on %s of %d", b.job.GetId(), output.Count(sick, "terminal"), len(b.ordered())).
		Then("do what is said at each; see all of it again with `fleetctl job show %s TERMINAL`", b.job.GetId())
}
