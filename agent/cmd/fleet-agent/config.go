package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/spool"
)

// envPrefix begins the environment variable of every setting: BANDFLEET_AGENT_DATA_DIR.
const envPrefix = "BANDFLEET_AGENT"

// defaultSpoolMiB is how much may wait for the server unless told otherwise.
const defaultSpoolMiB = 256

// settings are the configuration of a running agent: from a YAML file, the environment and flags, the later over the
// earlier.
type settings struct {
	DataDir string `yaml:"data_dir"`
	// Host is empty or "sim:DIR".
	Host string `yaml:"host"`
	// Roots are the folders that actions may read, by name of the root ("endpoint").
	Roots map[string]string `yaml:"roots"`
	// Services name services whose display name is not found by itself.
	Services []serviceKey `yaml:"services"`
	// QuietAfter is how long after the last input a person at the machine counts as active.
	QuietAfter time.Duration `yaml:"quiet_after"`
	// SpoolMaxMiB is how much may wait for the server on this machine's disk.
	SpoolMaxMiB int `yaml:"spool_max_mib"`
	// MinLease is the least time that a change which ends by itself may be asked for.
	MinLease time.Duration `yaml:"min_lease"`
	// LookEvery is the most time between two looks at anything that may be wrong; 0 leaves it to what each look costs.
	LookEvery time.Duration `yaml:"look_every"`
	// Programs are the programs that actions may have run.
	Programs []programEntry `yaml:"programs"`
	// Logs are further folders with logs, by name of the root. They are only read.
	Logs map[string]string `yaml:"logs"`
	Log  logSettings       `yaml:",inline"`
}

// serviceKey maps a display name to the operating system's own name. It is a list and no map because the configuration
// library folds the case of keys.
type serviceKey struct {
	Name string `yaml:"name"`
	Key  string `yaml:"key"`
}

// logSettings say where the log goes and what it holds.
type logSettings struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"log_level"`
	// Format is text or json.
	Format string `yaml:"log_format"`
	// File is empty for standard error.
	File string `yaml:"log_file"`
}

// The bounds of min_lease, and what it is unless told otherwise. A short one is for tests and demonstrations.
const (
	defaultMinLease = 5 * time.Minute
	leastMinLease   = time.Second
	mostMinLease    = 24 * time.Hour
)

// settingNames are the settings that have a flag and an environment variable; the lists are in the file alone.
func settingNames() []string {
	return []string{"data_dir", "host", "quiet_after", "spool_max_mib", "min_lease", "look_every", "log_level", "log_format", "log_file"}
}

func flagName(setting string) string { return strings.ReplaceAll(setting, "_", "-") }

// addSettingFlags adds the flags of all settings and --config.
func addSettingFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "YAML file with settings (also roots, logs, services and programs)")
	flags.String("data-dir", defaultDataDir(), "folder with the identity and the journal of this agent")
	flags.String("host", "", "the machine to act on: sim:DIR for a simulated one; this machine when empty")
	flags.Duration("quiet-after", host.DefaultQuietAfter, "how long after the last input a person at the machine counts as active")
	flags.Int("spool-max-mib", defaultSpoolMiB, "how many MiB of outputs may wait for the server on this machine's disk, 16 to 65536")
	flags.Duration("min-lease", defaultMinLease, "least time that a change which ends by itself may be asked for, 1s to 24h")
	flags.Duration("look-every", 0, "most time between two looks at anything that may be wrong, 1s to 1h; 0 leaves it to what each look costs")
	flags.String("log-level", "info", "debug, info, warn or error")
	flags.String("log-format", "text", "text or json")
	flags.String("log-file", "", "file for the log, kept below 20 MiB; standard error when empty")
}

// readSettings merges the sources and reports everything that is wrong with them together.
func readSettings(flags *pflag.FlagSet, environ []string) (settings, error) {
	v := viper.New()
	v.SetConfigType("yaml")
	v.SetEnvPrefix(envPrefix)
	var problems []error
	for _, name := range settingNames() {
		problems = append(problems, v.BindEnv(name), v.BindPFlag(name, flags.Lookup(flagName(name))))
	}
	if file := flags.Lookup("config").Value.String(); file != "" {
		problems = append(problems, readFile(v, file)...)
	}
	var s settings
	if err := v.Unmarshal(&s, func(c *mapstructure.DecoderConfig) { c.TagName, c.SquashTagOption = "yaml", "inline" }); err != nil {
		problems = append(problems, fmt.Errorf("configuration: %w", err))
	}
	problems = append(problems, unknownVariables(environ)...)
	problems = append(problems, s.check()...)
	if err := errors.Join(problems...); err != nil {
		return settings{}, &agent.InputError{Err: err}
	}
	return s, s.makeAbsolute()
}

// readFile reads the settings of a file. Unknown settings and wrong types are found by a strict decoder, which knows the
// line; viper has it from the same text.
func readFile(v *viper.Viper, file string) []error {
	text, err := os.ReadFile(file)
	if err != nil {
		return []error{fmt.Errorf("configuration: %w", err)}
	}
	strict := yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	var wrong *yaml.TypeError
	switch err := strict.Decode(&settings{}); {
	case err == nil, errors.Is(err, io.EOF):
	case errors.As(err, &wrong):
		return eachLine(file, wrong.Errors)
	default:
		return []error{fmt.Errorf("configuration file %q: %w", file, err)}
	}
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		return []error{fmt.Errorf("configuration file %q: %w", file, err)}
	}
	return nil
}

// goType is how the decoder names the types of this package; it means nothing to a reader.
var goType = regexp.MustCompile(` (in|into) (type )?main\.\w+`)

func eachLine(file string, lines []string) []error {
	var out []error
	for _, line := range lines {
		out = append(out, fmt.Errorf("configuration file %q: %s", file, goType.ReplaceAllString(line, "")))
	}
	return out
}

// unknownVariables finds misspelt settings in the environment.
func unknownVariables(environ []string) []error {
	var out []error
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		setting, ok := strings.CutPrefix(name, envPrefix+"_")
		if ok && !slices.Contains(settingNames(), strings.ToLower(setting)) {
			out = append(out, fmt.Errorf("environment variable %q: there is no such setting; there are %s", name, strings.Join(settingNames(), ", ")))
		}
	}
	return out
}

// check returns everything that is wrong with the values.
func (s settings) check() []error {
	var out []error
	if s.DataDir == "" {
		out = append(out, errors.New("data_dir: is empty"))
	}
	if s.QuietAfter < host.LeastQuietAfter || s.QuietAfter > host.MostQuietAfter {
		out = append(out, fmt.Errorf("quiet_after: %s: want %s to %s", s.QuietAfter, host.LeastQuietAfter, host.MostQuietAfter))
	}
	if s.SpoolMaxMiB < 16 || s.SpoolMaxMiB > 65536 {
		out = append(out, fmt.Errorf("spool_max_mib: is %d, want 16 to 65536", s.SpoolMaxMiB))
	}
	if s.MinLease < leastMinLease || s.MinLease > mostMinLease {
		out = append(out, fmt.Errorf("min_lease: %s: want %s to %s", s.MinLease, leastMinLease, mostMinLease))
	}
	if s.LookEvery != 0 && (s.LookEvery < time.Second || s.LookEvery > time.Hour) {
		out = append(out, fmt.Errorf("look_every: %s: want 1s to 1h, or 0", s.LookEvery))
	}
	out = append(out, checkPrograms(s.Programs)...)
	out = append(out, checkLogs(s.Logs, s.Roots)...)
	for name, path := range s.Roots {
		if !filepath.IsAbs(path) {
			out = append(out, fmt.Errorf("roots.%s: path %q: want an absolute path", name, path))
		}
	}
	for i, k := range s.Services {
		if k.Name == "" || k.Key == "" {
			out = append(out, fmt.Errorf("services[%d]: want a name (the display name) and a key (the system's own name)", i))
		}
	}
	if _, err := s.Log.level(); err != nil {
		out = append(out, err)
	}
	if s.Log.Format != "text" && s.Log.Format != "json" {
		out = append(out, fmt.Errorf("log_format %q: want text or json", s.Log.Format))
	}
	return out
}

func (s *settings) makeAbsolute() error {
	m, err := agent.Machine{Host: s.Host}.Absolute()
	if err != nil {
		return err
	}
	s.Host = m.Host
	s.DataDir, err = filepath.Abs(s.DataDir)
	return err
}

// machine is what the agent acts on.
func (s settings) machine() agent.Machine {
	m := agent.Machine{Host: s.Host, Local: host.LocalConfig{QuietAfter: s.QuietAfter, Programs: s.programs(), Logs: s.logRoots()}}
	if len(s.Roots) > 0 {
		m.Local.Roots = host.DefaultRoots()
		for name, path := range s.Roots {
			m.Local.Roots[name] = path
		}
	}
	if len(s.Services) > 0 {
		m.Local.ServiceKeys = map[string]string{}
	}
	for _, k := range s.Services {
		m.Local.ServiceKeys[k.Name] = k.Key
	}
	return m
}

// changed are the folders beside the data directory that this agent changes files in: those of the files that actions change, of programs
// that it runs, and of its log; or the simulated machine.
func (s settings) changed() []string {
	var out []string
	if s.Log.File != "" {
		out = append(out, filepath.Dir(s.Log.File))
	}
	if folder, simulated := strings.CutPrefix(s.Host, "sim:"); simulated {
		out = append(out, folder)
	} else {
		out = append(out, s.changedByActions()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s settings) changedByActions() (out []string) {
	folders := s.machine().Local.Roots
	if folders == nil {
		folders = host.DefaultRoots()
	}
	for _, root := range host.WritableRoots() {
		if folder, ok := folders[root]; ok {
			out = append(out, folder)
		}
	}
	for _, p := range s.Programs {
		out = append(out, cmp.Or(p.Folder, filepath.Dir(p.Path)))
	}
	return out
}

// spool bounds what waits for the server.
func (s settings) spool() spool.Limits { return spool.Limits{MaxTotal: int64(s.SpoolMaxMiB) << 20} }

// commandLine is the flags that stand for these settings in a service's command line.
func (s settings) commandLine(config string) ([]string, error) {
	args := []string{"--data-dir", s.DataDir}
	if config != "" {
		path, err := filepath.Abs(config)
		if err != nil {
			return nil, err
		}
		args = append(args, "--config", path)
	}
	if s.Host != "" {
		args = append(args, "--host", s.Host)
	}
	if s.QuietAfter != host.DefaultQuietAfter {
		args = append(args, "--quiet-after", s.QuietAfter.String())
	}
	if s.SpoolMaxMiB != defaultSpoolMiB {
		args = append(args, "--spool-max-mib", strconv.Itoa(s.SpoolMaxMiB))
	}
	if s.MinLease != defaultMinLease {
		args = append(args, "--min-lease", s.MinLease.String())
	}
	if s.LookEvery != 0 {
		args = append(args, "--look-every", s.LookEvery.String())
	}
	if s.Log.File != "" {
		path, err := filepath.Abs(s.Log.File)
		if err != nil {
			return nil, err
		}
		args = append(args, "--log-file", path)
	}
	return args, nil
}
