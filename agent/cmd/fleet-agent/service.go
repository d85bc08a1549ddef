package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/service"
)

const (
	defaultServiceName = "bandfleet-agent"
	// serviceTimeout bounds an installation or removal: the service may take its time to stop.
	serviceTimeout = 3 * time.Minute
)

func newService() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Install, remove or look at the agent as a service of this machine",
		Long: `Make the agent a Windows service or a systemd unit that starts with the machine. Needs an administrator's rights
and an enrolled data directory.`,
		Example: `  fleet-agent service install --data-dir /var/lib/bandfleet-agent
  fleet-agent service status
  fleet-agent service uninstall`,
	}
	name := cmd.PersistentFlags().String("name", defaultServiceName, "the operating system's name of the service")
	return group(cmd, newServiceInstall(name), newServiceUninstall(name), newServiceStatus(name), newServiceRun(name))
}

func newServiceInstall(name *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the agent as a service and start it",
		Long: `Install this program, where it lies now, as a service and start it. Keep it in a folder that only administrators
can write to: whoever can replace the file becomes the agent.`,
		Args: cobra.NoArgs,
	}
	addSettingFlags(cmd.Flags())
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		config, err := serviceConfig(cmd, *name)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), serviceTimeout)
		defer cancel()
		if err := service.Install(ctx, config); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "service %q is installed and was started\nnext: on the desk, `fleetctl get terminals` shows it online\n", *name)
		return err
	})
	return cmd
}

// serviceConfig makes the service of the settings given to install.
func serviceConfig(cmd *cobra.Command, name string) (service.Config, error) {
	s, err := readSettings(cmd.Flags(), os.Environ())
	if err != nil {
		return service.Config{}, err
	}
	dir := identity.Dir(s.DataDir)
	if enrolled, err := dir.Enrolled(); err != nil || !enrolled {
		return service.Config{}, &agent.InputError{Err: &identity.NotEnrolledError{Dir: dir}}
	}
	if runtime.GOOS == "windows" && s.Log.File == "" {
		s.Log.File = filepath.Join(s.DataDir, "agent.log")
	}
	args, err := s.commandLine(cmd.Flags().Lookup("config").Value.String())
	if err != nil {
		return service.Config{}, err
	}
	program, err := ownProgram()
	return agentService(name, program, s, args), err
}

// ownProgram is the file of this program, where it really lies.
func ownProgram() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(program)
}

// agentService is the agent as a service with settings. args say where its data is, and what differs from what it would be anyway.
func agentService(name, program string, s settings, args []string) service.Config {
	return service.Config{
		Name: name, DisplayName: "Bandfleet Agent",
		Description: "Bandfleet agent: carries out remedies that the fleet's server asks for",
		Executable:  program, Args: append([]string{"service", "run", "--name", name}, args...), DataDir: s.DataDir, Changes: s.changed(),
	}
}

func newServiceUninstall(name *string) *cobra.Command {
	var leave bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Stop the service, put back what it has changed for a time, and remove it; the data directory stays",
		Long: `Stop the service and remove it. Changes that were to end by themselves (verbose logging) are put back first: nobody
would be there at their end. When that does not work, nothing is removed and the service runs again; --leave-changes
removes it all the same.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&leave, "leave-changes", false, "do not put back what was changed for a time")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), serviceTimeout)
		defer cancel()
		prepare := revertLeases
		if leave {
			prepare = func(context.Context, []string) error { return nil }
		}
		if err := service.Uninstall(ctx, *name, prepare); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "service %q was stopped and removed\n", *name)
		return err
	})
	return cmd
}

// revertLeases puts back what the agent of a service has changed for a time. args are those of the service, which say where its data is.
func revertLeases(ctx context.Context, args []string) error {
	flags := pflag.NewFlagSet("service run", pflag.ContinueOnError)
	flags.String("name", "", "")
	addSettingFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := readSettings(flags, os.Environ())
	if err != nil {
		return err
	}
	return agent.RevertLeases(ctx, agent.Config{DataDir: s.DataDir, Machine: s.machine(), Log: slog.New(slog.DiscardHandler)})
}

func newServiceStatus(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Print whether the service is installed and runs",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			st, err := service.Query(cmd.Context(), *name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), describe(*name, st))
			return err
		}),
	}
}

func describe(name string, st service.Status) string {
	if !st.Installed {
		return fmt.Sprintf("service %q: not installed", name)
	}
	start := "by hand"
	if st.Automatic {
		start = "with the machine"
	}
	text := fmt.Sprintf("service %q: %s, starts %s", name, st.State, start)
	if st.PID != 0 {
		text += fmt.Sprintf(", process %d", st.PID)
	}
	return text
}

func newServiceRun(name *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent as the installed service (for the service manager)",
		Args:  cobra.NoArgs,
	}
	addSettingFlags(cmd.Flags())
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error {
		return service.Run(cmd.Context(), *name, func(ctx context.Context, ready func()) error {
			return runAgent(ctx, cmd, ready)
		})
	})
	return cmd
}
