package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/install"
	"github.com/bandfleet/bandfleet/agent/link"
	"github.com/bandfleet/bandfleet/agent/service"
)

// The exit codes, as the help shows them.
const (
	exitOK          = 0
	exitInternal    = 1
	exitInput       = 2
	exitNotAllowed  = 3
	exitDenied      = 5
	exitUnreachable = 6
	exitTakenBack   = 7
	exitDown        = 8
)

const exitHelp = `Exit codes:
  0  done
  1  internal error
  2  bad input: flags, configuration, a damaged token, a data directory that is not fit; nothing was changed
  3  not an administrator: nothing was changed
  5  denied by the server
  6  server unreachable
  7  install: the new release did not come up; the one before it runs again
  8  install: the agent does not run on this machine`

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
		refused    *install.RefusedError
		takenBack  *install.TakenBackError
		down       *install.DownError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, service.ErrNotAllowed):
		return exitNotAllowed
	case errors.As(err, &takenBack):
		return exitTakenBack
	case errors.As(err, &down):
		return exitDown
	case errors.As(err, &refused):
		return exitInput
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
