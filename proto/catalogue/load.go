package catalogue

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

//go:embed entries
var embedded embed.FS

// chapter is one file of entries.
type chapter struct {
	Entries []*Entry `yaml:"entries"`
}

// Load reads the entries that come with the product.
func Load() (*Catalogue, error) { return Read(embedded, "entries") }

// Read reads all *.yaml files of a folder, in the order of their names.
func Read(fsys fs.FS, folder string) (*Catalogue, error) {
	names, err := fs.Glob(fsys, path.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var entries []*Entry
	hash := sha256.New()
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		of, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		entries = append(entries, of...)
		fmt.Fprintf(hash, "%s %d\n%s\n", path.Base(name), len(text), text)
	}
	return New(DataVersion+"+"+hex.EncodeToString(hash.Sum(nil))[:shownHash], entries)
}

// Parse reads one file of entries, as they are in entries/*.yaml.
func Parse(text []byte) ([]*Entry, error) {
	if len(text) > MaxPack {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed; split it", len(text), MaxPack)
	}
	c := &chapter{}
	if err := decode(text, c); err != nil {
		return nil, err
	}
	if slices.Contains(c.Entries, nil) {
		return nil, fmt.Errorf("has an empty entry")
	}
	return c.Entries, nil
}
