package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent"
)

// tokenVariable is the environment variable that may hold the enrolment token.
const tokenVariable = "BANDFLEET_TOKEN"

// enrollOptions are the flags of enroll.
type enrollOptions struct {
	dataDir, server, token, tokenFile, plugins, name, host string
	again                                                  bool
}

func newEnroll() *cobra.Command {
	var o enrollOptions
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Make this machine a terminal of a fleet",
		Long: `Make this machine a terminal of a fleet. The keys are made here and stay here; the token proves to the server that
the machine may come in, and to the machine that the server is the right one. The plugins in --plugins are checked against
its plugins.lock and pinned: the agent will run these files and no others.

The token is taken from --token, --token-file or the variable BANDFLEET_TOKEN; arguments can be seen by every user of a
machine. When the server's answer is lost, run the command again.`,
		Example: `  fleetctl token create --site lyon --role user-terminal --uses 10 --ttl 1h -o name > token
  fleet-agent enroll --server fleet.example.com:7443 --token-file token --plugins /opt/bandfleet/plugins`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.dataDir, "data-dir", defaultDataDir(), "folder for the identity and the journal of this agent")
	f.StringVar(&o.server, "server", "", "HOST:PORT of fleetd")
	f.StringVar(&o.token, "token", "", "enrolment token, as `fleetctl token create` printed it")
	f.StringVar(&o.tokenFile, "token-file", "", "file that holds the token")
	f.StringVar(&o.plugins, "plugins", "", "folder with the plugins and plugins.lock")
	f.StringVar(&o.name, "name", "", "name of the terminal; the host name when empty")
	f.StringVar(&o.host, "host", "", "the machine to act on: sim:DIR for a simulated one; this machine when empty")
	f.BoolVar(&o.again, "force-re-enrol", false, "enrol anew although the data directory is enrolled; the old identity is set aside")
	cmd.RunE = action(func(cmd *cobra.Command, _ []string) error { return runEnroll(cmd, o) })
	return cmd
}

func runEnroll(cmd *cobra.Command, o enrollOptions) error {
	token, err := o.readToken()
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return &agent.InputError{Err: err}
	}
	dataDir, err := filepath.Abs(o.dataDir)
	if err != nil {
		return err
	}
	plugins, err := filepath.Abs(o.plugins)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	protect(log)
	record, err := agent.Enroll(cmd.Context(), agent.EnrollConfig{
		DataDir: dataDir, Server: o.server, Token: token, Plugins: plugins, Name: o.name,
		Machine: agent.Machine{Host: o.host}, Again: o.again, Version: version, Log: log,
	})
	if err != nil {
		return err
	}
	next := "fleet-agent run --data-dir " + dataDir
	if o.host != "" {
		next += " --host " + o.host
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "enrolled as %q (%s) at site %q, role %s\nnext: %s\n",
		record.Name, record.TerminalID, record.Site, record.Role, next)
	return err
}

func (o enrollOptions) check() error {
	var problems []error
	if o.server == "" {
		problems = append(problems, errors.New("--server is missing: the HOST:PORT of fleetd"))
	}
	if o.plugins == "" {
		problems = append(problems, errors.New("--plugins is missing: the folder with plugins.lock"))
	}
	return errors.Join(problems...)
}

// readToken takes the token from the one place that has it. It never appears in an error.
func (o enrollOptions) readToken() (string, error) {
	if o.token != "" && o.tokenFile != "" {
		return "", errors.New("--token and --token-file: give one of them")
	}
	if o.tokenFile != "" {
		return readTokenFile(o.tokenFile)
	}
	if o.token != "" {
		return o.token, nil
	}
	if token := os.Getenv(tokenVariable); token != "" {
		return token, nil
	}
	return "", errors.New("no token: give --token-file, --token or " + tokenVariable + "; `fleetctl token create` makes one")
}

// mostToken bounds a file with a token, in bytes.
const mostToken = 64 << 10

// readTokenFile reads a token as the shells of Windows write it, too: PowerShell's `>` makes UTF-16.
func readTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostToken))
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	if rest, ok := bytes.CutPrefix(text, []byte{0xff, 0xfe}); ok {
		return utf16Text(rest), nil
	}
	return string(bytes.TrimPrefix(text, []byte("\ufeff"))), nil
}

func utf16Text(text []byte) string {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(text[2*i:])
	}
	return string(utf16.Decode(units))
}
