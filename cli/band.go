package cli

import (
	"context"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newBand(a *app) *cobra.Command {
	return newGroup("band", "Keep the inventory of bands",
		"Bands are wearables in the inventory. Their status here says nothing of the Nymi Enterprise Server and changes nothing there.\n\nList them with `fleetctl get bands`.",
		"  fleetctl band add AAAH-00125 --site lyon\n  fleetctl band lost AAAH-00077 --user 'DOM\\jane'\n  fleetctl band show AAAH-00077",
		append([]*cobra.Command{newBandAdd(a), newBandSetStatus(a), newBandImport(a), newBandShow(a), newBandHistory(a)}, newBandReports(a)...)...)
}

type bandAddOptions struct {
	serial, site, status, firmware, wearer, note string
}

func newBandAdd(a *app) *cobra.Command {
	o := &bandAddOptions{}
	c := &cobra.Command{
		Use:     "add SERIAL --site SITE",
		Short:   "Add a band",
		Long:    "Adds a band to a site's inventory. The serial is the one printed on the band; it is matched in any case.",
		Example: "  fleetctl band add AAAH-00125 --site lyon --firmware 4.1.0",
		Args:    takes(1, "SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.serial = args[0]
			return runBandAdd(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.site, "site", "", "the band's `site`")
	f.StringVar(&o.status, "status", "in-stock", "its status: "+strings.Join(words(fleetv1.BandStatus(0)), ", "))
	f.StringVar(&o.firmware, "firmware", "", "its firmware `version`")
	f.StringVar(&o.wearer, "wearer", "", "your own reference to the person who wears it")
	f.StringVar(&o.note, "note", "", "for its history")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "status", fixedCompletion(words(fleetv1.BandStatus(0))...))
	return c
}

func runBandAdd(ctx context.Context, a *app, o *bandAddOptions) error {
	if o.site == "" {
		return exit.Errorf(exit.BadInput, "band %q: --site is missing", o.serial).Then("say where the band is kept, with --site")
	}
	status, err := parseWord[fleetv1.BandStatus]("--status", o.status)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.CreateBand(ctx, &fleetv1.CreateBandRequest{
		Serial: o.serial, Site: strings.ToLower(o.site), Status: status, FirmwareVersion: o.firmware,
		Wearer: o.wearer, Note: o.note, RequestId: ulid.Make().String(),
	})
	if err != nil {
		return err
	}
	b := resp.GetBand()
	return printObject(a, b, b.GetSerial(), func() {
		a.out.Line("band %s added to site %s, %s", b.GetSerial(), b.GetSite(), word(b.GetStatus()))
	})
}

type bandSetStatusOptions struct {
	serial, status, note, wearer string
	clearWearer                  bool
}

func newBandSetStatus(a *app) *cobra.Command {
	o := &bandSetStatusOptions{}
	c := &cobra.Command{
		Use:   "set-status SERIAL STATUS",
		Short: "Change a band's status in this inventory",
		Long: "Changes a band's status in this inventory, and nothing in the Nymi Enterprise Server.\n\nStatuses: " +
			strings.Join(words(fleetv1.BandStatus(0)), ", "),
		Example:           "  fleetctl band set-status AAAH-00125 assigned --wearer E1042",
		Args:              takes(2, "SERIAL", "STATUS"),
		ValidArgsFunction: byPlace(a.completeBands, fixedCompletion(words(fleetv1.BandStatus(0))...)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.serial, o.status = args[0], args[1]
			return runBandSetStatus(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.note, "note", "", "for its history")
	f.StringVar(&o.wearer, "wearer", "", "new reference to the person who wears it")
	f.BoolVar(&o.clearWearer, "clear-wearer", false, "remove the reference to the person who wore it")
	return c
}

func runBandSetStatus(ctx context.Context, a *app, o *bandSetStatusOptions) error {
	if o.wearer != "" && o.clearWearer {
		return exit.Errorf(exit.BadInput, "band %q: --wearer and --clear-wearer exclude each other", o.serial)
	}
	status, err := parseWord[fleetv1.BandStatus]("status", o.status)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.SetBandStatus(ctx, &fleetv1.SetBandStatusRequest{
		Serial: o.serial, Status: status, Note: o.note, Wearer: o.wearer, ClearWearer: o.clearWearer,
	})
	if err != nil {
		return err
	}
	b := resp.GetBand()
	return printObject(a, b, b.GetSerial(), func() { a.out.Line("band %s is %s now", b.GetSerial(), word(b.GetStatus())) })
}

func bandColumns() []output.Column[*fleetv1.Band] {
	return []output.Column[*fleetv1.Band]{
		{Title: "SERIAL", Text: (*fleetv1.Band).GetSerial},
		{Title: "SITE", Text: (*fleetv1.Band).GetSite},
		{Title: "STATUS", Text: func(b *fleetv1.Band) string { return word(b.GetStatus()) }},
		{Title: "WEARER", Text: (*fleetv1.Band).GetWearer},
		{Title: "FIRMWARE", Wide: true, Text: (*fleetv1.Band).GetFirmwareVersion},
		{Title: "CHANGED", Wide: true, Text: func(b *fleetv1.Band) string {
			if len(b.GetHistory()) == 0 {
				return ""
			}
			return output.UTC(b.GetHistory()[len(b.GetHistory())-1].GetTime())
		}},
	}
}

func describeBand(a *app, b *fleetv1.Band) {
	fields := []output.Field{
		output.Text("Serial", b.GetSerial()),
		output.Text("Site", b.GetSite()),
		output.Text("Status", word(b.GetStatus())),
		output.Text("Firmware", joinWords(", ", b.GetFirmwareVersion(), firmwareReadWord(b))),
		output.Text("Wearer", b.GetWearer()),
	}
	if b.GetStandsInFor() != "" {
		fields = append(fields, output.Text("Stands in for", b.GetStandsInFor()))
	}
	if b.GetReplacedBy() != "" {
		fields = append(fields, output.Text("Replaced by", b.GetReplacedBy()))
	}
	a.out.Fields(0, fields...)
	if b.GetWipeBeforeUse() {
		a.out.Line("It was lost: delete the user's data on it before anybody gets it, and say so with `fleetctl band wiped %s`.", b.GetSerial())
	}
	for _, id := range b.GetGuidedTasks() {
		a.out.Line("Open task: `fleetctl guided show %s`", id)
	}
	a.out.Line("History:")
	printBandHistory(a, b)
}

func firmwareReadWord(b *fleetv1.Band) string {
	if b.GetFirmwareRead() == nil {
		return ""
	}
	return "read by " + b.GetFirmwareReadBy() + " at " + output.UTC(b.GetFirmwareRead())
}

func printBandHistory(a *app, b *fleetv1.Band) {
	for _, e := range b.GetHistory() {
		wearer, report := "", ""
		if e.GetWearer() != "" {
			wearer = "wearer " + e.GetWearer()
		}
		if e.GetReport() != 0 {
			report = "reported " + reportWord(e)
		}
		a.out.Line("  %s", joinWords("  ", output.UTC(e.GetTime()), word(e.GetStatus()), "by "+e.GetActor(), report, wearer, e.GetNote()))
	}
}

// reportWord writes what was reported, with what belongs to it.
func reportWord(e *fleetv1.BandEvent) string {
	switch {
	case e.GetCode() != "":
		return word(e.GetReport()) + " " + e.GetCode()
	case e.GetFailures() > 0:
		return word(e.GetReport()) + " after " + number(e.GetFailures()) + " failed matches"
	default:
		return word(e.GetReport())
	}
}
