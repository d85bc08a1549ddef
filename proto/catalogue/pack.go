package catalogue

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxPack is the largest text of a pack, in bytes.
const MaxPack = 1 << 20

// Pack is entries that an operator adds to those of the product.
type Pack struct {
	// Name is lower case letters, digits and dashes.
	Name string `yaml:"name"`
	// Version is a semantic version of three numbers ("1.4.0").
	Version string `yaml:"version"`
	// Product says for which versions of the Connected Worker Platform it was written, for people.
	Product Range    `yaml:"product"`
	Entries []*Entry `yaml:"entries"`

	// SHA256 is of the text, in lower case hexadecimal.
	SHA256 string `yaml:"-"`
}

// Range is versions from one to another; an empty end is open.
type Range struct {
	From string `yaml:"from,omitempty"`
	To   string `yaml:"to,omitempty"`
}

// String is the range for people.
func (r Range) String() string {
	switch {
	case r.From == "" && r.To == "":
		return "any"
	case r.To == "":
		return r.From + " and later"
	case r.From == "":
		return "up to " + r.To
	default:
		return r.From + " to " + r.To
	}
}

// ParsePack reads a pack and checks its head. What is in its entries is for Lint to judge.
func ParsePack(text []byte) (*Pack, error) {
	if len(text) > MaxPack {
		return nil, fmt.Errorf("pack: has %d bytes, at most %d are allowed; split it", len(text), MaxPack)
	}
	p := &Pack{}
	if err := decode(text, p); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	sum := sha256.Sum256(text)
	p.SHA256 = hex.EncodeToString(sum[:])
	return p, p.check()
}

func (p *Pack) check() error {
	if !idPattern.MatchString(p.Name) {
		return fmt.Errorf("pack: name is %q, want lower case letters, digits and dashes, at most 64", p.Name)
	}
	if !versionPattern.MatchString(p.Version) {
		return fmt.Errorf("pack %q: version is %q, want three numbers such as 1.4.0", p.Name, p.Version)
	}
	for _, end := range []string{p.Product.From, p.Product.To} {
		if end != "" && !productPattern.MatchString(end) {
			return fmt.Errorf("pack %q: product has %q, want numbers such as 1.1", p.Name, end)
		}
	}
	if len(p.Entries) == 0 {
		return fmt.Errorf("pack %q: has no entries", p.Name)
	}
	if slices.Contains(p.Entries, nil) {
		return fmt.Errorf("pack %q: has an empty entry", p.Name)
	}
	return nil
}

var (
	idPattern      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})$`)
	productPattern = regexp.MustCompile(`^\d{1,9}(\.\d{1,9}){0,3}$`)
)

// CompareVersions orders two versions of packs; a version that cannot be read is before all others.
func CompareVersions(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }

func numbers(version string) []int {
	if !versionPattern.MatchString(version) {
		return nil
	}
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part) // the pattern has digits only, and few
		out = append(out, n)
	}
	return out
}

func comparePacks(a, b *Pack) int { return cmp.Compare(a.Name, b.Name) }

// merge puts the pack's entries among others.
func (p *Pack) merge(entries []*Entry) ([]*Entry, error) {
	for _, e := range p.Entries {
		at := slices.IndexFunc(entries, func(o *Entry) bool { return o.ID == e.ID })
		switch {
		case at < 0 && e.Replaces == "":
			entries = append(entries, e)
		case at < 0:
			return nil, fmt.Errorf("pack %q: entry %q: replaces %q, which is not there", p.Name, e.ID, e.Replaces)
		case slices.Contains(p.Entries, entries[at]):
			return nil, fmt.Errorf("pack %q: entry %q: is there twice; give one of them another id", p.Name, e.ID)
		case e.Replaces != e.ID:
			return nil, fmt.Errorf("pack %q: entry %q: is there already; write `replaces: %s` in it if it is to stand for that one", p.Name, e.ID, e.ID)
		default:
			entries[at] = e
		}
	}
	return entries, nil
}
