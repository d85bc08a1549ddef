package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type siteSetOptions struct {
	name        string
	file        string
	timeZone    string
	description string
	nymiAgent   string
	approvals   uint32
	firmware    string
	lists       map[string]*[]string
	reason      string
}

// siteList is a flag that may be given several times and then replaces the whole list, with the flag that empties it.
type siteList struct {
	flag, none, field, help string
}

func siteLists() []siteList {
	return []siteList{
		{"window", "no-windows", "windows", "when jobs that change something may start tasks: `\"mon-fri 22:00-04:00\"`, without days every day; repeatable"},
		{"blackout", "no-blackouts", "blackouts", "when they may not, whatever the windows say: `\"2026-12-24T00:00/2026-12-27T06:00 stock-taking\"`; repeatable"},
		{"nes-host", "no-nes-hosts", "nes_hosts", "a host of the Nymi Enterprise Server: `HOST=URL`, and who uses it: \"HOST=URL;used-by EXPRESSION\"; repeatable"},
		{"approve-root", "no-approved-roots", "approved_roots", "a root certificate that is wanted: `NAME=FILE` in PEM or DER, which is kept so that it can be installed, or NAME=SHA256; repeatable"},
		{"known-host", "no-known-hosts", "known_hosts", "another host that checks may connect to: `LABEL=HOST:PORT` (ad=dc1.lyon.example:636); repeatable"},
		{"nbe", "no-nbe", "nbe_profile", "a wanted key of nbe.toml: `KEY=VALUE`; repeatable"},
	}
}

func newSiteSet(a *app) *cobra.Command {
	o := &siteSetOptions{lists: map[string]*[]string{}}
	c := &cobra.Command{
		Use:   "set SITE",
		Short: "Change the settings of a site",
		Long: `Changes the settings of a site that are given, and leaves the others. A flag that may be repeated replaces the whole list; its
--no- flag empties it. Either all is changed or, when something is wrong, nothing.

With -f all settings are taken from a file, in the form of "fleetctl site show SITE -o yaml": what is not in the file is
emptied. A file that holds the whole site is refused when somebody else has changed the site since it was printed.

Only an administrator of the site may do it.`,
		Example: `  fleetctl site set lyon --time-zone Europe/Paris --window "mon-fri 22:00-04:00" --window "sat,sun 00:00-00:00"
  fleetctl site set lyon --blackout "2026-12-24T00:00/2026-12-27T06:00 stock-taking" --reason INC-4711
  fleetctl site set lyon --nes-host "nes-lyon-1=https://nes-lyon-1.example/nes;used-by label.hall=3"
  fleetctl site set lyon --approve-root "Plant root 2024=root.pem" --nbe rssi_tap_threshold=-42 --approvals 1
  fleetctl site set lyon --known-host ad=dc1.lyon.example:636 --known-host sql=db1.lyon.example:1433
  fleetctl site set lyon --nymi-agent central=wss://agent.lyon.example:9120/socket/websocket
  fleetctl site set lyon --no-windows
  fleetctl site set lyon -f lyon.yaml`,
		Args:              takes(1, "SITE"),
		ValidArgsFunction: byPlace(a.completeSites),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			req, err := o.request(cmd)
			if err != nil {
				return err
			}
			return runSiteSet(cmd.Context(), a, req)
		},
	}
	o.addFlags(c)
	return c
}

func (o *siteSetOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&o.file, "file", "f", "", "take all settings from a `file`")
	f.StringVar(&o.timeZone, "time-zone", "", "the site's time `zone` (Europe/Paris); empty means UTC")
	f.StringVar(&o.description, "description", "", "what people call it")
	f.StringVar(&o.nymiAgent, "nymi-agent", "", "where the Nymi Agent runs: local, or `central=ADDRESS`")
	f.Uint32Var(&o.approvals, "approvals", 0, "how many others must approve a job that changes something, 0 to 2")
	f.StringVar(&o.firmware, "minimum-band-firmware", "", "bands with an older `version` do not lock after failed tries; empty means that it is not known")
	for _, l := range siteLists() {
		o.lists[l.flag] = f.StringArray(l.flag, nil, l.help)
		f.Bool(l.none, false, "empty what --"+l.flag+" fills")
	}
	addReason(c, &o.reason)
	mustComplete(c, "nymi-agent", fixedCompletion("local", "central="))
}

// request reads flags or file. All that cannot be read is told together.
func (o *siteSetOptions) request(cmd *cobra.Command) (*fleetv1.SetSiteRequest, error) {
	req := &fleetv1.SetSiteRequest{Name: o.name, Reason: o.reason, Settings: &fleetv1.SiteSettings{}}
	var problems []string
	for _, name := range []string{"time-zone", "description", "approvals", "minimum-band-firmware"} {
		if cmd.Flags().Changed(name) {
			req.Fields = append(req.Fields, strings.ReplaceAll(name, "-", "_"))
		}
	}
	req.Settings.TimeZone, req.Description, req.Settings.Approvals = o.timeZone, o.description, o.approvals
	req.Settings.MinimumBandFirmware = o.firmware
	if cmd.Flags().Changed("nymi-agent") {
		problems = append(problems, o.readNymiAgent(req)...)
	}
	for _, l := range siteLists() {
		filled, emptied := cmd.Flags().Changed(l.flag), cmd.Flags().Changed(l.none)
		if filled && emptied {
			problems = append(problems, "--"+l.flag+" and --"+l.none+" exclude each other")
		}
		if filled || emptied {
			req.Fields = append(req.Fields, l.field)
			problems = append(problems, readList(req.Settings, l, *o.lists[l.flag])...)
		}
	}
	switch {
	case len(problems) > 0:
		return nil, exit.Errorf(exit.BadInput, "site %q: these settings cannot be read", o.name).With(problems...).Then("see `fleetctl site set --help`")
	case o.file != "" && len(req.GetFields()) > 0:
		return nil, exit.Errorf(exit.BadInput, "site %q: -f and flags for settings exclude each other", o.name).Then("put all of it into the file")
	case o.file != "":
		return req, readSiteFile(o.file, req)
	case len(req.GetFields()) == 0:
		return nil, exit.Errorf(exit.BadInput, "site %q: no setting is given", o.name).Then("see `fleetctl site set --help`")
	}
	return req, nil
}

func (o *siteSetOptions) readNymiAgent(req *fleetv1.SetSiteRequest) (problems []string) {
	req.Fields = append(req.Fields, "nymi_agent", "nymi_agent_url")
	where, url, _ := strings.Cut(o.nymiAgent, "=")
	placement, err := parseWord[fleetv1.NymiAgentPlacement]("--nymi-agent", where)
	if err != nil {
		return []string{oneLine(err)}
	}
	req.Settings.NymiAgent, req.Settings.NymiAgentUrl = placement, url
	return nil
}

// readList reads the values of one repeatable flag.
func readList(s *fleetv1.SiteSettings, l siteList, texts []string) (problems []string) {
	var err error
	switch l.field {
	case "windows":
		s.Windows, err = readEach(texts, parseWindow)
	case "blackouts":
		s.Blackouts, err = readEach(texts, parseBlackout)
	case "nes_hosts":
		s.NesHosts, err = readEach(texts, parseNESHost)
	case "approved_roots":
		s.ApprovedRoots, err = readEach(texts, parseRoot)
	case "known_hosts":
		s.KnownHosts, err = readEach(texts, parseKnownHost)
	case "nbe_profile":
		s.NbeProfile, problems = parsePairs("--nbe", texts)
		quoteURL(s.GetNbeProfile())
		return problems
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, "--"+l.flag+" "+line)
		}
	}
	return problems
}

// readEach reads every text; the error holds a line for each that cannot be read.
func readEach[T any](texts []string, parse func(string) (T, error)) (out []T, err error) {
	for _, text := range texts {
		one, bad := parse(text)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", strconv.Quote(text), bad))
			continue
		}
		out = append(out, one)
	}
	return out, err
}

// quoteURL gives the one key that is text the quotes that a shell takes away.
func quoteURL(profile map[string]string) {
	const key = "agent_url"
	if url, given := profile[key]; given && !strings.HasPrefix(url, `"`) {
		profile[key] = strconv.Quote(url)
	}
}

func runSiteSet(ctx context.Context, a *app, req *fleetv1.SetSiteRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.SetSite(ctx, req)
	if err != nil {
		return inFlags(err)
	}
	s := resp.GetSite()
	return printObject(a, s, s.GetName(), func() {
		a.out.Line("site %s has these settings now:", s.GetName())
		describeSite(a, s)
	})
}

// inFlags puts the flags in the place of the API's fields, which people have not typed.
func inFlags(err error) error {
	e := exit.From(err)
	words := map[string]string{"settings.nymi_agent_url": "--nymi-agent", "settings.nymi_agent": "--nymi-agent", "settings.time_zone": "--time-zone",
		"settings.approvals": "--approvals", "settings.minimum_band_firmware": "--minimum-band-firmware"}
	for _, l := range siteLists() {
		words["settings."+l.field] = "--" + l.flag
	}
	for n, detail := range e.Details {
		for _, field := range slices.Backward(slices.Sorted(maps.Keys(words))) {
			if rest, ok := strings.CutPrefix(detail, field); ok {
				e.Details[n] = words[field] + rest
				break
			}
		}
	}
	return e
}
