package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// made marks a page that this program wrote and may replace or remove.
const made = "<!-- Made by `make generate` from the plugin's manifest. Do not edit: change the manifest. -->\n"

// indexName is the page that lists all actions.
const indexName = "README.md"

// offered is an action with the plugin that offers it.
type offered struct {
	plugin string
	action *actionv1.Action
}

// pagesOf returns the text of each page by its file name.
func pagesOf(manifests []*actionv1.Manifest) map[string]string {
	var all []offered
	for _, m := range manifests {
		for _, a := range m.GetActions() {
			all = append(all, offered{m.GetName(), a})
		}
	}
	slices.SortFunc(all, func(a, b offered) int { return strings.Compare(a.action.GetName(), b.action.GetName()) })
	pages := map[string]string{indexName: index(all)}
	for _, o := range all {
		pages[o.action.GetName()+".md"] = page(o)
	}
	return pages
}

// writePages writes the pages and removes those that it wrote earlier and that are no more. A page of somebody else is left alone, and one
// that stands in the way is an error.
func writePages(folder string, pages map[string]string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name) // found in the folder
		if err != nil {
			return err
		}
		_, wanted := pages[filepath.Base(name)]
		switch ours := bytes.HasPrefix(text, []byte(made)); {
		case wanted && !ours:
			return &fs.PathError{Op: "write", Path: name, Err: errors.New("a page of another origin is there; move it away first")}
		case ours && !wanted:
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil { // a page is for all to read
			return err
		}
	}
	return nil
}
