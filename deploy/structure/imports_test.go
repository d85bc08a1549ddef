package structure

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// rule forbids imports. Paths are folders of this module or import paths; a path covers what is below it.
type rule struct {
	// Who must not import; empty means everybody.
	from []string
	// Who may all the same.
	except []string
	// What must not be imported.
	deny []string
	why  string
}

// The direction of imports. Code of deploy/ (demo, test hosts, benchmarks) may import everything and is imported by nobody.
var rules = []rule{
	{
		from: []string{"proto"}, deny: []string{"server", "agent", "plugins", "cli", "deploy"},
		why: "proto is what the programs agree on; it knows none of them",
	},
	{
		from: []string{"server"}, deny: []string{"agent", "plugins", "cli", "deploy"},
		why: "server and agent share contracts only, so that a fleet can run agents a release behind",
	},
	{
		from: []string{"agent"}, deny: []string{"server", "plugins", "cli", "deploy"},
		except: []string{"agent/runner/runnertest"},
		why:    "agent and server share contracts only, and plugins are programs that the agent starts, never links",
	},
	{
		from: []string{"agent/runner/runnertest"}, deny: []string{"server", "cli", "deploy"},
		why: "the tests of plugins drive actions through it, and it needs the SDK to run them in one process",
	},
	{
		from: []string{"cli"}, deny: []string{"server", "agent", "plugins", "deploy"},
		why: "whatever fleetctl can do, any client of the API can do",
	},
	{
		from: []string{"plugins"}, deny: []string{"server", "agent", "cli", "deploy"},
		except: []string{"plugins/sdk/sdktest"},
		why:    "a plugin may ask only over its contract, and may be written by somebody who has only the SDK",
	},
	{
		from: []string{"plugins/sdk/sdktest"}, deny: []string{"server", "cli", "deploy"},
		why: "the conformance suite drives actions through the real runner on a host in memory, and needs nothing else",
	},
	{
		from: []string{"server/store", "server/jobs", "server/artifacts", "server/inventory", "server/calendar", "server/pki", "server/access", "server/audit", "server/upkeep", "server/refusal", "server/rollout", "server/paging", "server/guided", "server/bands"},
		deny: []string{"google.golang.org/grpc", "server/api", "server/sessions"},
		why:  "domain code does not know how requests reach it",
	},
	{
		deny: []string{"go.etcd.io/bbolt"}, except: []string{"proto/boltfile", "server/store", "agent/journal", "deploy"},
		why: "the server has one store and the agent one journal; nobody else owns durable state",
	},
	{
		deny: []string{"github.com/hashicorp/go-plugin"}, except: []string{"plugins/sdk", "agent/plugins", "deploy"},
		why: "how a plugin is started and spoken to is known at the two ends of that pipe alone",
	},
	{
		deny: []string{"github.com/spf13/viper"}, except: []string{"server/cmd", "agent/cmd", "cli/cmd"},
		why: "files and environment are read in cmd; everything else takes a struct",
	},
	{
		deny:   []string{"google.golang.org/grpc/status", "google.golang.org/grpc/codes"},
		except: []string{"proto", "server/api", "server/sessions", "agent/link", "agent/plugins", "plugins/sdk", "cli/client", "deploy"},
		why:    "gRPC status codes exist only where requests enter and leave; elsewhere errors are Go errors",
	},
	{
		deny: []string{
			"golang.org/x/sys/windows", "golang.org/x/sys/windows/registry", "golang.org/x/sys/windows/svc",
			"github.com/godbus/dbus", "github.com/coreos/go-systemd/v22/dbus",
		},
		except: []string{"agent/host", "agent/service", "agent/plugins", "agent/identity", "deploy"},
		why:    "what is specific to an operating system lives in agent/host; besides it only service installation, process groups and the protection of key files need the system",
	},
}

// TestImportsPointOneWay covers code that ships; tests may reach across.
func TestImportsPointOneWay(t *testing.T) {
	for _, f := range readSources(t) {
		if f.isTest() {
			continue
		}
		for _, imported := range f.imports() {
			for _, r := range rules {
				if r.forbids(f.dir(), imported) {
					t.Errorf("%s imports %s: %s", f.path, imported, r.why)
				}
			}
		}
	}
}

func (r rule) forbids(dir, imported string) bool {
	if len(r.from) > 0 && !slices.ContainsFunc(r.from, covers(dir)) {
		return false
	}
	return !slices.ContainsFunc(r.except, covers(dir)) && slices.ContainsFunc(r.deny, covers(imported))
}

// covers returns a predicate: is p the parent's folder or below it?
func covers(p string) func(parent string) bool {
	return func(parent string) bool { return p == parent || strings.HasPrefix(p, parent+"/") }
}

// TestRulesForbidWhatTheySay keeps the rules above from going blind when folders are renamed.
func TestRulesForbidWhatTheySay(t *testing.T) {
	cases := []struct {
		dir, imported string
		forbidden     bool
	}{
		{"server/jobs", "agent/runner", true},
		{"agent/runner", "server/store", true},
		{"plugins/endpoint", "agent/host", true},
		{"plugins/sdk/sdktest", "agent/runner", false},
		{"server/jobs", "google.golang.org/grpc/status", true},
		{"server/api", "google.golang.org/grpc/status", false},
		{"cli/output", "google.golang.org/grpc/codes", true},
		{"server/inventory", "go.etcd.io/bbolt", true},
		{"server/store/bolt", "go.etcd.io/bbolt", false},
		{"server", "github.com/spf13/viper", true},
		{"server/cmd/fleetd", "github.com/spf13/viper", false},
		{"proto/identity", "agent/host", true},
		{"agent/link", "golang.org/x/sys/windows", true},
		{"deploy/bench", "server", false},
		{"serverless", "agent/runner", false},
	}
	for _, c := range cases {
		got := slices.ContainsFunc(rules, func(r rule) bool { return r.forbids(c.dir, c.imported) })
		if got != c.forbidden {
			t.Errorf("%s importing %s: forbidden = %v, want %v", c.dir, c.imported, got, c.forbidden)
		}
	}
}

func topLevelFuncs(f sourceFile) []string {
	var names []string
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}
