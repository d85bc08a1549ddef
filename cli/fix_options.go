package cli

import (
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// mostApprovals is the most that the API takes.
const mostApprovals = 2

// workOptions are the flags that say what is to be done where, now or at set times.
type workOptions struct {
	selectionOptions
	rolloutOptions
	action    string
	params    []string
	dryRun    bool
	reason    string
	expires   string
	inUse     string
	approvals string
	flags     *pflag.FlagSet
}

func (o *workOptions) addTo(c *cobra.Command, a *app) {
	o.selectionOptions.addTo(c, a)
	o.rolloutOptions.addTo(c)
	f := c.Flags()
	f.StringArrayVarP(&o.params, "param", "p", nil, "parameter of the action, as `name=value` (repeatable); see `fleetctl describe action ACTION`")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be done")
	addReason(c, &o.reason)
	f.StringVar(&o.inUse, "in-use", "", "where a person is at work a disruptive action will `wait` for a quiet moment, or proceed (default wait)")
	f.StringVar(&o.approvals, "approvals", "", "ask for the approval of `N` others, 0 to 2; the action or a site may ask for more")
	o.flags = f
	mustComplete(c, "param", a.completeParams)
	mustComplete(c, "in-use", fixedCompletion(words(fleetv1.InUse(0))...))
	mustComplete(c, "approvals", fixedCompletion("0", "1", "2"))
}

// spec reads the flags; what is wrong with them is in problems.
func (o *workOptions) spec(problems *[]string) *fleetv1.JobSpec {
	selection, wrong := o.selection()
	given, more := parsePairs("--param", o.params)
	*problems = append(append(*problems, wrong...), more...)
	spec := &fleetv1.JobSpec{
		Action: o.action, Params: given, Selection: selection, DryRun: o.dryRun, Reason: o.reason,
		Rollout: o.rollout(problems), Approvals: parseApprovals(o.approvals, problems),
	}
	if o.inUse != "" {
		spec.InUse = parseChoice[fleetv1.InUse]("--in-use", o.inUse, problems)
	}
	return spec
}

// fixOptions are the flags of fix.
type fixOptions struct {
	workOptions
	fromJobOptions
	yes        bool
	noWait     bool
	timeout    time.Duration
	notBefore  string
	breakGlass string
	// step is of a fault's remedy; 0 is the next one.
	step uint32
}

func (o *fixOptions) addTo(c *cobra.Command, a *app) {
	o.workOptions.addTo(c, a)
	o.fromJobOptions.addTo(c, a)
	f := c.Flags()
	addYes(c, &o.yes)
	f.BoolVar(&o.noWait, "no-wait", false, "end as soon as the server has accepted the job")
	spanVar(f, &o.timeout, "timeout", 0, "longest time to wait; the job goes on after it (default: to the job's end)")
	f.StringVar(&o.expires, "expires", "", "when nothing of the job starts any more: a `duration or time`, 1m to 30d after its creation or --not-before; --expires-in is the same (default 1h)")
	f.StringVar(&o.notBefore, "not-before", "", "start nothing before this `time`: 2026-12-01T22:00:00Z, or \"2026-12-01 22:00\" by the clock of this machine")
	f.StringVar(&o.breakGlass, "break-glass", "", "lift the maintenance windows and blackouts of the sites, for this `reason`; it is audited on its own")
	f.Uint32Var(&o.step, "step", 0, "of a fault: take this `step` of its remedy, from 1 (default: the next one)")
	f.SetNormalizeFunc(oneName)
}

// oneName lets scripts keep the earlier name of a flag.
func oneName(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "expires-in" {
		return "expires"
	}
	return pflag.NormalizedName(name)
}

// spec reads the flags and reports all their problems together.
func (o *fixOptions) spec(now time.Time) (*fleetv1.JobSpec, error) {
	var problems []string
	spec := o.workOptions.spec(&problems)
	problems = append(problems, o.narrow(spec.GetSelection())...)
	spec.BreakGlass, spec.NotBefore = o.breakGlass, parseNotBefore(o.notBefore, now, &problems)
	spec.ExpiresIn = parseExpiry(o.expires, now, spec.GetNotBefore(), &problems)
	problems = slices.Concat(problems, o.contradictions(), emptyFlags(o.flags))
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "action %q: the command cannot be read; nothing was created", o.action).
			With(problems...).Then("see `fleetctl fix --help`")
	}
	return spec, nil
}

// renew works the time until an absolute expiry out anew: the person may have looked for long.
func (o *fixOptions) renew(spec *fleetv1.JobSpec, now time.Time) error {
	var problems []string
	spec.ExpiresIn = parseExpiry(o.expires, now, spec.GetNotBefore(), &problems)
	if len(problems) > 0 {
		return exit.Errorf(exit.BadInput, "action %q: its time ran out while you looked; nothing was created", o.action).
			With(problems...).Then("repeat the command with a later --expires")
	}
	return nil
}

// contradictions are the problems between flags.
func (o *fixOptions) contradictions() (problems []string) {
	if o.noWait && o.timeout != 0 {
		problems = append(problems, "--no-wait and --timeout exclude each other")
	}
	if o.isEmpty() && o.job == "" {
		problems = append(problems, "no terminals are selected: give --site, --terminal, --host, --role, -l, --select or --from-job")
	}
	if o.dryRun && o.breakGlass != "" {
		problems = append(problems, "--break-glass: a dry run changes nothing and no window binds it")
	}
	if o.dryRun && o.approvals != "" && o.approvals != "0" {
		problems = append(problems, "--approvals: a dry run changes nothing, and there is nothing to approve")
	}
	return problems
}

// emptyFlags are the flags that were given without a value, as by an unset variable of a script: what was meant is not known.
func emptyFlags(f *pflag.FlagSet) (problems []string) {
	f.Visit(func(flag *pflag.Flag) {
		if flag.Value.Type() == "string" && flag.Value.String() == "" && flag.Name != "reason" {
			problems = append(problems, "--"+flag.Name+": the value is empty")
		}
	})
	return problems
}

func parseApprovals(text string, problems *[]string) uint32 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > mostApprovals {
		*problems = append(*problems, "--approvals "+strconv.Quote(text)+": want 0, 1 or 2")
	}
	return uint32(n)
}
