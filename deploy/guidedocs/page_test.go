package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/proto/catalogue"
)

func load(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryEntryHasItsPlace(t *testing.T) {
	c := load(t)
	pages := pagesOf(c)
	for _, e := range c.Entries() {
		text := pages[fileOf(e.Chapter)]
		_, section, found := strings.Cut(text, "\n## "+e.ID+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found || !strings.Contains(pages[indexName], "["+e.ID+"]("+fileOf(e.Chapter)+"#"+e.ID+")") {
			t.Errorf("entry %s has no section in %s, or is not in the list", e.ID, fileOf(e.Chapter))
		}
		for _, want := range []string{plain(e.Symptom), "**Gone when:** " + plain(e.Verify)} {
			if !strings.Contains(section, want) {
				t.Errorf("the section of %s lacks %q", e.ID, want)
			}
		}
		if e.Person != nil && !strings.Contains(section, plain(e.Person.Steps[0].Do)) {
			t.Errorf("the section of %s lacks what a person does", e.ID)
		}
	}
	if len(pages) != len(chapters(c))+2 {
		t.Errorf("there are %d pages for %d chapters, want one for each, the list and the words: two chapters have the same file", len(pages), len(chapters(c)))
	}
}

func TestThePageOfWordsHasThemAll(t *testing.T) {
	text := words()
	for _, s := range catalogue.Signals() {
		if !strings.Contains(text, "| `"+s.Name+"` |") {
			t.Errorf("the page of words lacks the signal %s", s.Name)
		}
	}
	for _, c := range catalogue.Classes() {
		if !strings.Contains(text, "| `"+c.Name+"` |") {
			t.Errorf("the page of words lacks the kind of files %s", c.Name)
		}
	}
	for name := range catalogue.Placeholders() {
		if !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("the page of words lacks the placeholder %s", name)
		}
	}
}

func TestTextsAreNoMarks(t *testing.T) {
	if got := plain("<b> | *x* `y`\n[z](u)"); got != `&lt;b&gt; \| \*x\* `+"\\`y\\`"+` \[z\](u)` {
		t.Errorf("the text is written as %s; want every mark taken from it", got)
	}
}

func TestOldPagesGoAndForeignOnesStay(t *testing.T) {
	dir := t.TempDir()
	keep := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep("old.md", made+"# Old\n")
	keep("mine.md", "# Mine\n")
	if err := writePages(dir, map[string]string{"new.md": made}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"old.md": false, "mine.md": true, "new.md": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	if err := writePages(dir, map[string]string{"mine.md": made}); err == nil {
		t.Error("a page of another origin was overwritten")
	}
}
