package cli

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// kindLogs is the kind of artefact that an archive of logs is.
const kindLogs = "logs"

func newLogs(a *app) *cobra.Command {
	return newGroup("logs", "Collect and read the log files of machines",
		`Brings the log files that the vendor's guide names from machines: of each user's profile, of Lock Control, of the services of a NES host.
Files are read without keeping any program from writing to them; secrets in configuration files are masked on the machine.`,
		"  fleetctl logs collect --host nes-lyon-1 --scope nes\n  fleetctl logs tail --terminal lyon-01 --scope nba",
		newLogsCollect(a), newLogsTail(a))
}

// logOptions say which logs are meant.
type logOptions struct {
	scope   []string
	service string
	since   string
}

func (o *logOptions) addTo(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&o.scope, "scope", nil, "whose logs: `nba`, lock-control, nes (default nba; nes where --host is given)")
	f.StringVar(&o.service, "service", "", "only this `service` of a NES host: admin, enrollment or authentication")
	f.StringVar(&o.since, "since", "", "only files that were written to within this `time` (default 24h)")
	mustComplete(c, "scope", fixedCompletion("nba", "lock-control", "nes"))
	mustComplete(c, "service", fixedCompletion("admin", "enrollment", "authentication"))
}

// params makes the parameters of logs-collect; onHost says that NES hosts are meant.
func (o *logOptions) params(onHost bool) map[string]string {
	params := map[string]string{}
	if len(o.scope) > 0 {
		params["scope"] = strings.Join(o.scope, ",")
	} else if onHost {
		params["scope"] = "nes"
	}
	if o.service != "" {
		params["service"] = o.service
	}
	if o.since != "" {
		params["since"] = o.since
	}
	return params
}

type logsCollectOptions struct {
	selectionOptions
	logOptions
	include []string
	tail    int
	maxSize int
	folder  string
	leave   bool
	reason  string
	timeout time.Duration
}

func newLogsCollect(a *app) *cobra.Command {
	o := &logsCollectOptions{}
	c := &cobra.Command{
		Use:   "collect",
		Short: "Bring logs of machines into archives, and fetch them",
		Long: `Has each selected machine bring its logs into a zip archive with a manifest of names, sizes, times and hashes, and fetches the archives
into --folder. Archives hold what people did: they are personal data, and the server keeps them no longer than its retention says.

It is "fleetctl fix logs-collect" with the archives fetched; --leave leaves them with the server, for "fleetctl artifact get". Where an archive would be larger
than --max-size it is cut, and its manifest says what is missing.`,
		Example: `  fleetctl logs collect --host nes-lyon-1 --scope nes --include instance-config,event-logs
  fleetctl logs collect --terminal lyon-01,lyon-02 --since 2h --folder incident-4711
  fleetctl logs collect --site lyon --tail 500 --leave`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runLogsCollect(cmd.Context(), a, o) },
	}
	o.selectionOptions.addTo(c, a)
	o.logOptions.addTo(c)
	f := c.Flags()
	f.StringSliceVar(&o.include, "include", nil, "what else goes in: `install-logs`, event-logs, instance-config, endpoint-config, ziplog")
	f.IntVar(&o.tail, "tail", 0, "only so many last lines of each file")
	f.IntVar(&o.maxSize, "max-size", 0, "most of the files that goes into an archive, in `MiB` (default 200)")
	f.StringVar(&o.folder, "folder", ".", "`folder` to fetch the archives into, which is made when it is not there")
	f.BoolVar(&o.leave, "leave", false, "leave the archives with the server")
	addReason(c, &o.reason)
	spanVar(f, &o.timeout, "timeout", 0, "longest time to wait; the job goes on after it (default: to the job's end)")
	mustComplete(c, "include", fixedCompletion("install-logs", "event-logs", "instance-config", "endpoint-config", "ziplog"))
	return c
}

func runLogsCollect(ctx context.Context, a *app, o *logsCollectOptions) error {
	spec, err := o.spec()
	if err != nil {
		return err
	}
	if err := o.makeFolder(); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	job, tasks, verdict := errand{spec, o.timeout}.run(ctx, a.aside(), c)
	if job == nil {
		return verdict
	}
	if o.leave {
		a.out.Line("%s", job.GetId())
		return verdict
	}
	if err := fetchAll(ctx, a, c, job.GetId(), o.folder, tasks); err != nil {
		return err
	}
	return verdict
}

// makeFolder makes the folder for the archives, before machines are asked for what could not be kept.
func (o *logsCollectOptions) makeFolder() error {
	if o.leave {
		return nil
	}
	if err := os.MkdirAll(o.folder, 0o700); err != nil {
		return exit.Errorf(exit.BadInput, "logs collect: %v; nothing was asked for", err).Then("name another folder with --folder")
	}
	return nil
}

// spec reads the flags and reports all their problems together.
func (o *logsCollectOptions) spec() (*fleetv1.JobSpec, error) {
	selection, problems := o.selection()
	if o.isEmpty() {
		problems = append(problems, "no terminals are selected: give --site, --terminal, --host, --role, -l or --select")
	}
	params := o.params(len(selection.GetHosts()) > 0)
	if len(o.include) > 0 {
		params["include"] = strings.Join(o.include, ",")
	}
	for name, n := range map[string]int{"tail": o.tail, "max_size": o.maxSize} {
		if n < 0 {
			problems = append(problems, "--"+strings.ReplaceAll(name, "_", "-")+": want a number above 0")
		}
		if n > 0 {
			params[name] = strconv.Itoa(n)
		}
	}
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "logs collect: the command cannot be read; nothing was asked for").With(problems...).Then("see `fleetctl logs collect --help`")
	}
	return &fleetv1.JobSpec{Action: "logs-collect", Params: params, Selection: selection, Reason: o.reason}, nil
}

// fetchAll fetches the archives of a job, each under the name that the server gave it.
func fetchAll(ctx context.Context, a *app, c *client.Client, job, folder string, tasks []*fleetv1.Task) error {
	files, err := arrived(ctx, a, c, job, kindLogs, tasks)
	for _, f := range files {
		if err := fetchFile(ctx, a, c, f, filepath.Join(folder, ownName(f))); err != nil {
			return err
		}
	}
	return err
}
