package catalogue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// DataVersion is the version of the entries that come with the product. Whoever changes what an entry means raises it.
const DataVersion = "1.0.0"

// shownHash is how many hexadecimal digits of a content's hash a version shows.
const shownHash = 12

// Catalogue is a set of entries. It never changes: With returns another one.
type Catalogue struct {
	entries []*Entry
	byID    map[string]*Entry
	version string
	packs   []*Pack
}

// New makes a catalogue of entries in their order. Two of one id are an error.
func New(version string, entries []*Entry) (*Catalogue, error) {
	c := &Catalogue{entries: entries, byID: make(map[string]*Entry, len(entries)), version: version}
	for _, e := range entries {
		if c.byID[e.ID] != nil {
			return nil, fmt.Errorf("entry %q: is there twice; give one of them another id", e.ID)
		}
		c.byID[e.ID] = e
	}
	return c, nil
}

// Entry is the entry with an id; nil when there is none. It must not be changed.
func (c *Catalogue) Entry(id string) *Entry { return c.byID[id] }

// Entries returns all, in the guide's order and then in that of the packs. They must not be changed.
func (c *Catalogue) Entries() []*Entry { return slices.Clone(c.entries) }

// Version names the content: the same version is the same content.
func (c *Catalogue) Version() string { return c.version }

// Packs returns what was added, in the order of names.
func (c *Catalogue) Packs() []*Pack { return slices.Clone(c.packs) }

// PackOf is the name of the pack that an entry came with; empty when it came with the product or is not there.
func (c *Catalogue) PackOf(id string) string {
	for _, p := range slices.Backward(c.packs) {
		if slices.ContainsFunc(p.Entries, func(e *Entry) bool { return e.ID == id }) {
			return p.Name
		}
	}
	return ""
}

// With adds packs. An entry of a pack may stand for one that is there already only when it says so.
func (c *Catalogue) With(packs ...*Pack) (*Catalogue, error) {
	all := append(c.Packs(), packs...)
	slices.SortStableFunc(packs, comparePacks)
	slices.SortStableFunc(all, comparePacks)
	entries, hash := c.Entries(), sha256.New()
	fmt.Fprintf(hash, "%s\n", c.version)
	for _, p := range packs {
		var err error
		if entries, err = p.merge(entries); err != nil {
			return nil, err
		}
		fmt.Fprintf(hash, "%s %s %s\n", p.Name, p.Version, p.SHA256)
	}
	version := c.version
	if len(packs) > 0 {
		version = DataVersion + "+" + hex.EncodeToString(hash.Sum(nil))[:shownHash]
	}
	made, err := New(version, entries)
	if err != nil {
		return nil, err
	}
	made.packs = all
	return made, nil
}
