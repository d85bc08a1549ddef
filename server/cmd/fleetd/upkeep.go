package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// dataDirFlag adds the flag that every command on the data of a stopped server has.
func dataDirFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "data-dir", "", "data directory of the server")
}

// flagValues are flags and what they were set to.
type flagValues [][2]string

// required reports every flag that is missing.
func required(flags flagValues) error {
	var problems []error
	for _, f := range flags {
		if f[1] == "" {
			problems = append(problems, fmt.Errorf("%s: is required", f[0]))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return usage(errors.Join(problems...))
}

// say prints a line of the command's answer.
func say(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
}
