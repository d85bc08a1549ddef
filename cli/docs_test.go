package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// TestThePageOfSites reads every command, file and table of docs/sites.md as fleetctl would: people copy them.
func TestThePageOfSites(t *testing.T) {
	text, err := os.ReadFile("../docs/sites.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "    fleetctl "); ok {
			commands++
			if err := understandFully(shellWords(command)); err != nil {
				t.Errorf("%s: %v", strings.TrimSpace(line), err)
			}
		}
	}
	if commands < 8 {
		t.Errorf("found %d commands: the page has lost its examples, or this test cannot see them", commands)
	}
	file := filepath.Join(t.TempDir(), "settings.yaml")
	keep(t, file, fenced(t, string(text), "yaml"))
	req := &fleetv1.SetSiteRequest{Name: "lyon", Settings: &fleetv1.SiteSettings{}}
	if err := readSiteFile(file, req); err != nil || len(req.GetSettings().GetWindows()) != 1 {
		t.Errorf("the file of settings is read as %v, %v", req, err)
	}
	keep(t, file, fenced(t, string(text), "csv"))
	if table, err := readTable(file, nil); err != nil || len(table.columns) != 4 || len(table.rows) != 2 {
		t.Errorf("the table is read as %v, %v", table, err)
	}
	for _, l := range siteLists() {
		if !strings.Contains(string(text), "`--"+l.flag+"`") || !strings.Contains(string(text), "`--"+l.none+"`") {
			t.Errorf("the page does not say what --%s and --%s do", l.flag, l.none)
		}
	}
}

// TestThePageOfCertificates reads every command of docs/certificates.md as fleetctl would.
func TestThePageOfCertificates(t *testing.T) {
	text, err := os.ReadFile("../docs/certificates.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "    fleetctl "); ok {
			commands++
			if err := understand(shellWords(command)); err != nil {
				t.Errorf("%s: %v", strings.TrimSpace(line), err)
			}
		}
	}
	if commands < 9 {
		t.Errorf("found %d commands: the page has lost its examples, or this test cannot see them", commands)
	}
}

// TestThePageOfTheCatalogue reads every command of docs/catalogue.md as fleetctl would, and its pack.
func TestThePageOfTheCatalogue(t *testing.T) {
	text, err := os.ReadFile("../docs/catalogue.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "    fleetctl "); ok {
			commands++
			if err := understand(shellWords(command)); err != nil {
				t.Errorf("%s: %v", strings.TrimSpace(line), err)
			}
		}
	}
	if commands < 12 {
		t.Errorf("found %d commands: the page has lost its examples, or this test cannot see them", commands)
	}
	pack, err := catalogue.ParsePack([]byte(fenced(t, string(text), "yaml")))
	if err != nil {
		t.Fatal(err)
	}
	base, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := catalogue.LintPack(base, pack, nil); err != nil || len(problems) > 0 {
		t.Errorf("the page's pack has problems: %v, %v; want none", problems, err)
	}
}

// TestThePagesOfFaults reads every command of the pages on faults, policies, guided tasks and notices as fleetctl would.
func TestThePagesOfFaults(t *testing.T) {
	for page, least := range map[string]int{"faults": 14, "policies": 12, "guided-tasks": 12, "notifications": 4} {
		text, err := os.ReadFile("../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		commands := 0
		for line := range strings.Lines(string(text)) {
			command, ok := strings.CutPrefix(line, "    fleetctl ")
			if !ok {
				continue
			}
			commands++
			command, _, _ = strings.Cut(command, "  ")
			if err := understand(shellWords(command)); err != nil {
				t.Errorf("%s: %s: %v", page, strings.TrimSpace(line), err)
			}
		}
		if commands < least {
			t.Errorf("%s: found %d commands, want %d at least: the page has lost its examples, or this test cannot see them", page, commands, least)
		}
	}
}

// understandFully parses a command line, and the settings in it as well.
func understandFully(args []string) error {
	if err := understand(args); err != nil || len(args) < 2 || args[0] != "site" || args[1] != "set" {
		return err
	}
	c := newSiteSet(newApp("test", time.Now))
	if err := c.ParseFlags(args[2:]); err != nil {
		return err
	}
	o := &siteSetOptions{name: "lyon", lists: map[string]*[]string{}}
	for _, l := range siteLists() {
		given, err := c.Flags().GetStringArray(l.flag)
		if err != nil {
			return err
		}
		o.lists[l.flag] = &given
	}
	o.nymiAgent, _ = c.Flags().GetString("nymi-agent")
	_, err := o.request(c)
	return err
}

func shellWords(line string) (words []string) {
	for _, w := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1) {
		words = append(words, strings.Trim(w, `"`))
	}
	return words
}

func fenced(t *testing.T, page, language string) string {
	t.Helper()
	_, rest, _ := strings.Cut(page, "```"+language+"\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatalf("the page has no block of %s", language)
	}
	return block
}

func keep(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
