package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
)

const rootLong = `fleetctl finds terminals, applies remedies to them, and tells who succeeded, how, and how long a service was away.

It speaks to a Bandfleet server with the certificate of a context file: the one of --config, else of FLEETCTL_CONFIG, else
the one put in place by "fleetctl config use".

Tables show times as ages; everything else, -o wide included, shows them in UTC (RFC 3339), as the server's audit record does.
With -o json and -o yaml a list is the API's List…Response message as protojson, all pages merged; a named object is that
object's message; a job with its tasks is a WatchJobResponse {job, tasks}.

Exit codes:
`

const rootExample = `  fleetctl get terminals --site lyon
  fleetctl fix ble-restart --site lyon --dry-run
  fleetctl fix ble-restart --site lyon --reason INC-4711
  fleetctl diagnose lyon-01
  fleetctl job watch 01JD...`

// newRoot makes the whole command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "fleetctl",
		Short:         "Remedy faults on a fleet of terminals",
		Long:          rootLong + exit.Table(),
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.parsed = true
		},
		RunE: needVerb,
		Args: cobra.ArbitraryArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exit.Errorf(exit.BadInput, "%v", err).Then("see `%s --help`", c.CommandPath())
	})
	root.SetOut(a.stdout)
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFlag, "config", "", "context `file` with the server's address and your certificate (default $FLEETCTL_CONFIG)")
	flags.VarP(&a.format, "output", "o", "form of the output: "+output.Names())
	spanVar(flags, &a.timeout, "request-timeout", 20*time.Second, "longest time for one answer of the server")
	mustComplete(root, "output", fixedCompletion("table", "wide", "json", "yaml", "name"))
	root.AddCommand(
		newStatus(a), newFix(a), newDiagnose(a), newExplain(a), newFaults(a), newFault(a), newCerts(a), newGuided(a), newGet(a), newDescribe(a),
		newJob(a), newSchedule(a), newSweep(a), newPolicy(a), newBreaker(a), newFreeze(a), newUnfreeze(a), newNotify(a), newCatalogue(a),
		newSite(a), newTerminal(a), newBand(a),
		newToken(a), newOperator(a), newWhoAmI(a), newArtifact(a), newLogs(a), newSupport(a), newSecret(a), newBackup(a),
		newConfig(a), newVersion(a), newCompletion(a), newExitCodes(), newExpressions(),
	)
	return root
}

// newGroup makes a command that only holds others.
func newGroup(use, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, RunE: needVerb, Args: cobra.ArbitraryArgs}
	c.AddCommand(verbs...)
	return c
}

// needVerb answers a group without a verb: with its help, or, when there is a word that is no verb, with an error.
func needVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	e := exit.Errorf(exit.BadInput, "%q is not a command of %s", args[0], cmd.CommandPath())
	verbs := namesOf(cmd.Commands(), (*cobra.Command).Name)
	if near := nearest(args[0], verbs); near != "" {
		return e.Then("did you mean `%s %s`?", cmd.CommandPath(), near)
	}
	return e.Then("see `%s --help`", cmd.CommandPath())
}

// takes makes an argument check for the named arguments; those after "[" are optional.
func takes(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= len(names) {
			return nil
		}
		verb := strings.TrimPrefix(cmd.CommandPath(), "fleetctl ")
		problem := exit.Errorf(exit.BadInput, "%s: %d arguments are too many", verb, len(args))
		if len(args) < least {
			problem = exit.Errorf(exit.BadInput, "%s: %s is missing", verb, names[len(args)])
		}
		return problem.Then("write `%s`; see `%s --help`", cmd.UseLine(), cmd.CommandPath())
	}
}

// newExitCodes makes the help topic "exit-codes".
func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean (help topic)",
		Long:  "fleetctl ends with one of these codes, whatever the verb:\n\n" + exit.Table(),
	}
}
