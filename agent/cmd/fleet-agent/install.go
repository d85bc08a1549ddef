package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/install"
	"github.com/bandfleet/bandfleet/agent/service"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

const (
	// installTimeout bounds an installation: the earlier agent may take minutes to end, and a share may be slow.
	installTimeout = 20 * time.Minute
	// startPatience is how long an agent may take to come up.
	startPatience = 90 * time.Second
	// versionTimeout bounds the first start of a program that a virus scanner has not seen yet.
	versionTimeout = time.Minute
)

// installOptions are the flags of install.
type installOptions struct {
	from, programDir, dataDir, config, logFile, service string
	// For a machine that is not enrolled.
	server, tokenFile, name string
}

func newInstall() *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Put this release on the machine: enrol it, install the service, or replace an earlier release",
		Long: `Copy the release that this program belongs to into the program folder, enrol the machine unless it is enrolled, install
the service and wait until the agent is up. Asks nothing, and may be run again and again: what is so already is left
alone. Needs an administrator's rights.

Where another release runs, it is stopped, which lets a task in flight put back what it stopped, and replaced. When the
new one does not come up, the earlier one is put back and runs again.

The token is taken from --token-file or the variable BANDFLEET_TOKEN, and read only on a machine that is not enrolled.
--config is copied into the data directory; without it, the settings that are there stay. What is done is also written
to install.log in the data directory.

` + exitHelp,
		Example: `  fleet-agent install --server fleet.example.com:7443 --token-file /root/lyon.token
  fleet-agent install --config agent.yaml`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "HOST:PORT of fleetd, for a machine that is not enrolled")
	f.StringVar(&o.tokenFile, "token-file", "", "file that holds the enrolment token, for a machine that is not enrolled")
	f.StringVar(&o.name, "name", "", "name of the terminal; the host name when empty")
	f.StringVar(&o.config, "config", "", "YAML file with the agent's settings, to be installed")
	f.StringVar(&o.from, "from", "", "folder with the release; the one that this program lies in when empty")
	addPlaceFlags(f, &o.programDir, &o.dataDir, &o.service, &o.logFile)
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error { return runInstall(cmd, o) })
	return cmd
}

// addPlaceFlags adds the flags that say where an installed agent is.
func addPlaceFlags(f *pflag.FlagSet, programDir, dataDir, serviceName, logFile *string) {
	f.StringVar(programDir, "program-dir", defaultProgramDir(), "folder for the programs; it is the agent's alone")
	f.StringVar(dataDir, "data-dir", defaultDataDir(), "folder with the identity and the journal of the agent")
	f.StringVar(serviceName, "service", defaultServiceName, "the operating system's name of the service")
	f.StringVar(logFile, "log-file", "", "file for the log of this command; install.log in the data directory when empty")
}

func runInstall(cmd *cobra.Command, o installOptions) (err error) {
	if err := service.Allowed(); err != nil {
		return err
	}
	if err := o.absolute(); err != nil {
		return &agent.InputError{Err: err}
	}
	if err := identity.Dir(o.dataDir).Make(); err != nil {
		return &agent.InputError{Err: err}
	}
	log, closer, err := commandLog(cmd, o.logFile, filepath.Join(o.dataDir, "install.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	protect(log)
	ctx, cancel := context.WithTimeout(cmd.Context(), installTimeout)
	defer cancel()
	log.Info("installation begins", "version", version, "from", o.from, "program_dir", o.programDir)
	did, err := o.install(ctx, log)
	if err != nil {
		log.Error("installation failed", "exit_code", exitCode(&failure{err}), "cause", err)
		return err
	}
	log.Info("installation done", "outcome", did)
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the agent %s\n", did)
	return err
}

// absolute makes all paths independent of the working directory.
func (o *installOptions) absolute() error {
	if o.from == "" {
		program, err := ownProgram()
		if err != nil {
			return err
		}
		o.from = filepath.Dir(program)
	}
	var errs []error
	for _, path := range []*string{&o.from, &o.programDir, &o.dataDir, &o.config, &o.tokenFile} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		*path, errs = absolute, append(errs, err)
	}
	return errors.Join(errs...)
}

// install wires the installation together.
func (o *installOptions) install(ctx context.Context, log *slog.Logger) (string, error) {
	s, args, err := o.settings()
	if err != nil {
		return "", err
	}
	var token string
	return install.Install(ctx, install.Config{
		From: o.from, Program: o.programDir, DataDir: o.dataDir, Settings: o.config,
		Service: agentService(o.service, filepath.Join(o.programDir, install.ProgramFile()), s, args),
		MayEnroll: func() (err error) {
			token, err = o.enrolment()
			return err
		},
		Enroll: func(ctx context.Context, plugins string) error {
			record, err := agent.Enroll(ctx, agent.EnrollConfig{
				DataDir: o.dataDir, Server: o.server, Token: token, Plugins: plugins, Name: o.name, Machine: s.machine(), Version: version, Log: log,
			})
			if err == nil {
				log.Info("enrolled", "name", record.Name, "terminal", record.TerminalID, "site", record.Site, "role", record.Role)
			}
			return err
		},
		Version: versionOf, Services: services{}, Patience: startPatience, Log: log,
	})
}

// settings checks the settings that the agent will run with, and returns the arguments of its service.
func (o *installOptions) settings() (settings, []string, error) {
	args := []string{"--data-dir", o.dataDir}
	given, installed := o.config, install.Settings(o.dataDir)
	if _, err := os.Stat(installed); given == "" && err == nil {
		given = installed
	}
	flags := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	addSettingFlags(flags)
	if err := flags.Parse([]string{"--data-dir", o.dataDir, "--config", given}); err != nil {
		return settings{}, nil, err
	}
	s, err := readSettings(flags, nil)
	if given != "" {
		args = append(args, "--config", installed)
	}
	if runtime.GOOS == "windows" && s.Log.File == "" {
		args = append(args, "--log-file", filepath.Join(o.dataDir, "agent.log"))
	}
	return s, args, err
}

// enrolment checks what an enrolment needs, and returns the token.
func (o *installOptions) enrolment() (string, error) {
	token := os.Getenv(tokenVariable)
	var err error
	if o.tokenFile != "" {
		token, err = readTokenFile(o.tokenFile)
	} else if token == "" {
		err = errors.New("no token: give --token-file or " + tokenVariable + "; `fleetctl token create` makes one")
	}
	if err == nil {
		_, err = fleetid.ParseToken(token)
	}
	if o.server == "" {
		err = errors.Join(err, errors.New("--server is missing: the HOST:PORT of fleetd"))
	}
	if err != nil {
		return "", &agent.InputError{Err: fmt.Errorf("this machine is not enrolled yet: %w", err)}
	}
	return token, nil
}

// versionOf runs a program of the agent to have its version.
func versionOf(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "fleet-agent ")), nil
}
