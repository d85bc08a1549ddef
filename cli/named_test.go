package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// namedCommand is a command as messages and pages name it: "see `fleetctl job show", "    fleetctl job show". The beginning of a text
// in the code is none.
var namedCommand = regexp.MustCompile("(?:[^=][ (\"]`|\n    |\n)fleetctl ((?:[a-z][a-z-]+ ?)+)")

// TestCommandsThatAreNamedExist: a next step that cannot be typed is worse than none.
func TestCommandsThatAreNamedExist(t *testing.T) {
	root := newRoot(newApp("test", time.Now))
	named := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch ext := filepath.Ext(path); {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		case ext != ".go" && ext != ".md" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, found := range namedCommand.FindAllStringSubmatch(string(text), -1) {
			named++
			if !exists(root, strings.Fields(found[1])) {
				t.Errorf("%s names `fleetctl %s`, which is no command", path, strings.TrimSpace(found[1]))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if named < 50 {
		t.Fatalf("found %d commands: the walk is broken", named)
	}
}

// exists tells whether words lead to a command, as far as they lead. What follows a command that holds no others is its
// arguments.
func exists(c *cobra.Command, words []string) bool {
	for _, word := range words {
		if !c.HasSubCommands() {
			return true
		}
		next, _, err := c.Find([]string{word})
		if err != nil || next == c {
			return word == "help" || word == "completion"
		}
		c = next
	}
	return true
}
