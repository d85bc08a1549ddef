package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bandfleet/bandfleet/agent"
)

// read reads the settings from a file's text, an environment and flags.
func read(t *testing.T, text string, environ []string, args ...string) (settings, error) {
	t.Helper()
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	addSettingFlags(flags)
	if text != "" {
		file := filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	return readSettings(flags, environ)
}

func TestLaterSourcesWin(t *testing.T) {
	const file = "data_dir: /from/file\nlog_level: debug\nlog_format: json\n"
	s, err := read(t, file, []string{"BANDFLEET_AGENT_DATA_DIR=/from/env", "BANDFLEET_AGENT_LOG_FORMAT=text"}, "--data-dir", "/from/flag")
	if err != nil {
		t.Fatal(err)
	}
	if s.DataDir != "/from/flag" || s.Log.Format != "text" || s.Log.Level != "debug" {
		t.Errorf("settings are %+v, want data_dir from the flag, log_format from the environment, log_level from the file", s)
	}
}

func TestDefaults(t *testing.T) {
	s, err := read(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.DataDir != defaultDataDir() || s.Log.Level != "info" || s.machine().Local.Roots != nil || s.machine().Local.QuietAfter != time.Minute {
		t.Errorf("settings are %+v, want the defaults", s)
	}
}

// TestQuietAfter: the time reaches the machine from wherever it was set, and one that makes no sense is refused.
func TestQuietAfter(t *testing.T) {
	for name, from := range map[string]struct {
		file string
		env  []string
		args []string
	}{
		"file": {file: "quiet_after: 90s\n"}, "environment": {env: []string{"BANDFLEET_AGENT_QUIET_AFTER=90s"}}, "flag": {args: []string{"--quiet-after", "1m30s"}},
	} {
		s, err := read(t, from.file, from.env, from.args...)
		if err != nil || s.machine().Local.QuietAfter != 90*time.Second {
			t.Errorf("from the %s: quiet after %v, %v; want 90s", name, s.machine().Local.QuietAfter, err)
		}
		for _, env := range from.env {
			variable, _, _ := strings.Cut(env, "=")
			os.Unsetenv(variable)
		}
	}
	for _, bad := range []string{"9s", "0s", "-1m", "61m"} {
		if _, err := read(t, "", nil, "--quiet-after", bad); err == nil || !strings.Contains(err.Error(), "10s to 1h") {
			t.Errorf("--quiet-after %s: error is %v, want the bounds", bad, err)
		}
	}
	s, err := read(t, "", nil, "--quiet-after", "2m")
	if err != nil {
		t.Fatal(err)
	}
	if args, err := s.commandLine(""); err != nil || !slices.Contains(args, "2m0s") {
		t.Errorf("a service's command line is %q, %v; want the time in it", args, err)
	}
}

func TestFileOnlySettings(t *testing.T) {
	s, err := read(t, `
roots: {endpoint: /srv/nymi}
services:
  - {name: Nymi Bluetooth Endpoint, key: nbed.service}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := s.machine()
	if m.Local.Roots["endpoint"] != "/srv/nymi" || m.Local.ServiceKeys["Nymi Bluetooth Endpoint"] != "nbed.service" {
		t.Errorf("machine is %+v, want the root and the service of the file, the case of names kept", m)
	}
}

func TestAllMistakesAreReportedTogether(t *testing.T) {
	_, err := read(t, "data_dri: /x\nlog_level: loud\nroots: {endpoint: relative}\nservices: [{name: A, kez: b}]\n",
		[]string{"BANDFLEET_AGENT_LOGLEVEL=info"}, "--log-format", "xml")
	var input *agent.InputError
	if !errors.As(err, &input) {
		t.Fatalf("error is %v, want an %T", err, input)
	}
	for _, want := range []string{"line 1: field data_dri not found", "line 4: field kez not found", "BANDFLEET_AGENT_LOGLEVEL", `"xml"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q; it is:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "main.") {
		t.Errorf("the error names a Go type:\n%v", err)
	}
	if _, err := read(t, "log_level: loud\nroots: {endpoint: relative}\nservices: [{name: A}]\n", nil); err == nil ||
		!strings.Contains(err.Error(), `"loud"`) || !strings.Contains(err.Error(), "roots.endpoint") || !strings.Contains(err.Error(), "services[0]") {
		t.Errorf("error is %v, want all three values named", err)
	}
}

func TestBrokenFiles(t *testing.T) {
	for name, text := range map[string]string{"syntax": "a: [", "type": "log_level: [1]", "list": "- x"} {
		if _, err := read(t, text, nil); err == nil || !strings.Contains(err.Error(), "agent.yaml") {
			t.Errorf("%s: error is %v, want one that names the file", name, err)
		}
	}
	if _, err := read(t, "", nil, "--config", "/does/not/exist.yaml"); err == nil || !strings.Contains(err.Error(), "/does/not/exist.yaml") {
		t.Errorf("error is %v, want one that names the missing file", err)
	}
}

func TestTheSpoolIsBounded(t *testing.T) {
	s, err := read(t, "spool_max_mib: 64\n", nil)
	if err != nil || s.spool().MaxTotal != 64<<20 {
		t.Errorf("the spool may take %d bytes, %v; want 64 MiB", s.spool().MaxTotal, err)
	}
	line, err := s.commandLine("")
	if err != nil || !strings.Contains(strings.Join(line, " "), "--spool-max-mib 64") {
		t.Errorf("a service's command line is %q, %v; want the bound in it", line, err)
	}
	for _, bad := range []string{"0", "15", "65537", "-1"} {
		if _, err := read(t, "", nil, "--spool-max-mib", bad); err == nil || !strings.Contains(err.Error(), "16 to 65536") {
			t.Errorf("%s MiB: %v, want a refusal with the bounds", bad, err)
		}
	}
}

// tool is an entry of the list of programs.
const tool = "programs: [{name: firmware-log-tool, path: /opt/tool, sha256: [" + hash + "], arguments: [--all], folder: /opt/logs}]\n"

const hash = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"

func TestProgramsAndLogsReachTheMachine(t *testing.T) {
	s, err := read(t, tool+"logs: {nes-install: /var/nes}\nmin_lease: 30s\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := s.machine().Local.Programs["firmware-log-tool"]
	if got.Path != "/opt/tool" || got.Folder != "/opt/logs" || !slices.Equal(got.SHA256, []string{hash}) || !slices.Equal(got.Arguments, []string{"--all"}) {
		t.Errorf("the program is %+v, want what the file says", got)
	}
	if logs := s.machine().Local.Logs; logs["nes-install"] != "/var/nes" {
		t.Errorf("folders of logs are %v, want the configured one among them", logs)
	}
	if s.MinLease != 30*time.Second {
		t.Errorf("the least lease is %v, want 30s", s.MinLease)
	}
	if line, err := s.commandLine(""); err != nil || !slices.Contains(line, "30s") {
		t.Errorf("a service's command line is %q, %v; want the least lease in it", line, err)
	}
}

// TestMistakesInListsAreAllNamed: a program that is half right must not be half taken.
func TestMistakesInListsAreAllNamed(t *testing.T) {
	_, err := read(t, `
programs:
  - {name: Tool, path: tool.exe, sha256: [ABC], folder: logs}
  - {name: twice, path: /a, sha256: [`+hash+`]}
  - {name: twice, path: /b}
logs: {endpoint: /x, relative: y, more: /more}
roots: {more: /other}
min_lease: 100ms
look_every: 2h
`, nil)
	if err == nil {
		t.Fatal("the settings were taken, want all mistakes named")
	}
	for _, want := range []string{
		`programs[0]: name "Tool"`, `programs[0]: path "tool.exe"`, `programs[0]: folder "logs"`, `programs[0]: sha256 "ABC"`,
		`programs[2]: there is another one named "twice"`, "programs[2]: sha256: want at least one", "logs.endpoint: actions write",
		`logs.relative: path "y"`, "logs.more: there is a root", "min_lease: 100ms: want 1s to 24h", "look_every: 2h0m0s: want 1s to 1h",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q; it is:\n%v", want, err)
		}
	}
	if _, err := read(t, "programs: [{name: a, path: /a, sha265: [x]}]\n", nil); err == nil || !strings.Contains(err.Error(), "sha265") {
		t.Errorf("a misspelt key: %v, want it named", err)
	}
}

// TestServiceMayWriteWhatItChanges: everything else is read-only for the service, so a folder that is missing here is one that no action
// can repair.
func TestServiceMayWriteWhatItChanges(t *testing.T) {
	text := "roots:\n  endpoint: /srv/nbe\n  other: /srv/other\nprograms:\n- {name: tool, path: /srv/tool/tool, sha256: [" + strings.Repeat("ab", 32) + "]}\n"
	s, err := read(t, text, nil, "--log-file", "/var/log/bandfleet/agent.log")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/srv/nbe", "/srv/tool", "/var/log/bandfleet"}
	if got := s.changed(); !slices.Equal(got, want) {
		t.Errorf("the service changes files in %q, want %q: roots that are only read do not belong there", got, want)
	}
	s.Host = "sim:/srv/machine"
	want = []string{"/srv/machine", "/var/log/bandfleet"}
	if got := s.changed(); !slices.Equal(got, want) {
		t.Errorf("with a simulated machine it changes files in %q, want %q", got, want)
	}
}
