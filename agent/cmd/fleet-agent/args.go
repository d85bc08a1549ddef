package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// group makes a command that only holds others: without a verb it shows its help, with an unknown one it fails. Cobra would take
// the unknown one for an argument, show the help and call that success.
func group(cmd *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(verbs...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return fmt.Errorf("%q is not a command of %s: use one of %s", args[0], cmd.CommandPath(), strings.Join(names(cmd), ", "))
	}
	return cmd
}

func names(cmd *cobra.Command) []string {
	var out []string
	for _, c := range cmd.Commands() {
		out = append(out, c.Name())
	}
	return out
}

// takes checks the number of arguments and says how the command is written.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return fmt.Errorf("%s: wrong number of arguments: write it as %s", strings.TrimPrefix(cmd.CommandPath(), "fleet-agent "), usage(cmd))
	}
}

// usage writes a command with its arguments; Use holds several ways of writing it, with "|" between them.
func usage(cmd *cobra.Command) string {
	ways := strings.Split(cmd.Use, " | ")
	for i, way := range ways {
		ways[i] = "`" + cmd.Parent().CommandPath() + " " + way + "`"
	}
	return strings.Join(ways, " or ")
}
