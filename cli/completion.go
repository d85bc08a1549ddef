package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// completionTimeout is how long a person who pressed TAB waits for the server's names.
const completionTimeout = 2 * time.Second

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script for a shell",
		Long: `Prints a script that teaches a shell to complete fleetctl's commands and flags, and, by asking the server, the names of
actions, parameters, sites, terminals, bands and jobs. The one for bash needs the package bash-completion.`,
		Example: `  source <(fleetctl completion bash)
  fleetctl completion zsh > "${fpath[1]}/_fleetctl"
  fleetctl completion fish | source
  fleetctl completion powershell | Out-String | Invoke-Expression`,
		Args:      takes(1, "SHELL"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE:      func(cmd *cobra.Command, args []string) error { return runCompletion(a, cmd.Root(), args[0]) },
	}
}

func runCompletion(a *app, root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(a.stdout, true)
	case "zsh":
		return root.GenZshCompletion(a.stdout)
	case "fish":
		return root.GenFishCompletion(a.stdout, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(a.stdout)
	default:
		return exit.Errorf(exit.BadInput, "shell %q is not known", shell).Then("use bash, zsh, fish or powershell")
	}
}

// completer proposes values of an argument or flag.
type completer = cobra.CompletionFunc

func mustComplete(c *cobra.Command, flag string, complete completer) {
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic("fleetctl: completion of --" + flag + ": " + err.Error())
	}
}

func fixedCompletion(values ...string) completer {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// ask completes with what the server answers within completionTimeout; when it does not answer, with nothing.
func (a *app) ask(ctx context.Context, typed string, names func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	a.timeout = completionTimeout
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	found, err := names(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	// In a list separated by commas only the last name is completed.
	before, last := "", typed
	if i := strings.LastIndex(typed, ","); i >= 0 {
		before, last = typed[:i+1], typed[i+1:]
	}
	var out []string
	for _, n := range found {
		// A shell would take what stands behind white space for a description; a hostile name could do worse.
		if strings.HasPrefix(n, last) && output.Safe(n) == n {
			out = append(out, before+n)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func namesOf[T any](list []T, name func(T) string) []string {
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, name(x))
	}
	return out
}

func (a *app) completeSites(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Sites(ctx)
		return namesOf(resp.GetSites(), (*fleetv1.Site).GetName), err
	})
}

func (a *app) completeTerminals(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.completeSelected(cmd.Context(), typed, &fleetv1.Selection{})
}

func (a *app) completeHosts(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.completeSelected(cmd.Context(), typed, &fleetv1.Selection{Role: fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST})
}

func (a *app) completeSelected(ctx context.Context, typed string, s *fleetv1.Selection) ([]string, cobra.ShellCompDirective) {
	return a.ask(ctx, typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Terminals(ctx, &fleetv1.ListTerminalsRequest{Selection: s})
		return namesOf(resp.GetTerminals(), (*fleetv1.Terminal).GetName), err
	})
}

func (a *app) completeLabels(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Terminals(ctx, &fleetv1.ListTerminalsRequest{Selection: &fleetv1.Selection{}})
		var labels []string
		for _, t := range resp.GetTerminals() {
			for name, value := range t.GetLabels() {
				labels = append(labels, name+"="+value)
			}
		}
		slices.Sort(labels)
		return slices.Compact(labels), err
	})
}

func (a *app) completeBands(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Bands(ctx, &fleetv1.ListBandsRequest{})
		return namesOf(resp.GetBands(), (*fleetv1.Band).GetSerial), err
	})
}

func (a *app) completeJobs(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListJobs(ctx, &fleetv1.ListJobsRequest{}, defaultJobLimit)
		return namesOf(resp.GetJobs(), (*fleetv1.Job).GetId), err
	})
}

// completeActiveJobs offers those jobs alone of which something may still be paused, cancelled, approved or answered.
func (a *app) completeActiveJobs(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListJobs(ctx, &fleetv1.ListJobsRequest{ActiveOnly: true}, defaultJobLimit)
		return namesOf(resp.GetJobs(), (*fleetv1.Job).GetId), err
	})
}

func (a *app) completeTokens(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Tokens(ctx)
		return namesOf(resp.GetTokens(), (*fleetv1.Token).GetId), err
	})
}

func (a *app) completeOperators(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Operators(ctx)
		return namesOf(resp.GetOperators(), (*fleetv1.Operator).GetName), err
	})
}

func (a *app) completeActions(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		return actionNames(ctx, c)
	})
}

// completeParams proposes "name=" for each parameter of the action that stands on the line.
func (a *app) completeParams(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 || strings.Contains(typed, "=") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found, directive := a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		// The action is the last word of the verbs that take one.
		return paramNames(ctx, c, args[len(args)-1])
	})
	return found, directive | cobra.ShellCompDirectiveNoSpace
}

// completeSchedules offers the names of schedules.
func (a *app) completeSchedules(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListSchedules(ctx)
		return namesOf(resp.GetSchedules(), (*fleetv1.Schedule).GetName), err
	})
}

// completeFaults offers the ids of faults that are not resolved.
func (a *app) completeFaults(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListFaults(ctx, &fleetv1.ListFaultsRequest{}, defaultFaultLimit)
		return namesOf(resp.GetFaults(), (*fleetv1.Fault).GetId), err
	})
}

// byPlace uses the first completer for the first argument, and so on.
func byPlace(places ...completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(places) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return places[len(args)](cmd, args, typed)
	}
}
