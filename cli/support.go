package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

func newSupport(a *app) *cobra.Command {
	return newGroup("support", "Bring together what the vendor's support asks for", "Brings together what the vendor's support asks for.",
		"  fleetctl support bundle --terminal lyon-01 --problem \"taps are ignored since Monday\"", newSupportBundle(a))
}

type supportBundleOptions struct {
	terminal string
	host     string
	problem  string
	since    string
	file     string
	reason   string
}

func newSupportBundle(a *app) *cobra.Command {
	o := &supportBundleOptions{}
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Make a file for a request to the vendor's support",
		Long: `Makes one zip file of what the vendor's support asks for: the text of a request with everything filled in that is known, what is known of the
machine, a diagnosis, and its logs. A manifest lists every part with its SHA-256. Secrets in configuration files are masked on the machine; logs
name people, so pass the file on as personal data.

It runs the actions diagnose and logs-collect, which change nothing. When one of them cannot run, as on a machine that is offline, the bundle
is made without it, says so, and the command ends with exit code 3.`,
		Example: `  fleetctl support bundle --terminal lyon-01 --problem "taps are ignored since Monday"
  fleetctl support bundle --host nes-lyon-1 --since 72h -f incident-4711.zip`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runSupportBundle(cmd.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVar(&o.terminal, "terminal", "", "this `terminal`, by name or id")
	f.StringVar(&o.host, "host", "", "this NES `host`, by name or id")
	f.StringVar(&o.problem, "problem", "", "what is wrong, in your own words")
	f.StringVar(&o.since, "since", "", "only logs that were written to within this `time` (default 24h)")
	f.StringVarP(&o.file, "file", "f", "", "`file` to write, which must not be there yet (default support-NAME-TIME.zip)")
	addReason(c, &o.reason)
	mustComplete(c, "terminal", a.completeTerminals)
	mustComplete(c, "host", a.completeHosts)
	return c
}

func runSupportBundle(ctx context.Context, a *app, o *supportBundleOptions) error {
	selection, err := oneMachine(o.terminal, o.host, "support bundle")
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.GetTerminal(ctx, &fleetv1.GetTerminalRequest{Terminal: o.terminal + o.host})
	if err != nil {
		return err
	}
	t := resp.GetTerminal()
	if o.file == "" {
		o.file = fmt.Sprintf("support-%s-%s.zip", ownTerminalName(t), a.now().UTC().Format("20060102-150405"))
	}
	b, err := newBundle(o.file, a.now())
	if err != nil {
		return err
	}
	missing, err := o.fill(ctx, a, c, b, t, selection)
	if err = errors.Join(err, b.close(err == nil)); err != nil {
		return err
	}
	a.out.Line("%s", o.file)
	a.info.Line("next: read request.txt in it, add what only you know, and send both to %s", supportMail)
	if len(missing) > 0 {
		return exit.Errorf(exit.NotSuccessful, "support bundle: %s is made, but not all of it is there", o.file).With(missing...)
	}
	return nil
}

// fill puts the parts in and returns what could not be had.
func (o *supportBundleOptions) fill(ctx context.Context, a *app, c *client.Client, b *bundle, t *fleetv1.Terminal, s *fleetv1.Selection) (missing []string, err error) {
	diagnosis := &fleetv1.Task{}
	if t.GetOnline() {
		diagnosis, missing = o.ask(ctx, a, c, b, t, s)
	} else {
		missing = []string{"diagnosis and logs: the machine is offline; make another bundle when it is there"}
	}
	if ctx.Err() != nil {
		return missing, exit.Errorf(exit.StillRunning, "support bundle: interrupted; no file was made")
	}
	parts := map[string]proto.Message{"terminal.json": t, "diagnosis.json": diagnosis.GetResult()}
	for _, name := range []string{"terminal.json", "diagnosis.json"} {
		if err := b.message(name, parts[name]); err != nil {
			return missing, err
		}
	}
	if err := b.text("request.txt", requestText(t, diagnosis.GetResult(), o.problem, a.now(), missing)); err != nil {
		return missing, err
	}
	return missing, b.manifest(a.version, t)
}

// ask has the machine diagnosed, and its logs put in.
func (o *supportBundleOptions) ask(ctx context.Context, a *app, c *client.Client, b *bundle, t *fleetv1.Terminal, s *fleetv1.Selection) (*fleetv1.Task, []string) {
	var missing []string
	diagnosis, problem := o.diagnose(ctx, a, c, s)
	if problem != "" {
		missing = append(missing, "diagnosis: "+problem)
	}
	if problem := o.logs(ctx, a, c, b, t, s); problem != "" {
		missing = append(missing, "logs: "+problem)
	}
	return diagnosis, missing
}

// diagnose runs the diagnosis. A machine on which something is wrong is what it is for, so that is no problem.
func (o *supportBundleOptions) diagnose(ctx context.Context, a *app, c *client.Client, s *fleetv1.Selection) (*fleetv1.Task, string) {
	profile := "terminal"
	if o.host != "" {
		profile = "nes"
	}
	spec := &fleetv1.JobSpec{Action: "diagnose", Params: map[string]string{"profile": profile}, Selection: s, Reason: o.reason}
	_, tasks, err := errand{spec: spec}.run(ctx, a.aside(), c)
	if len(tasks) == 1 && len(tasks[0].GetResult().GetFindings()) > 0 {
		return tasks[0], ""
	}
	return &fleetv1.Task{}, whyNot(tasks, err)
}

// logs collects the logs and puts the archive in.
func (o *supportBundleOptions) logs(ctx context.Context, a *app, c *client.Client, b *bundle, t *fleetv1.Terminal, s *fleetv1.Selection) string {
	params := map[string]string{"scope": "nba,lock-control", "include": "ziplog,endpoint-config,event-logs"}
	if t.GetRole() == fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST {
		params = map[string]string{"scope": "nes", "include": "install-logs,instance-config,event-logs"}
	}
	if o.since != "" {
		params["since"] = o.since
	}
	spec := &fleetv1.JobSpec{Action: "logs-collect", Params: params, Selection: s, Reason: o.reason}
	job, tasks, err := errand{spec: spec}.run(ctx, a.aside(), c)
	if err != nil {
		return whyNot(tasks, err)
	}
	files, err := arrived(ctx, a, c, job.GetId(), kindLogs, tasks)
	if err != nil || len(files) == 0 {
		return whyNot(tasks, err)
	}
	file, err := fetchTemporary(ctx, c, files[0])
	if err != nil {
		return oneLine(err)
	}
	defer dropTemporary(file)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err.Error()
	}
	if err := b.copy("logs.zip", file); err != nil {
		return err.Error()
	}
	return ""
}

// whyNot says why an errand brought nothing.
func whyNot(tasks []*fleetv1.Task, err error) string {
	for _, t := range tasks {
		if reason := t.GetResult().GetReason(); reason != "" {
			return reason
		}
	}
	if err != nil {
		return oneLine(err)
	}
	return "the machine sent nothing"
}

// ownTerminalName is the terminal's name where it can be part of a file's, else its id.
func ownTerminalName(t *fleetv1.Terminal) string {
	if plainName.MatchString(t.GetName()) {
		return t.GetName()
	}
	return t.GetId()
}

// bundleManifest is what a bundle says of itself.
type bundleManifest struct {
	Made     time.Time    `json:"made"`
	Fleetctl string       `json:"fleetctl"`
	Terminal string       `json:"terminal"`
	ID       string       `json:"terminal_id"`
	Site     string       `json:"site"`
	Role     string       `json:"role"`
	Personal bool         `json:"personal_data"`
	Parts    []bundlePart `json:"parts"`
}

// manifest writes the list of all parts, the last one.
func (b *bundle) manifest(version string, t *fleetv1.Terminal) error {
	text, err := json.MarshalIndent(bundleManifest{
		Made: b.made, Fleetctl: version, Terminal: output.Safe(t.GetName()), ID: t.GetId(), Site: t.GetSite(), Role: identity.RoleWord(t.GetRole()),
		Personal: true, Parts: b.parts,
	}, "", "  ")
	if err != nil {
		return err
	}
	return b.text("manifest.json", string(text)+"\n")
}
