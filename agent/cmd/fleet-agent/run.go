package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/host/private"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the foreground until it is interrupted",
		Long: `Run the agent of an enrolled data directory until it is interrupted. A task in flight then puts back what it
stopped; a second interrupt ends the program at once, and the next start puts it back.

Settings come from --config (YAML), from environment variables (BANDFLEET_AGENT_DATA_DIR, ...) and from flags, the later
over the earlier. The file also takes:

  roots:                     # folders that actions may read
    endpoint: D:\Nymi\Bluetooth_Endpoint
  services:                  # services that are not found by their display name
    - name: Nymi Bluetooth Endpoint
      key: nbed.service
  programs:                  # programs that actions may have run, by the hash of their file
    - name: firmware-log-tool
      path: C:\Nymi_firmware\build\exe.win32-2.7\nsp_logs_download.exe
      sha256: [5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5]
  logs:                      # further folders with logs, which are only read
    nes-install: D:\Nymi\logs

A task that people at the machine may notice waits while one of them is at work: had input within --quiet-after, is not
away, and the screen is not locked. Where nobody tells of the last input, whoever is signed in counts as at work.`,
		Example: `  fleet-agent run --data-dir /var/lib/bandfleet-agent
  fleet-agent run --data-dir ./agent --host sim:./terminal`,
		Args: cobra.NoArgs,
	}
	addSettingFlags(cmd.Flags())
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		return runAgent(cmd.Context(), cmd, func() {})
	})
	return cmd
}

// runAgent runs the agent with the settings of cmd's flags.
func runAgent(ctx context.Context, cmd *cobra.Command, ready func()) (err error) {
	s, err := readSettings(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	log, closer, err := s.Log.open(cmd.ErrOrStderr())
	if err != nil {
		return &agent.InputError{Err: err}
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	protect(log)
	err = agent.Run(ctx, agent.Config{
		DataDir: s.DataDir, Machine: s.machine(), Version: version, Spool: s.spool(), MinLease: s.MinLease, LookEvery: s.LookEvery, Log: log, Ready: ready,
	})
	if s.Log.File != "" && err != nil {
		// A service's standard error goes nowhere.
		log.Error("the agent ends", "cause", err)
	}
	return err
}

// protect keeps private keys out of core files. A system that cannot do that is no reason not to run.
func protect(log *slog.Logger) {
	if err := private.NoCoreDumps(); err != nil {
		log.Warn("core dumps of this process stay possible; they would hold its private keys", "cause", err)
	}
}
