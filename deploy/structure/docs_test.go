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
