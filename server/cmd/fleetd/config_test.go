package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bandfleet/bandfleet/proto/catalogue/signing"
)

func read(t *testing.T, environ []string, args ...string) (*config, error) {
	t.Helper()
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	addFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return readConfig(flags, os.Environ())
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleetd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	c, err := read(t, nil, "--data-dir", "/tmp/x")
	if err != nil {
		t.Fatal(err)
	}
	want := config{DataDir: "/tmp/x", Listen: "127.0.0.1:7443", AgentCertificateTTL: 7 * 24 * time.Hour, JobRetention: 9600 * time.Hour, ArtifactsMaxTotal: "10GiB", ArtifactsRetention: 90 * 24 * time.Hour, LogLevel: "info", LogFormat: "text", Catalogue: catalogueConfig{TrustedKeys: []string{}}}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("configuration is %+v, want %+v", *c, want)
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	path := file(t, "data_dir: /from/file\nlisten: 127.0.0.1:1\nlog_level: debug\nagent_certificate_ttl: 2h\n")
	c, err := read(t, []string{"BANDFLEET_FLEETD_LISTEN=127.0.0.1:2", "BANDFLEET_FLEETD_DATA_DIR=/from/env"}, "--config", path, "--data-dir", "/from/flag")
	if err != nil {
		t.Fatal(err)
	}
	want := config{DataDir: "/from/flag", Listen: "127.0.0.1:2", AgentCertificateTTL: 2 * time.Hour, JobRetention: 9600 * time.Hour, ArtifactsMaxTotal: "10GiB", ArtifactsRetention: 90 * 24 * time.Hour, LogLevel: "debug", LogFormat: "text", Catalogue: catalogueConfig{TrustedKeys: []string{}}}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("configuration is %+v, want %+v", *c, want)
	}
}

func TestKeysOfPacksComeFromFileEnvironmentAndFlag(t *testing.T) {
	key, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	line := key.Public().String()
	for name, c := range map[string]struct{ environ, args []string }{
		"file":        {nil, []string{"--config", file(t, "data_dir: x\ncatalogue:\n  trusted_keys:\n    - "+line+"\n    - "+line+"\n")}},
		"environment": {[]string{"BANDFLEET_FLEETD_CATALOGUE_TRUSTED_KEYS=" + line + "," + line}, []string{"--data-dir", "x"}},
		"flag":        {nil, []string{"--data-dir", "x", "--catalogue.trusted-keys", line, "--catalogue.trusted-keys", line}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, c.environ, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if keys, err := got.packKeys(); err != nil || len(keys) != 2 || keys[1].ID() != key.Public().ID() {
				t.Errorf("trusted keys are %v, %v; want the two of the %s", keys, err, name)
			}
		})
	}
}

func TestTheFileCanBeNamedInTheEnvironment(t *testing.T) {
	c, err := read(t, []string{"BANDFLEET_FLEETD_CONFIG=" + file(t, "data_dir: /from/file\n")})
	if err != nil || c.DataDir != "/from/file" {
		t.Errorf("got %+v, %v; want data_dir of the file", c, err)
	}
}

func TestBadConfigurationIsReportedWhole(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		environ []string
		args    []string
		want    []string
	}{
		"nothing":           {want: []string{"data-dir: is required"}},
		"bad values":        {args: []string{"--data-dir", "x", "--listen", "nonsense", "--log-level", "loud", "--log-format", "xml", "--agent-certificate-ttl", "1s", "--job-retention", "24h", "--advertise", "host"}, want: []string{"listen", "log-level", "log-format", "agent-certificate-ttl", "job-retention", "advertise"}},
		"unknown keys":      {file: "data_dir: x\ncolour: red\nlog_level: info\nshape: round\n", want: []string{"line 2: unknown key colour", "line 4: unknown key shape"}},
		"no key of packs":   {file: "data_dir: x\ncatalogue:\n  trusted_keys: [nonsense]\n", want: []string{"catalogue.trusted-keys: public key: does not begin with bandfleet-pack-key-1"}},
		"unknown subkey":    {file: "data_dir: x\ncatalogue:\n  keys: [nonsense]\n", want: []string{"line 3: unknown key keys"}},
		"wrong type":        {file: "agent_certificate_ttl: soon\n", want: []string{"line 1"}},
		"bad receivers":     {file: "data_dir: x\nreceivers:\n- {name: a, kind: pager}\n- {name: b, kind: webhook, url: \"http://chat.example/x\"}\n", want: []string{"receivers[0] \"a\": kind", "receivers[1] \"b\": url"}},
		"unknown in one":    {file: "data_dir: x\nreceivers:\n- {name: a, kind: file, colour: red}\n", want: []string{"colour"}},
		"not YAML":          {file: "{", want: []string{"line 1"}},
		"unknown variable":  {environ: []string{"BANDFLEET_FLEETD_COLOUR=red"}, args: []string{"--data-dir", "x"}, want: []string{"BANDFLEET_FLEETD_COLOUR"}},
		"file and variable": {file: "colour: red\n", environ: []string{"BANDFLEET_FLEETD_SHAPE=round"}, want: []string{"colour", "BANDFLEET_FLEETD_SHAPE"}},
		"no such file":      {args: []string{"--config", "/no/such/file"}, want: []string{"/no/such/file"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.file != "" {
				c.args = append(c.args, "--config", file(t, c.file))
			}
			_, err := read(t, c.environ, c.args...)
			if err == nil {
				t.Fatal("was taken, want an error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, want it to name %q: all problems are reported together", err, want)
				}
			}
		})
	}
}

func TestReceiversAreRead(t *testing.T) {
	c, err := read(t, nil, "--config", file(t, "data_dir: /x\nreceivers:\n- name: desk-mail\n  kind: email\n  server: mail.example:587\n  from: f@example.com\n  to: [d@example.com, n@example.com]\n- {name: book, kind: file, path: /var/log/notices.jsonl}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Receivers) != 2 || len(c.Receivers[0].To) != 2 || c.Receivers[1].Path != "/var/log/notices.jsonl" {
		t.Errorf("receivers are %+v, want the two of the file", c.Receivers)
	}
}

// TestTheExampleOfThePageIsRead: people copy it. Its public key is cut short there.
func TestTheExampleOfThePageIsRead(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	key, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	c, err := read(t, nil, "--config", file(t, strings.Replace(example, "bandfleet-pack-key-1:…", key.Public().String(), 1)))
	if err != nil {
		t.Fatalf("the file of docs/operations.md is refused: %v", err)
	}
	if keys, err := c.packKeys(); err != nil || len(keys) != 1 || len(c.Receivers) != 1 {
		t.Errorf("the file of docs/operations.md has the keys %v (%v) and the receivers %+v, want one of each", keys, err, c.Receivers)
	}
}

func TestSizesOfArtefacts(t *testing.T) {
	for text, want := range map[string]uint64{"512MiB": 512 << 20, "10GiB": 10 << 30, "2 TiB": 2 << 40} {
		c, err := read(t, nil, "--data-dir", "/tmp/x", "--artifacts-max-total", text)
		if err != nil || c.artifactLimits().MaxTotal != want {
			t.Errorf("%q is %d bytes, %v; want %d", text, c.artifactLimits().MaxTotal, err, want)
		}
	}
	for _, text := range []string{"", "10", "10GB", "GiB", "0GiB", "-1GiB", "1.5GiB", "99999999GiB"} {
		if _, err := read(t, nil, "--data-dir", "/tmp/x", "--artifacts-max-total", text); err == nil || !strings.Contains(err.Error(), "such as 10GiB") {
			t.Errorf("%q: %v, want a refusal that shows a size", text, err)
		}
	}
	if _, err := read(t, nil, "--data-dir", "/tmp/x", "--artifacts-retention", "1s"); err == nil || !strings.Contains(err.Error(), "artifacts-retention") {
		t.Errorf("keeping artefacts for a second: %v, want it refused", err)
	}
}
