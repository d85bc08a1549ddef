// Command guidedocs writes the pages of docs/guide from the catalogue that comes with the product: one for each chapter and a list of all. It
// removes pages of chapters that are no more. `make generate` calls it.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bandfleet/bandfleet/proto/catalogue"
)

func main() {
	folder := flag.String("o", "docs/guide", "`folder` to write to")
	flag.Parse()
	c, err := catalogue.Load()
	if err == nil {
		err = writePages(*folder, pagesOf(c))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guidedocs:", err)
		os.Exit(1)
	}
}

// writePages writes the pages and removes those that it wrote earlier and that are no more. A page of somebody else is left alone, and one
// that stands in the way is an error.
func writePages(folder string, pages map[string]string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	there, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		return err
	}
	for _, name := range there {
		text, err := os.ReadFile(name) // found in the folder
		if err != nil {
			return err
		}
		_, wanted := pages[filepath.Base(name)]
		ours := bytes.HasPrefix(text, []byte(made))
		if wanted && !ours {
			return &fs.PathError{Op: "write", Path: name, Err: errors.New("a page of another origin is there; move it away first")}
		}
		if ours && !wanted {
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
