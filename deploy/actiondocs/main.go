// Command actiondocs writes the pages of docs/actions from the manifests of the plugins: one for each action and a list of all. It builds the
// plugins that are named, asks each for its manifest, and removes pages of actions that are no more. `make generate` calls it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bandfleet/bandfleet/agent/plugins"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func main() {
	folder := flag.String("o", "docs/actions", "`folder` to write to")
	flag.Parse()
	if flag.NArg() == 0 {
		fail(fmt.Errorf("no plugins are named; name folders below plugins/, as in PLUGINS of the Makefile"))
	}
	manifests, err := manifestsOf(flag.Args())
	if err != nil {
		fail(err)
	}
	if err := writePages(*folder, pagesOf(manifests)); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "actiondocs:", err)
	os.Exit(1)
}

// manifestsOf builds plugins and asks them, as an agent's lock file is written.
func manifestsOf(names []string) ([]*actionv1.Manifest, error) {
	dir, err := os.MkdirTemp("", "actiondocs")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // of the temporary folder only room is lost
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, name := range names {
		args = append(args, "./plugins/"+name)
	}
	build := exec.Command("go", args...) // the names are the Makefile's
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("plugins %v: %w", names, err)
	}
	if err := plugins.WriteLock(dir, ""); err != nil {
		return nil, err
	}
	pins, err := plugins.ReadLock(dir)
	if err != nil {
		return nil, err
	}
	manifests := make([]*actionv1.Manifest, len(pins))
	for i, p := range pins {
		manifests[i] = p.Manifest
	}
	return manifests, nil
}
