package cli

import (
	"context"
	"strconv"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// bandReport is a verb that reports something of a band.
type bandReport struct {
	verb, short, long, example string
	report                     fleetv1.BandReport
	// argument is what stands behind the serial; empty when nothing does. read takes it.
	argument string
	read     func(r *fleetv1.ReportBandRequest, text string) error
	// flags adds the verb's own flags.
	flags func(c *cobra.Command, r *fleetv1.ReportBandRequest)
}

const nothingInNES = "\n\nIt is noted here, and nothing is done in the Nymi Enterprise Server."

func bandReports(a *app) []bandReport {
	return []bandReport{
		{verb: "fault", short: "Report that a band shows a fault code", argument: "CODE", report: fleetv1.BandReport_BAND_REPORT_FAULT,
			long:    "Reports the code that a band shows, and makes the guided task for it. The same code twice within 30 days calls for another band.",
			example: "  fleetctl band fault AAAH-00125 E12",
			read:    func(r *fleetv1.ReportBandRequest, text string) error { r.Code = text; return nil }},
		{verb: "dead", short: "Report that a band does not wake up", report: fleetv1.BandReport_BAND_REPORT_DEAD,
			long:    "Reports a band whose screen stays blank, and makes the guided task for it, with a timer of two hours on the charger.",
			example: "  fleetctl band dead AAAH-00125"},
		{verb: "broken", short: "Report that a band is damaged", report: fleetv1.BandReport_BAND_REPORT_BROKEN,
			long: "Reports a band that is physically damaged, and makes the guided task for it.", example: "  fleetctl band broken AAAH-00125 --note \"screen cracked\""},
		{verb: "lost", short: "Report that a band is lost", report: fleetv1.BandReport_BAND_REPORT_LOST,
			long: `Reports a band lost and makes an urgent guided task: a NES administrator has to deactivate it there. The task is closed by somebody
else than you, with the name of who did that. Until then nobody says that it was done. The band is given to nobody before it is found and
wiped.`,
			example: "  fleetctl band lost AAAH-00077 --user 'DOM\\jane'",
			flags: func(c *cobra.Command, r *fleetv1.ReportBandRequest) {
				c.Flags().StringVar(&r.Wearer, "user", "", "your reference to the `person` who wore it, when it is another than noted")
			}},
		{verb: "found", short: "Report that a lost band is here again", report: fleetv1.BandReport_BAND_REPORT_FOUND,
			long:    "Reports that a lost band was found. It goes to stock without a wearer, and is given to nobody before it is wiped.",
			example: "  fleetctl band found AAAH-00077"},
		{verb: "temporary", short: "Note that a band is given out for a time", report: fleetv1.BandReport_BAND_REPORT_TEMPORARY,
			long:    "Notes that a band from the stock is given out for a time, in place of another when --for names it. Its wearer is that one's, unless --user says who.",
			example: "  fleetctl band temporary AAAH-00200 --for AAAH-00077",
			flags: func(c *cobra.Command, r *fleetv1.ReportBandRequest) {
				c.Flags().StringVar(&r.StandsInFor, "for", "", "`serial` of the band that it stands in for")
				c.Flags().StringVar(&r.Wearer, "user", "", "your reference to the `person` who wears it")
				mustComplete(c, "for", a.completeBands)
			}},
		{verb: "return", short: "Note that a band came back to the stock", report: fleetv1.BandReport_BAND_REPORT_RETURNED,
			long: "Notes that a temporary or assigned band came back. It stands in for no other any more.", example: "  fleetctl band return AAAH-00200"},
		{verb: "lockout", short: "Report that a band has locked its wearer out", argument: "FAILURES", report: fleetv1.BandReport_BAND_REPORT_LOCKOUT,
			long: `Reports a lockout after so many failed fingerprint matches in a row, tells when it is over, and makes the guided task with that
countdown: a minute after the fifth failure, twice as long after each further one, an hour at most.`,
			example: "  fleetctl band lockout AAAH-00125 7", read: readFailures},
		{verb: "firmware", short: "Note the firmware version that a band shows", argument: "VERSION", report: fleetv1.BandReport_BAND_REPORT_FIRMWARE,
			long:    "Notes the version that you have read on a band, with your name and the time. Below the site's minimum a guided task follows.",
			example: "  fleetctl band firmware AAAH-00125 4.1.0",
			read:    func(r *fleetv1.ReportBandRequest, text string) error { r.FirmwareVersion = text; return nil }},
		{verb: "wiped", short: "Note that the user's data on a band were deleted", report: fleetv1.BandReport_BAND_REPORT_WIPED,
			long: "Notes that the user's data were deleted from a band. After a loss it can be given out again from then on.", example: "  fleetctl band wiped AAAH-00077"},
		{verb: "works", short: "Report that a band works again", report: fleetv1.BandReport_BAND_REPORT_WORKS,
			long: "Reports that a band with a fault, a dead or a broken one works again. Its open tasks for that are closed.", example: "  fleetctl band works AAAH-00125"},
	}
}

// newBandReports makes the verbs that report something.
func newBandReports(a *app) (all []*cobra.Command) {
	for _, k := range bandReports(a) {
		all = append(all, newBandReport(a, k))
	}
	return all
}

func newBandReport(a *app, k bandReport) *cobra.Command {
	r := &fleetv1.ReportBandRequest{Report: k.report}
	names := []string{"SERIAL"}
	use := k.verb + " SERIAL"
	if k.argument != "" {
		names, use = append(names, k.argument), use+" "+k.argument
	}
	c := &cobra.Command{
		Use: use, Short: k.short, Long: k.long + nothingInNES, Example: k.example, Args: takes(len(names), names...),
		ValidArgsFunction: byPlace(a.completeBands),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Serial = args[0]
			if k.read != nil {
				if err := k.read(r, args[1]); err != nil {
					return err
				}
			}
			return runBandReport(cmd.Context(), a, r)
		},
	}
	c.Flags().StringVar(&r.Note, "note", "", "for its history")
	if k.flags != nil {
		k.flags(c, r)
	}
	return c
}

func readFailures(r *fleetv1.ReportBandRequest, text string) error {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return exit.Errorf(exit.BadInput, "band %q: %q is no number of failures", r.GetSerial(), text).Then("say how many failed matches there were in a row, 5 or more")
	}
	r.Failures = uint32(n)
	return nil
}

func runBandReport(ctx context.Context, a *app, r *fleetv1.ReportBandRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	r.RequestId = ulid.Make().String()
	resp, err := c.Inventory.ReportBand(ctx, r)
	if err != nil {
		return err
	}
	b := resp.GetBand()
	return printObject(a, resp, b.GetSerial(), func() {
		a.out.Line("band %s: noted: %s; its status is %s", b.GetSerial(), word(r.GetReport()), word(b.GetStatus()))
		if resp.GetLockedUntil() != nil {
			a.out.Line("it is locked until %s; taking it off or charging it does not shorten that", output.UTC(resp.GetLockedUntil()))
		}
		for _, id := range b.GetGuidedTasks() {
			a.out.Line("next: `fleetctl guided show %s`", id)
		}
	})
}

func newBandShow(a *app) *cobra.Command {
	c := newDescribeOne(a, "show", "SERIAL", a.completeBands, describeBandNamed)
	c.Aliases, c.Short, c.Example = nil, "Show a band, its open tasks and its history", "  fleetctl band show AAAH-00077"
	c.Long = "Shows a band in full, with its open guided tasks and its history. What stands there was reported by somebody; it says nothing of the Nymi Enterprise Server."
	return c
}

func newBandHistory(a *app) *cobra.Command {
	c := newDescribeOne(a, "history", "SERIAL", a.completeBands, func(ctx context.Context, a *app, c *client.Client, serial string) error {
		resp, err := c.Inventory.GetBand(ctx, &fleetv1.GetBandRequest{Serial: serial})
		if err != nil {
			return err
		}
		return printObject(a, resp.GetBand(), resp.GetBand().GetSerial(), func() { printBandHistory(a, resp.GetBand()) })
	})
	c.Aliases, c.Short, c.Example = nil, "Show what was reported of a band, the oldest first", "  fleetctl band history AAAH-00077"
	c.Long = "Shows the last 200 things that were reported of a band or done with it in this inventory, the oldest first."
	return c
}
