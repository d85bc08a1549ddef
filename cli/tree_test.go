package cli

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bandfleet/bandfleet/cli/exit"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func TestEveryCommandIsDocumented(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || c.Long == "" || (c.Runnable() && c.Example == "") {
			t.Errorf("%s lacks a short text, a long text or an example", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short text ends with a full stop, unlike the others", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(newApp("test", time.Now)))
}

// splitCommand splits a command line as far as examples need it.
func splitCommand(line string) []string {
	words := regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s()]+`).FindAllString(line, -1)
	for i, w := range words {
		words[i] = strings.Trim(w, `"'`)
	}
	return words
}

// TestTheCommandsOfTheDocsAreUnderstood reads the commands of the page on rollouts: people copy them, too.
func TestTheCommandsOfTheDocsAreUnderstood(t *testing.T) {
	page, err := os.ReadFile("../docs/rollouts.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(page)) {
		command, ok := strings.CutPrefix(line, "    fleetctl ")
		if !ok {
			continue
		}
		found++
		if err := understand(splitCommand(command)); err != nil {
			t.Errorf("docs/rollouts.md: %q: %v", strings.TrimSpace(line), err)
		}
	}
	if found < 15 {
		t.Errorf("%d commands are found, want more: the test reads the page no longer", found)
	}
}

// TestEveryExampleIsUnderstood reads the examples of all help texts as a shell and cobra would: people copy them.
func TestEveryExampleIsUnderstood(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			_, command, ok := strings.Cut(line, "fleetctl ")
			if !ok {
				continue
			}
			command, _, _ = strings.Cut(command, " > ")
			command, _, _ = strings.Cut(command, " | ")
			if err := understand(splitCommand(command)); err != nil {
				t.Errorf("%s: the example %q: %v", c.CommandPath(), strings.TrimSpace(line), err)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(newApp("test", time.Now)))
}

// understand parses a command line without running it.
func understand(args []string) error {
	c, rest, err := newRoot(newApp("test", time.Now)).Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if err := readable(c); err != nil {
		return err
	}
	if c.HasSubCommands() {
		return needVerb(c, c.Flags().Args())
	}
	return c.ValidateArgs(c.Flags().Args())
}

// readable reads the values of fix's flags, which it keeps as text until it runs.
func readable(c *cobra.Command) error {
	if c.Name() != "fix" {
		return nil
	}
	var problems []string
	value := func(name string) string { return c.Flags().Lookup(name).Value.String() }
	o := &rolloutOptions{canary: value("canary"), waves: value("waves"), maxConcurrent: value("max-concurrent"),
		floor: value("floor"), maxErrors: value("max-errors"), soak: value("soak"), onLimit: value("on-limit")}
	o.rollout(&problems)
	notBefore := parseNotBefore(value("not-before"), testNow, &problems)
	parseExpiry(value("expires"), testNow, notBefore, &problems)
	parseApprovals(value("approvals"), &problems)
	parseAmount("--limit", value("limit"), &problems)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

func TestWordsAreReadBack(t *testing.T) {
	checkWords[fleetv1.TerminalRole](t)
	checkWords[fleetv1.BandStatus](t)
	checkWords[fleetv1.OperatorRole](t)
	checkWords[actionv1.TaskStatus](t)
	checkWords[fleetv1.LimitAction](t)
	checkWords[fleetv1.InUse](t)
	if got := word(fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST); got != "nes-host" {
		t.Errorf("the role of a NES host is written %q, want nes-host, which scripts use", got)
	}
	if got := word(fleetv1.TerminalRole(99)); !strings.Contains(got, "unknown") {
		t.Errorf("a role of a newer server is written %q, want it said that it is unknown", got)
	}
}

func checkWords[E interface {
	~int32
	protoreflect.Enum
}](t *testing.T) {
	t.Helper()
	var zero E
	for _, text := range words(zero) {
		e, err := parseWord[E]("word", strings.ToUpper(text))
		if err != nil || word(e) != text {
			t.Errorf("%q is read as %v, %v", text, e, err)
		}
	}
	if _, err := parseWord[E]("word", "nonsense"); !exit.Is(err, exit.BadInput) {
		t.Errorf("nonsense is read with %v, want bad input", err)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  fleetv1.JobState
		counts *fleetv1.JobCounts
		want   exit.Code
	}{
		{"all verified", fleetv1.JobState_JOB_STATE_DONE, &fleetv1.JobCounts{Total: 2, Succeeded: 1, NoChange: 1}, exit.OK},
		{"one unknown", fleetv1.JobState_JOB_STATE_DONE, &fleetv1.JobCounts{Total: 2, Succeeded: 1, Unknown: 1}, exit.NotSuccessful},
		{"a status of a newer server", fleetv1.JobState_JOB_STATE_DONE, &fleetv1.JobCounts{Total: 2, Succeeded: 1}, exit.NotSuccessful},
		{"no targets", fleetv1.JobState_JOB_STATE_DONE, &fleetv1.JobCounts{}, exit.NotSuccessful},
		{"still active", fleetv1.JobState_JOB_STATE_ACTIVE, &fleetv1.JobCounts{Total: 1, Running: 1}, exit.StillRunning},
		{"failed and still active", fleetv1.JobState_JOB_STATE_ACTIVE, &fleetv1.JobCounts{Total: 2, Running: 1, Failed: 1}, exit.StillRunning},
	} {
		err := verdict(newBoard(&fleetv1.Job{Id: "j", State: c.state, Counts: c.counts}), "interrupted")
		got := exit.OK
		if err != nil {
			got = exit.From(err).Code
		}
		if got != c.want {
			t.Errorf("%s: code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestNearestFindsSlipsOnly(t *testing.T) {
	known := []string{"ble-restart", "nymi-agent-restart", "show", "why"}
	for in, want := range map[string]string{
		"ble-restrat": "ble-restart", "ble": "ble-restart", "shwo": "show", "zzz": "", "nymi-agent-start": "nymi-agent-restart",
	} {
		if got := nearest(in, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
	if got := nearest("x", nil); got != "" {
		t.Errorf("nearest of nothing is %q, want nothing", got)
	}
}
