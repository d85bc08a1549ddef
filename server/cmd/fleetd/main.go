// Command fleetd is the control server: operators ask it for remedies with fleetctl, agents connect to it. This package only
// reads configuration and hands it to package server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=…).
var version = "dev"

// Exit codes.
const (
	exitOK = iota
	exitInternal
	exitBadInput
)

// errUsage marks what the person who called got wrong.
var errUsage = errors.New("bad input")

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, diag io.Writer) int {
	ctx, stop := withSignals(context.Background(), diag)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(diag)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		complain(diag, err)
		return exitBadInput
	default:
		complain(diag, err)
		return exitInternal
	}
}

// complain prints each problem on a line of its own.
func complain(diag io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(diag, "fleetd: %s\n", strings.TrimSuffix(line, "\n"))
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetd",
		Short: "The control server of a Bandfleet",
		Long: `fleetd is the control server of a Bandfleet. Operators reach it with fleetctl, agents with fleet-agent; both over mutually
authenticated TLS on one port. All its state lies in one data directory.

Exit codes: 0 done, or stopped as asked, 1 could not run or go on, 2 bad flags or configuration.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q; see `%s --help`", args[0], cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath()))
	})
	root.AddCommand(newServe(), newBackup(), newRestore(), newCheck(), newCompact(), newAdminContext(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "fleetd %s\n", version)
			return err
		},
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usage(err)
	}
	return nil
}

// usageError says that the caller has to change something, in the words of its cause.
type usageError struct{ cause error }

func (e usageError) Error() string        { return e.cause.Error() }
func (e usageError) Is(target error) bool { return target == errUsage }
func (e usageError) Unwrap() error        { return e.cause }

func usage(err error) error { return usageError{err} }

// withSignals ends the context at the first request to stop; the second one ends the process at once.
func withSignals(parent context.Context, diag io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			fmt.Fprintf(diag, "fleetd: %s: stopping; send it again to stop at once\n", s)
			cancel()
		case <-ctx.Done():
			return
		}
		<-signals
		os.Exit(exitInternal)
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
