package cli

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type scheduleCreateOptions struct {
	workOptions
	name    string
	cron    string
	zone    string
	jitter  time.Duration
	overlap string
	catchUp string
	paused  bool
	yes     bool
}

func newScheduleCreate(a *app) *cobra.Command {
	o := &scheduleCreateOptions{}
	c := &cobra.Command{
		Use:   "create NAME ACTION",
		Short: "Have a job created at set times",
		Long: `Makes a schedule: at each time of --cron a job of ACTION is created over the terminals that are selected then. The flags that say
where and how are those of "fleetctl fix"; what they would reach today is shown first.

--cron has five fields: minute, hour, day of month, month, day of week. It is read by the clock of --time-zone. A time that the clock jumps
over comes at the first moment after the jump, one that it shows twice comes once. --jitter puts each time off by a share of it, chosen
anew. --expires bounds how late after its time a terminal may still start.

--overlap says what happens while the last job is not done: skip (default), after, allow. --catch-up says what happens with times that
passed while the server was down: once (default for an action that only reads) or skip (default for one that changes something).`,
		Example: `  fleetctl schedule create nightly-look diagnose --cron "30 2 * * *" --time-zone Europe/Paris --site lyon
  fleetctl schedule create weekly-certs cert-scan --cron "0 4 * * 1" --jitter 2h --role nes-host --overlap after`,
		Args:              takes(2, "NAME", "ACTION"),
		ValidArgsFunction: byPlace(fixedCompletion(), a.completeActions),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name, o.action = args[0], args[1]
			return runScheduleCreate(cmd.Context(), a, o)
		},
	}
	o.addTo(c, a)
	f := c.Flags()
	f.StringVar(&o.cron, "cron", "", "when: minute, hour, day of month, month, day of week, as in `\"30 2 * * *\"`")
	f.StringVar(&o.zone, "time-zone", "", "whose clock the times are read by, as in `Europe/Paris` (default UTC)")
	spanVar(f, &o.jitter, "jitter", 0, "put each time off by a share of this, at most 24h")
	f.StringVar(&o.overlap, "overlap", "", "while the last job is not done: `skip`, after or allow (default skip)")
	f.StringVar(&o.catchUp, "catch-up", "", "times that passed while the server was down: `skip` or once")
	f.StringVar(&o.expires, "expires", "", "when nothing of a job starts any more: a `duration` of 1m to 30d after its time (default 1h)")
	f.BoolVar(&o.paused, "paused", false, "make it, and have nothing created until it is resumed")
	addYes(c, &o.yes)
	mustComplete(c, "overlap", fixedCompletion(words(fleetv1.OverlapRule(0))...))
	mustComplete(c, "catch-up", fixedCompletion(words(fleetv1.CatchUpRule(0))...))
	return c
}

func runScheduleCreate(ctx context.Context, a *app, o *scheduleCreateOptions) error {
	req, err := o.request(a.now())
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := prepareJob(ctx, a, c, req.GetSpec(), o.yes); err != nil {
		return err
	}
	resp, err := c.Schedules.CreateSchedule(ctx, req)
	if err != nil {
		return err
	}
	s := resp.GetSchedule()
	return printObject(a, s, s.GetName(), func() {
		a.out.Line("schedule %s is made; next: %s", s.GetName(), nextWord(s))
		a.out.Line("next: `fleetctl schedule run-now %s` tries it, `fleetctl schedule history %s` tells what came of it", s.GetName(), s.GetName())
	})
}

// request reads the flags and reports all their problems together.
func (o *scheduleCreateOptions) request(now time.Time) (*fleetv1.CreateScheduleRequest, error) {
	var problems []string
	spec := o.spec(&problems)
	spec.ExpiresIn = parseExpiry(o.expires, now, nil, &problems)
	r := &fleetv1.CreateScheduleRequest{
		Name: o.name, Cron: o.cron, TimeZone: o.zone, Spec: spec, Paused: o.paused, Reason: o.reason, RequestId: ulid.Make().String(),
	}
	if o.jitter != 0 {
		r.Jitter = durationpb.New(o.jitter)
	}
	if o.overlap != "" {
		r.Overlap = parseChoice[fleetv1.OverlapRule]("--overlap", o.overlap, &problems)
	}
	if o.catchUp != "" {
		r.CatchUp = parseChoice[fleetv1.CatchUpRule]("--catch-up", o.catchUp, &problems)
	}
	if o.cron == "" {
		problems = append(problems, "--cron: is missing; write for example --cron \"30 2 * * *\"")
	}
	if o.isEmpty() {
		problems = append(problems, "no terminals are selected: give --site, --terminal, --host, --role, -l or --select")
	}
	problems = append(problems, emptyFlags(o.flags)...)
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "schedule %q: the command cannot be read; nothing was created", o.name).
			With(problems...).Then("see `fleetctl schedule create --help`")
	}
	return r, nil
}
