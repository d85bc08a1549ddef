package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/install"
	"github.com/bandfleet/bandfleet/agent/service"
)

// uninstallOptions are the flags of uninstall.
type uninstallOptions struct {
	programDir, dataDir, service, logFile string
	purge, leave                          bool
}

func newUninstall() *cobra.Command {
	var o uninstallOptions
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take the agent off this machine; the data directory stays unless --purge is given",
		Long: `Stop the agent, put back what it has changed for a time (verbose logging), and remove its service and its programs. When
something cannot be put back, nothing is removed and the agent runs again; --leave-changes removes it all the same.
Without --purge the identity and the journal stay, and the same machine can be installed again without a token. Asks
nothing; what is not there is no error. Needs an administrator's rights.

` + exitHelp,
		Example: `  fleet-agent uninstall
  fleet-agent uninstall --purge`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	addPlaceFlags(f, &o.programDir, &o.dataDir, &o.service, &o.logFile)
	f.BoolVar(&o.purge, "purge", false, "remove the data directory too; the log then goes to standard error alone, unless --log-file is given")
	f.BoolVar(&o.leave, "leave-changes", false, "do not put back what was changed for a time")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error { return runUninstall(cmd, o) })
	return cmd
}

func runUninstall(cmd *cobra.Command, o uninstallOptions) (err error) {
	if err := service.Allowed(); err != nil {
		return err
	}
	if o.programDir, err = filepath.Abs(o.programDir); err != nil {
		return err
	}
	if o.dataDir, err = filepath.Abs(o.dataDir); err != nil {
		return err
	}
	log, closer, err := commandLog(cmd, o.logFile, o.usualLog())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	ctx, cancel := context.WithTimeout(cmd.Context(), serviceTimeout)
	defer cancel()
	if err := install.Uninstall(ctx, o.removal(log)); err != nil {
		log.Error("removal failed", "exit_code", exitCode(&failure{err}), "cause", err)
		return err
	}
	log.Info("removal done")
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "the agent is not installed any more")
	return err
}

// usualLog is where the log goes unless told otherwise. There is no folder for it when the machine has no data directory.
func (o uninstallOptions) usualLog() string {
	if o.purge || !isFolder(o.dataDir) {
		return ""
	}
	return filepath.Join(o.dataDir, "install.log")
}

func (o uninstallOptions) removal(log *slog.Logger) install.Removal {
	prepare := revertLeases
	if o.leave {
		prepare = func(context.Context, []string) error { return nil }
	}
	return install.Removal{
		Program: o.programDir, DataDir: o.dataDir, Purge: o.purge, Name: o.service, Services: services{}, Prepare: prepare, Log: log,
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// services is the service manager of this machine.
type services struct{}

// Query implements install.Services.
func (services) Query(ctx context.Context, name string) (service.Status, error) {
	return service.Query(ctx, name)
}

// Install implements install.Services.
func (services) Install(ctx context.Context, c service.Config) error { return service.Install(ctx, c) }

// Uninstall implements install.Services.
func (services) Uninstall(ctx context.Context, name string, prepare service.Prepare) error {
	return service.Uninstall(ctx, name, prepare)
}

// Start implements install.Services.
func (services) Start(ctx context.Context, name string) error { return service.Start(ctx, name) }

// Stop implements install.Services.
func (services) Stop(ctx context.Context, name string) error { return service.Stop(ctx, name) }

// commandLog is the log of a command that nobody watches: standard error, and a file unless its name is empty.
func commandLog(cmd *cobra.Command, given, usual string) (*slog.Logger, io.Closer, error) {
	out, closer := cmd.ErrOrStderr(), io.Closer(io.NopCloser(nil))
	if file := cmp.Or(given, usual); file != "" {
		f, err := openLogFile(file)
		if err != nil {
			return nil, nil, &agent.InputError{Err: fmt.Errorf("log file %q: %w", file, err)}
		}
		out, closer = io.MultiWriter(f, out), f
	}
	return slog.New(slog.NewTextHandler(out, nil)), closer, nil
}
