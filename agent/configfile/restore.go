package configfile

import (
	"bytes"
	"errors"
	"fmt"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Restore undoes an edit of original by changes in current, which may have been changed elsewhere since: the changed keys are again
// written as they were in original, to the byte, and all else stays as it is in current. Each key must have its after-value, else the
// error is a *ConflictError. When current is what Edit had made, the answer is identical to original.
func Restore(format actionv1.ConfigFormat, original, current []byte, changes []*actionv1.ConfigChange) ([]byte, error) {
	if edited, err := Edit(format, original, changes); err == nil && bytes.Equal(edited, current) {
		return bytes.Clone(original), nil
	}
	back := Inverse(changes)
	was, err := open(format, original)
	if err != nil {
		return nil, fmt.Errorf("the file as it was: %w", err)
	}
	now, err := open(format, current)
	if err != nil {
		return nil, err
	}
	if err := now.checkChanges(back); err != nil {
		return nil, err
	}
	var splices []splice
	for _, c := range back {
		s, err := now.restored(was, c)
		if err != nil {
			return nil, err
		}
		splices = append(splices, s)
	}
	return now.spliced(splices, back)
}

// Inverse returns the changes that take changes back.
func Inverse(changes []*actionv1.ConfigChange) []*actionv1.ConfigChange {
	back := make([]*actionv1.ConfigChange, len(changes))
	for i, c := range changes {
		back[i] = &actionv1.ConfigChange{Key: c.GetKey(), Before: c.After, After: c.Before}
	}
	return back
}

// restored works out what is replaced so that a key is written as it was.
func (d *document) restored(was *document, c *actionv1.ConfigChange) (splice, error) {
	old, e := was.find(c.GetKey()), d.find(c.GetKey())
	switch {
	case c.After == nil:
		return d.change(c)
	case old == nil || old.value != c.GetAfter():
		return splice{}, fmt.Errorf("key %q: was not %s in the file as it was", clip(c.GetKey()), clip(c.GetAfter()))
	case e == nil:
		return d.lineBack(was, old)
	}
	return splice{span: e.whole, text: string(old.whole.of(was.text))}, nil
}

// lineBack puts the line of a removed TOML key back: behind the line of the key that it stood behind, else where a new key would go.
func (d *document) lineBack(was *document, old *entry) (splice, error) {
	if d.format != actionv1.ConfigFormat_CONFIG_FORMAT_TOML {
		return splice{}, errors.New("a key of this kind of file that is gone cannot be put back; put the file back by hand")
	}
	line := bytes.Trim(was.text[lineStart(was.text, old.span.from):lineEnd(was.text, old.span.to)], "\r\n")
	for i := range was.entries {
		if was.entries[i].key != old.key || i == 0 {
			continue
		}
		if before := d.find(was.entries[i-1].key); before != nil && d.tables[before.table].path == was.tables[old.table].path {
			return d.insert(lineEnd(d.text, before.span.to), string(line)), nil
		}
	}
	return d.insert(d.placeIn(d.tableFor(old.key)), string(line)), nil
}
