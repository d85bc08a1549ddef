package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// splice replaces a part of a text.
type splice struct {
	span
	text string
}

// Edit returns a file with other values of keys. Each key must have its before-value, else the error is a *ConflictError that names the
// key and both values. A file that is not well formed is a *MalformedError. Content itself is never written to.
func Edit(format actionv1.ConfigFormat, content []byte, changes []*actionv1.ConfigChange) ([]byte, error) {
	d, err := open(format, content)
	if err != nil {
		return nil, err
	}
	if err := d.checkChanges(changes); err != nil {
		return nil, err
	}
	var splices []splice
	for _, c := range changes {
		s, err := d.change(c)
		if err != nil {
			return nil, err
		}
		splices = append(splices, s)
	}
	return d.spliced(splices, changes)
}

// checkChanges holds the before-values against the file.
func (d *document) checkChanges(changes []*actionv1.ConfigChange) error {
	if len(changes) == 0 {
		return errors.New("there is no change")
	}
	seen := map[string]bool{}
	for _, c := range changes {
		if seen[c.GetKey()] {
			return fmt.Errorf("key %q: is changed twice", clip(c.GetKey()))
		}
		seen[c.GetKey()] = true
		var have *string
		if e := d.find(c.GetKey()); e != nil {
			have = &e.value
		}
		if !same(c.Before, have) {
			return &ConflictError{Key: c.GetKey(), Want: c.Before, Have: have}
		}
		if c.Before == nil && c.After == nil {
			return fmt.Errorf("key %q: is not there and is not wanted there", clip(c.GetKey()))
		}
	}
	return nil
}

func same(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// change works out what is replaced for one change.
func (d *document) change(c *actionv1.ConfigChange) (splice, error) {
	e := d.find(c.GetKey())
	isTOML := d.format == actionv1.ConfigFormat_CONFIG_FORMAT_TOML
	switch {
	case e != nil && e.fixed != "":
		return splice{}, fmt.Errorf("key %q: %s", clip(c.GetKey()), e.fixed)
	case !isTOML && (e == nil || c.After == nil):
		return splice{}, fmt.Errorf("key %q: keys of this kind of file are changed, not added or removed", clip(c.GetKey()))
	case !isTOML:
		return d.changeXML(e, c.GetAfter())
	case c.After == nil:
		return d.removal(e), nil
	}
	if err := scalar(c.GetAfter()); err != nil {
		return splice{}, fmt.Errorf("key %q: the new value %s %w", clip(c.GetKey()), clip(c.GetAfter()), err)
	}
	if e == nil {
		return d.addition(c.GetKey(), c.GetAfter())
	}
	return splice{span: e.span, text: c.GetAfter()}, nil
}

// removal takes the line or lines of a TOML key. Where the last line has no line end, the one before it has none afterwards.
func (d *document) removal(e *entry) splice {
	// A key and the beginning of its value are on one line.
	s := span{from: lineStart(d.text, e.span.from), to: lineEnd(d.text, e.span.to)}
	if s.to == len(d.text) && s.from > 0 && !bytes.HasSuffix(d.text, []byte("\n")) {
		s.from -= len(lineEndBefore(d.text, s.from))
	}
	return splice{span: s}
}

// addition puts a line for a new key behind the last key of its table; without one, at the beginning of its table, which is the end of
// the part before the first header.
func (d *document) addition(key, value string) (splice, error) {
	written, err := writtenKey(key)
	if err != nil {
		return splice{}, err
	}
	t := d.tableFor(written)
	if path := d.tables[t].path; path != "" {
		written = written[len(path)+1:]
	}
	return d.insert(d.placeIn(t), written+" = "+value), nil
}

// tableFor returns the table with the longest path that a key is below.
func (d *document) tableFor(key string) int {
	best := 0
	for i, t := range d.tables {
		if len(t.path) > len(d.tables[best].path) && !t.array && len(key) > len(t.path) && key[:len(t.path)+1] == t.path+"." {
			best = i
		}
	}
	return best
}

// placeIn returns where a line is added to a table: the beginning of a line or the end of the text.
func (d *document) placeIn(t int) int {
	for _, e := range slices.Backward(d.entries) {
		if e.table == t {
			return lineEnd(d.text, e.span.to)
		}
	}
	switch {
	case t > 0:
		return d.tables[t].header.to
	case len(d.tables) > 1:
		return d.tables[1].header.from
	}
	return len(d.text)
}

// insert adds a line at the beginning of a line or at the end of the text, with the line end that the lines around it have.
func (d *document) insert(at int, line string) splice {
	end := d.lineEndAt(at)
	if at == len(d.text) && at > 0 && d.text[at-1] != '\n' {
		return splice{span: span{at, at}, text: end + line}
	}
	return splice{span: span{at, at}, text: line + end}
}

// lineEndAt returns the line end in use at a place.
func (d *document) lineEndAt(at int) string {
	if end := lineEndBefore(d.text, at); end != "" {
		return end
	}
	for _, from := range []int{at, 0} {
		if end := lineEndBefore(d.text, lineEnd(d.text, from)); end != "" {
			return end
		}
	}
	return "\n"
}

// lineEndBefore returns the line end that ends at a place; empty when none does.
func lineEndBefore(text []byte, at int) string {
	switch {
	case bytes.HasSuffix(text[:at], []byte("\r\n")):
		return "\r\n"
	case bytes.HasSuffix(text[:at], []byte("\n")):
		return "\n"
	}
	return ""
}

// spliced carries the splices out and then reads what came of it: a file of which anything but the wanted values has changed is never
// given back.
func (d *document) spliced(splices []splice, changes []*actionv1.ConfigChange) ([]byte, error) {
	text := apply(d.text, splices)
	content := d.enc.encode(text)
	after, err := open(d.format, content)
	if err != nil {
		return nil, fmt.Errorf("the edited file would not be well formed: %w", err)
	}
	if err := d.compare(after, changes); err != nil {
		return nil, err
	}
	return content, nil
}

// apply carries out splices that do not overlap; of those at one place the earlier one comes first.
func apply(text []byte, splices []splice) []byte {
	slices.SortStableFunc(splices, func(a, b splice) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, s := range splices {
		from := max(at, s.from)
		out = append(append(out, text[at:from]...), s.text...)
		at = max(from, s.to)
	}
	return append(out, text[at:]...)
}

// compare says what else than the wanted values is different.
func (d *document) compare(after *document, changes []*actionv1.ConfigChange) error {
	want := map[string]string{}
	for _, e := range d.entries {
		want[e.key] = e.value
	}
	for _, c := range changes {
		delete(want, c.GetKey())
		if c.After != nil {
			want[c.GetKey()] = c.GetAfter()
		}
	}
	for _, e := range after.entries {
		if value, ok := want[e.key]; !ok || value != e.value {
			return fmt.Errorf("key %q: would not be as wanted after the edit; edit the file by hand", clip(e.key))
		}
		delete(want, e.key)
	}
	for key := range want {
		return fmt.Errorf("key %q: would be lost by the edit; edit the file by hand", clip(key))
	}
	return nil
}
