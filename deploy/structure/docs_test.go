package structure

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var markdownLink = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// TestDocLinks: every file that a page names is there.
func TestDocLinks(t *testing.T) {
	pages := 0
	err := filepath.WalkDir("../..", func(page string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() != ".." && skipDir(d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(page) != ".md" {
			return nil
		}
		pages++
		return checkLinks(t, page)
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages < 5 {
		t.Fatalf("found %d pages: the walk is broken, or this test moved", pages)
	}
}

func checkLinks(t *testing.T, page string) error {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	for _, link := range markdownLink.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(link[1], "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
			t.Errorf("%s links to %s, which is not there", strings.TrimPrefix(page, "../../"), link[1])
		}
	}
	return nil
}

// namedTest is a test as a page names it, definedTest as the code has it.
var (
	namedTest   = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	definedTest = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
)

// TestDocsNameRealTests: a claim that a test backs falls with the test.
func TestDocsNameRealTests(t *testing.T) {
	defined := make(map[string]bool)
	walkFiles(t, "_test.go", func(_, text string) {
		for _, found := range definedTest.FindAllStringSubmatch(text, -1) {
			defined[found[1]] = true
		}
	})
	named := 0
	walkFiles(t, ".md", func(page, text string) {
		for _, found := range namedTest.FindAllStringSubmatch(text, -1) {
			named++
			if !defined[found[1]] {
				t.Errorf("%s names the test %s, which is not there: what it says is not tested any more", page, found[1])
			}
		}
	})
	if named < 20 {
		t.Fatalf("found %d names of tests: the walk is broken, or docs/testing.md has changed its form", named)
	}
}

// walkFiles hands over every file of the repository whose name has the ending.
func walkFiles(t *testing.T, ending string, look func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() != ".." && skipDir(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ending):
			return nil
		}
		text, err := os.ReadFile(name)
		look(strings.TrimPrefix(name, "../../"), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
