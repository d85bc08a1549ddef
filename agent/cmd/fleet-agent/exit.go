package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/link"
)

// The exit codes, as the help shows them.
const (
	exitOK          = 0
	exitInternal    = 1
	exitInput       = 2
	exitDenied      = 5
	exitUnreachable = 6
)

const exitHelp = `Exit codes:
  0  done
  1  internal error
  2  bad input: flags, configuration, a damaged token, a data directory that is not fit; nothing was changed
  5  denied by the server
  6  server unreachable`

// failure is an error of a command that was understood. Whatever else cobra returns is a mistake in the command line.
type failure struct {
	err error
}

// Error implements error.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap implements errors.Unwrap.
func (f *failure) Unwrap() error { return f.err }

// action makes a command's function of do.
func action(do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := do(cmd, args); err != nil {
			return &failure{err}
		}
		return nil
	}
}

func exitCode(err error) int {
	var (
		understood *failure
		input      *agent.InputError
		server     *link.Error
	)
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &understood), errors.As(err, &input):
		return exitInput
	case errors.As(err, &server):
		return serverExit(server.Kind)
	}
	return exitInternal
}

func serverExit(kind link.Kind) int {
	switch kind {
	case link.Denied:
		return exitDenied
	case link.Rejected:
		return exitInput
	case link.Unreachable:
		return exitUnreachable
	}
	return exitInternal
}
