package runner

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bandfleet/bandfleet/agent/configfile"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxChanges bounds the keys that one effect changes. Their values are bounded by maxValue, so that a result always fits into one message.
const maxChanges = 32

// configDeed changes values in a configuration file and no other byte of it.
type configDeed struct {
	fileAt
	edit *actionv1.ConfigEdit
}

func (w work) configDeed(e *actionv1.ConfigEdit) deed {
	return configDeed{fileAt{w, e.GetRoot(), e.GetPath()}, e}
}

func (d configDeed) check(a *actionv1.Action) error {
	changes := d.edit.GetChanges()
	if len(changes) == 0 || len(changes) > maxChanges {
		return fmt.Errorf("it changes %d keys, want 1 to %d", len(changes), maxChanges)
	}
	for i, c := range changes {
		if c.GetKey() == "" || slices.ContainsFunc(changes[:i], func(o *actionv1.ConfigChange) bool { return o.GetKey() == c.GetKey() }) {
			return fmt.Errorf("change %d has no key of its own", i+1)
		}
		if longest := max(len(c.GetKey()), len(c.GetBefore()), len(c.GetAfter())); longest > maxValue {
			return fmt.Errorf("change %d has %d bytes in its key or a value, at most %d are allowed", i+1, longest, maxValue)
		}
	}
	if d.edit.GetFormat() == actionv1.ConfigFormat_CONFIG_FORMAT_UNSPECIFIED {
		return errors.New("it does not say what kind of file it edits")
	}
	return d.fileAt.check(a)
}

// read returns the values of the edited keys, and the hash of the whole.
func (d configDeed) read(ctx context.Context) (*actionv1.State, error) {
	content, exists, err := d.r.content(ctx, d.root, d.path)
	if err != nil {
		return nil, err
	}
	state := &actionv1.ConfigState{Root: d.root, Path: d.path, Exists: exists, Sha256: hashIf(exists, content)}
	if exists {
		file, err := configfile.Parse(d.edit.GetFormat(), content)
		if err != nil {
			state.Malformed = clip(err.Error(), maxText)
		} else {
			state.Values, state.Malformed = d.edited(file)
		}
	}
	return &actionv1.State{State: &actionv1.State_Config{Config: state}}, nil
}

// edited returns the values of the edited keys, or why they cannot be told.
func (d configDeed) edited(file *configfile.File) (values []*actionv1.ConfigValue, problem string) {
	for _, v := range file.Values {
		if !slices.ContainsFunc(d.edit.GetChanges(), func(c *actionv1.ConfigChange) bool { return c.GetKey() == v.GetKey() }) {
			continue
		}
		if len(v.GetValue()) > maxValue {
			return nil, fmt.Sprintf("line %d: the value has %d bytes, at most %d can be dealt with", v.GetLine(), len(v.GetValue()), maxValue)
		}
		values = append(values, v)
	}
	return values, ""
}

func (d configDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	switch c := before.GetConfig(); {
	case !c.GetExists():
		return nil, fmt.Errorf("%s: does not exist", d.resource())
	case c.GetMalformed() != "":
		return nil, fmt.Errorf("%s: %s; it was left as it is", d.resource(), c.GetMalformed())
	}
	old, err := d.keepAsIs(ctx, before)
	if err != nil {
		return nil, err
	}
	edited, err := configfile.Edit(d.edit.GetFormat(), old, d.edit.GetChanges())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.resource(), err)
	}
	return nil, d.r.host.Files.Write(ctx, d.root, d.path, edited)
}

func (d configDeed) reached(now *actionv1.State) error {
	c := now.GetConfig()
	if !c.GetExists() || c.GetMalformed() != "" {
		return fmt.Errorf("%s: is missing or cannot be read: %s", d.resource(), c.GetMalformed())
	}
	return differing(d.resource(), c.GetValues(), d.edit.GetChanges())
}

// differing names the first key that has not its after-value.
func differing(resource string, values []*actionv1.ConfigValue, changes []*actionv1.ConfigChange) error {
	for _, c := range changes {
		i := slices.IndexFunc(values, func(v *actionv1.ConfigValue) bool { return v.GetKey() == c.GetKey() })
		if (i >= 0) != (c.After != nil) || (i >= 0 && values[i].GetValue() != c.GetAfter()) {
			return fmt.Errorf("%s: key %q has another value", resource, clip(c.GetKey(), maxName))
		}
	}
	return nil
}

// restore puts the file back, to the byte when nobody has changed it meanwhile. Of one that somebody has changed elsewhere the edited keys
// are put back, as long as they have the course's values.
func (d configDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	if slices.ContainsFunc(t.records, func(e *actionv1.RecordedEffect) bool { return e.GetEffect().GetConfigEdit() == nil }) {
		return d.fileAt.restore(ctx, t)
	}
	now, err := look(ctx, d)
	u := &actionv1.Undo{State: now, Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION}
	if err != nil {
		u.Reason = fmt.Sprintf("it cannot be read: %v", err)
		return u
	}
	current, exists, err := d.r.content(ctx, d.root, d.path)
	switch {
	case err != nil:
		u.Reason = fmt.Sprintf("it cannot be read: %v", err)
		return u
	case !exists:
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has removed it meanwhile"
		return u
	}
	return d.restoreKeys(ctx, u, t, current)
}

func (d configDeed) restoreKeys(ctx context.Context, u *actionv1.Undo, t touch, current []byte) *actionv1.Undo {
	back, changed, err := d.takenBack(current, t.records)
	switch {
	case err != nil && isForeign(err):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has changed it meanwhile: "+err.Error()
		return u
	case err != nil:
		u.Reason = err.Error()
		return u
	case !bytes.Equal(back, current):
		d.write(ctx, u, back)
	default:
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, "it is as before"
	}
	if isBack(u) && changed != nil {
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has changed a part of it meanwhile, the rest is as before: "+changed.Error()
	}
	return u
}

// isForeign says whether a file cannot be put back because it is no longer what the course had made of it.
func isForeign(err error) bool {
	var conflict *configfile.ConflictError
	var malformed *configfile.MalformedError
	return errors.As(err, &conflict) || errors.As(err, &malformed)
}

// takenBack works out the file without the edits, the last one taken back first. Keys that somebody has changed meanwhile stay as they are,
// and foreign names one of them; err says that nothing can be taken back.
func (d configDeed) takenBack(content []byte, records []*actionv1.RecordedEffect) (back []byte, foreign, err error) {
	back = content
	for _, record := range slices.Backward(records) {
		var conflict error
		if back, conflict, err = d.takeBack(back, record); err != nil {
			return nil, nil, err
		}
		foreign = cmp.Or(foreign, conflict)
	}
	return back, foreign, nil
}

// takeBack takes one edit back, whole if that is possible, else key by key. One that did not come about has nothing to take back.
func (d configDeed) takeBack(content []byte, record *actionv1.RecordedEffect) (back []byte, foreign, err error) {
	changes := record.GetEffect().GetConfigEdit().GetChanges()
	old, err := d.r.kept(record.GetBefore().GetConfig().GetSha256())
	if err != nil {
		// It is put away before the file is changed: without it nothing was, unless it was lost.
		return content, nil, d.unlessAsBefore(content, changes, err)
	}
	if back, err := configfile.Restore(d.edit.GetFormat(), old, content, changes); err == nil {
		return back, nil, nil
	}
	for _, c := range slices.Backward(changes) {
		one := []*actionv1.ConfigChange{c}
		if d.unlessAsBefore(content, one, errUnlike) == nil {
			continue
		}
		next, err := configfile.Restore(d.edit.GetFormat(), old, content, one)
		var conflict *configfile.ConflictError
		switch {
		case errors.As(err, &conflict):
			foreign = err
		case err != nil:
			return nil, nil, err
		default:
			content = next
		}
	}
	return content, foreign, nil
}

var errUnlike = errors.New("it is not as before")

// unlessAsBefore returns nil when all keys of changes are as they were before them, else err, or why the file cannot be read.
func (d configDeed) unlessAsBefore(content []byte, changes []*actionv1.ConfigChange, err error) error {
	file, parseErr := configfile.Parse(d.edit.GetFormat(), content)
	switch {
	case parseErr != nil:
		return parseErr
	case differing("", file.Values, configfile.Inverse(changes)) == nil:
		return nil
	}
	return err
}

// write writes the file that was worked out and reads it again.
func (d configDeed) write(ctx context.Context, u *actionv1.Undo, content []byte) {
	limited, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	err := d.r.host.Files.Write(limited, d.root, d.path, content)
	now, readErr := look(ctx, d)
	u.State = now
	switch {
	case readErr != nil:
		u.Reason = fmt.Sprintf("it was put back, and cannot be read: %v", readErr)
	case fileOf(now).sha256 == hashOf(content):
		u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
	case err != nil:
		u.Reason = err.Error()
	default:
		u.Reason = "it is not as before right after it was put back"
	}
}
