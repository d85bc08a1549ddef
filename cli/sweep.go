package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// defaultExpiring is the first of the levels at which a certificate is told of.
const defaultExpiring = 60 * 24 * time.Hour

func newSweep(a *app) *cobra.Command {
	return newGroup("sweep", "Look at something on many machines, and list what needs care",
		"A sweep is a job that only reads, over many terminals, whose findings are kept. \"fleetctl schedule show certificates\" is the one that runs each night.",
		"  fleetctl sweep certs --expiring 60d", newSweepCerts(a))
}

type sweepCertsOptions struct {
	selectionOptions
	expiring time.Duration
	reason   string
	timeout  time.Duration
}

func newSweepCerts(a *app) *cobra.Command {
	o := &sweepCertsOptions{}
	c := &cobra.Command{
		Use:   "certs",
		Short: "Scan certificates now, and list those that end soon",
		Long: `Has the selected terminals, or all of your sites when none are selected, look through their certificate stores and bindings, keeps what they
find, and lists what ends within --expiring, as "fleetctl get certs" does at any time. Bandfleet's own certificates are in the list, too, for an administrator
of all sites.

A terminal that is offline is waited for until --timeout; what is known of it from its last scan is listed all the same.

Exit codes:
` + exit.Table(),
		Example: `  fleetctl sweep certs --expiring 60d
  fleetctl sweep certs --site lyon --role nes-host --expiring 30d --timeout 2m -o json`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runSweepCerts(cmd.Context(), a, o) },
	}
	o.addTo(c, a)
	f := c.Flags()
	spanVar(f, &o.expiring, "expiring", defaultExpiring, "list those that end within this time, expired ones included")
	addReason(c, &o.reason)
	spanVar(f, &o.timeout, "timeout", 0, "longest time to wait for the scans; they go on after it (default: to the job's end)")
	return c
}

func runSweepCerts(ctx context.Context, a *app, o *sweepCertsOptions) error {
	selection, problems := o.selection()
	if len(problems) > 0 {
		return exit.Errorf(exit.BadInput, "sweep certs: the command cannot be read; nothing was scanned").With(problems...).Then("see `fleetctl sweep certs --help`")
	}
	if o.isEmpty() {
		// Everything is said in so many words: an empty selection means nothing.
		selection = &fleetv1.Selection{Expression: "online or !online"}
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	spec := &fleetv1.JobSpec{Action: "cert-scan", Selection: selection, Reason: o.reason}
	job, tasks, verdict := errand{spec, o.timeout}.run(ctx, a.aside(), c)
	if job == nil {
		return verdict
	}
	if ctx.Err() != nil {
		return verdict
	}
	if err := o.list(ctx, a, c, tasks); err != nil {
		return err
	}
	return verdict
}

// list lists what ends soon; of a sweep over chosen terminals, only what is theirs.
func (o *sweepCertsOptions) list(ctx context.Context, a *app, c *client.Client, tasks []*fleetv1.Task) error {
	resp, err := c.ListCertificates(ctx, &fleetv1.ListCertificatesRequest{ExpiringWithin: durationpb.New(o.expiring)}, 0)
	if err != nil {
		return err
	}
	if !o.isEmpty() {
		resp.Certificates = onlyOf(resp.GetCertificates(), tasks)
	}
	return printList(a, listing[*fleetv1.FleetCertificate]{
		noun: "certificates that end within " + output.Duration(o.expiring), document: resp, rows: resp.GetCertificates(), columns: certColumns(a), name: certName,
	})
}

// onlyOf keeps the certificates of a job's terminals.
func onlyOf(all []*fleetv1.FleetCertificate, tasks []*fleetv1.Task) (kept []*fleetv1.FleetCertificate) {
	chosen := map[string]bool{}
	for _, t := range tasks {
		chosen[t.GetTerminalId()] = true
	}
	for _, c := range all {
		if chosen[c.GetTerminalId()] {
			kept = append(kept, c)
		}
	}
	return kept
}
