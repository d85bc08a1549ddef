package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/bandfleet/bandfleet/server/artifacts"
	"github.com/bandfleet/bandfleet/server/notify"
)

// envPrefix begins the name of every environment variable that is read.
const envPrefix = "BANDFLEET_FLEETD"

// defaultListen is where the server listens unless told otherwise.
const defaultListen = "127.0.0.1:7443"

// Bounds of agent_certificate_ttl.
const (
	minAgentTTL = time.Minute
	maxAgentTTL = 90 * 24 * time.Hour
)

// minJobRetention is the least job_retention but 0: agents may come back with results of jobs for as long.
const minJobRetention = 90 * 24 * time.Hour

// Bounds of artifacts_retention.
const (
	minRetention = time.Hour
	maxRetention = 10 * 365 * 24 * time.Hour
)

// config is all that can be configured, by file, environment or flag; the later of these wins. A flag has dashes where a key has
// underscores.
type config struct {
	DataDir             string        `mapstructure:"data_dir" yaml:"data_dir"`
	Listen              string        `mapstructure:"listen" yaml:"listen"`
	Advertise           string        `mapstructure:"advertise" yaml:"advertise"`
	AgentCertificateTTL time.Duration `mapstructure:"agent_certificate_ttl" yaml:"agent_certificate_ttl"`
	JobRetention        time.Duration `mapstructure:"job_retention" yaml:"job_retention"`
	ArtifactsMaxTotal   string        `mapstructure:"artifacts_max_total" yaml:"artifacts_max_total"`
	ArtifactsRetention  time.Duration `mapstructure:"artifacts_retention" yaml:"artifacts_retention"`
	LogLevel            string        `mapstructure:"log_level" yaml:"log_level"`
	LogFormat           string        `mapstructure:"log_format" yaml:"log_format"`
	// Receivers are told what happens: in the file only.
	Receivers []notify.ReceiverConfig `mapstructure:"receivers" yaml:"receivers"`
}

func addFlags(f *pflag.FlagSet) {
	f.String("data-dir", "", "directory of the store, the CA and admin.yaml; made if it is not there (required)")
	f.String("listen", defaultListen, "address to listen on, HOST:PORT; port 0 takes a free one")
	f.String("advertise", "", "address that agents and operators dial, HOST:PORT, when it is not that of --listen")
	f.Duration("agent-certificate-ttl", 7*24*time.Hour, "validity of agents' certificates; they renew after two thirds of it")
	f.Duration("job-retention", 400*24*time.Hour, "how long jobs are kept after they are done, at least 2160h; 0 for ever (audit records stay)")
	f.String("artifacts-max-total", "10GiB", "most that the artefacts of all terminals may take on the disk, in MiB, GiB or TiB")
	f.Duration("artifacts-retention", artifacts.DefaultRetention, "how long an artefact is kept")
	f.String("log-level", "info", "debug, info, warn or error")
	f.String("log-format", "text", "text or json")
	f.String("config", "", "YAML file with the same keys, underscores for dashes (data_dir: …)")
}

// keyOf is the key that a flag sets.
func keyOf(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// readConfig puts file, environment and flags together and reports every problem that it finds.
func readConfig(flags *pflag.FlagSet, environ []string) (*config, error) {
	v := viper.New()
	v.SetEnvPrefix(envPrefix)
	v.AutomaticEnv()
	var problems []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" && f.Name != "help" {
			problems = append(problems, v.BindPFlag(keyOf(f.Name), f))
		}
	})
	problems = append(problems, unknownEnvironment(v.AllKeys(), environ))
	path, err := flags.GetString("config")
	if err != nil {
		return nil, err
	}
	if path == "" {
		path = os.Getenv(envPrefix + "_CONFIG")
	}
	if path != "" {
		problems = append(problems, readFile(v, path))
	}
	c := &config{}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if err := v.UnmarshalExact(c); err != nil {
		return nil, err
	}
	return c, c.check()
}

// readFile reads a configuration file; each unknown key is named with its line.
func readFile(v *viper.Viper, path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // whoever starts the server names the file
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	strict := yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	if err := strict.Decode(&config{}); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("configuration %s: %w", path, plainYAML(err))
	}
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

// plainYAML takes the words of the Go type out of the decoder's messages.
func plainYAML(err error) error {
	var bad *yaml.TypeError
	if !errors.As(err, &bad) {
		return err
	}
	lines := make([]string, len(bad.Errors))
	for i, line := range bad.Errors {
		lines[i] = strings.TrimSuffix(strings.Replace(line, "field ", "unknown key ", 1), " not found in type main.config")
	}
	return errors.New(strings.Join(lines, "; "))
}

// unknownEnvironment finds variables that look like ours and are none.
func unknownEnvironment(keys, environ []string) error {
	var problems []error
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		key, ours := strings.CutPrefix(name, envPrefix+"_")
		if ours && key != "CONFIG" && !slices.Contains(keys, strings.ToLower(key)) {
			problems = append(problems, fmt.Errorf("environment variable %s is not known; see `fleetd serve --help`", name))
		}
	}
	return errors.Join(problems...)
}

// check reports every value that is out of its bounds.
func (c *config) check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.DataDir == "" {
		bad("data-dir: is required: name a directory for the server's state")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen: is %q, want HOST:PORT such as 0.0.0.0:7443", c.Listen)
	}
	if c.Advertise != "" && !dialable(c.Advertise) {
		bad("advertise: is %q, want the HOST:PORT that agents dial, such as fleet.example.com:7443", c.Advertise)
	}
	if c.AgentCertificateTTL < minAgentTTL || c.AgentCertificateTTL > maxAgentTTL {
		bad("agent-certificate-ttl: is %s, want %s to %s", c.AgentCertificateTTL, minAgentTTL, maxAgentTTL)
	}
	if c.JobRetention != 0 && c.JobRetention < minJobRetention {
		bad("job-retention: is %s, want at least %s, or 0 to keep them for ever", c.JobRetention, minJobRetention)
	}
	if _, err := parseSize(c.ArtifactsMaxTotal); err != nil {
		bad("artifacts-max-total: is %q, want a number with MiB, GiB or TiB, such as 10GiB", c.ArtifactsMaxTotal)
	}
	if c.ArtifactsRetention < minRetention || c.ArtifactsRetention > maxRetention {
		bad("artifacts-retention: is %s, want %s to %s", c.ArtifactsRetention, minRetention, maxRetention)
	}
	problems = append(problems, notify.CheckReceivers(c.Receivers))
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		bad("log-level: is %q, want debug, info, warn or error", c.LogLevel)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		bad("log-format: is %q, want text or json", c.LogFormat)
	}
	return errors.Join(problems...)
}

// dialable reports whether an address is one that can be dialled.
func dialable(address string) bool {
	host, port, err := net.SplitHostPort(address)
	return err == nil && host != "" && port != "" && port != "0"
}

// logger makes the log of a checked configuration.
func (c *config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel))
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
