package cli

import (
	"context"

	"github.com/spf13/cobra"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobConfirmOptions struct {
	id, terminal string
	no           bool
	note         string
}

func newJobConfirm(a *app) *cobra.Command {
	o := &jobConfirmOptions{}
	c := &cobra.Command{
		Use:   "confirm JOB TERMINAL",
		Short: "Answer what a running task asks of a person",
		Long: `Answers yes, or with --no no, to the question that a running task has put to a person: whether the band lies on the charger,
whether the light is green. "fleetctl job show JOB TERMINAL" shows the question and until when it waits. The first answer counts; none
in time is a no. Your name and the note stand in the job's record.`,
		Example: `  fleetctl job confirm 01JD... lyon-01 --note "light is green"
  fleetctl job confirm 01JD... lyon-01 --no`,
		Args:              takes(2, "JOB", "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeActiveJobs, a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id, o.terminal = args[0], args[1]
			return runJobConfirm(cmd.Context(), a, o)
		},
	}
	c.Flags().BoolVar(&o.no, "no", false, "answer no")
	c.Flags().StringVar(&o.note, "note", "", "what else is to be known, for the record")
	return c
}

func runJobConfirm(ctx context.Context, a *app, o *jobConfirmOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	asked, err := c.Tasks(ctx, o.id, o.terminal)
	if err != nil {
		return err
	}
	resp, err := c.Jobs.ConfirmTask(ctx, &fleetv1.ConfirmTaskRequest{JobId: o.id, Terminal: o.terminal, Confirmed: !o.no, Note: o.note})
	if err != nil {
		return err
	}
	t := resp.GetTask()
	answer := "yes"
	if o.no {
		answer = "no"
	}
	return printObject(a, t, t.GetTerminalName(), func() {
		for _, before := range asked {
			if q := before.GetQuestion(); q != nil {
				a.out.Line("%s asked: %s", t.GetTerminalName(), q.GetPrompt())
			}
		}
		a.out.Line("your answer: %s", answer)
		a.out.Line("next: watch it with `fleetctl job watch %s`", o.id)
	})
}
