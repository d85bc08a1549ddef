package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/agent/configfile"
	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// fileTimeout bounds an effect on a file.
const fileTimeout = time.Minute

// fileAt is a file that effects change. All effects on one file are undone together, whatever their kinds.
type fileAt struct {
	work
	root, path string
}

func (f fileAt) resource() string             { return fmt.Sprintf("file %q", f.root+"/"+f.path) }
func (f fileAt) check(*actionv1.Action) error { return host.CheckPath(f.path) }
func (f fileAt) timeout() time.Duration       { return fileTimeout }
func (f fileAt) inverse() actionv1.Inverse    { return actionv1.Inverse_INVERSE_EXACT }

func (f fileAt) read(ctx context.Context) (*actionv1.State, error) {
	content, exists, err := f.r.content(ctx, f.root, f.path)
	if err != nil {
		return nil, err
	}
	state := &actionv1.FileState{Root: f.root, Path: f.path, Exists: exists}
	if exists {
		state.Size, state.Sha256 = uint64(len(content)), hashOf(content)
	}
	return &actionv1.State{State: &actionv1.State_File{File: state}}, nil
}

// keepAsIs reads the file, which must still be as before, and keeps it.
func (f fileAt) keepAsIs(ctx context.Context, before *actionv1.State) ([]byte, error) {
	content, exists, err := f.r.content(ctx, f.root, f.path)
	switch {
	case err != nil:
		return nil, err
	case *fileOf(before) != fileContent{exists, hashIf(exists, content)}:
		return nil, fmt.Errorf("%s: somebody has changed it just now", f.resource())
	case !exists:
		return nil, nil
	}
	return content, f.r.keep(content)
}

func hashIf(exists bool, content []byte) string {
	if !exists {
		return ""
	}
	return hashOf(content)
}

// restore puts the whole file back while it is as the course left it.
func (f fileAt) restore(ctx context.Context, t touch) *actionv1.Undo {
	return putBackExactly(ctx, t, func(ctx context.Context) error {
		first := fileOf(t.first)
		if !first.exists {
			return f.r.host.Files.Remove(ctx, f.root, f.path)
		}
		content, err := f.r.kept(first.sha256)
		if err != nil {
			return err
		}
		return f.r.host.Files.Write(ctx, f.root, f.path, content)
	})
}

// copyDeed makes a file from another one.
type copyDeed struct {
	fileAt
	copy *actionv1.FileCopy
}

func (w work) copyDeed(e *actionv1.FileCopy) deed {
	return copyDeed{fileAt{w, e.GetRoot(), e.GetTo()}, e}
}

func (d copyDeed) check(a *actionv1.Action) error {
	if err := host.CheckPath(d.copy.GetFrom()); err != nil {
		return err
	}
	if d.copy.GetFromSha256() == "" {
		return errors.New("it does not say which hash the source must have")
	}
	return d.fileAt.check(a)
}

func (d copyDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	old, err := d.keepAsIs(ctx, before)
	if err != nil {
		return nil, err
	}
	content, err := d.wanted(ctx, old)
	if err != nil {
		return nil, err
	}
	return nil, d.r.host.Files.Write(ctx, d.root, d.path, content)
}

// wanted is the content that the file gets, where it had the content old.
func (d copyDeed) wanted(ctx context.Context, old []byte) ([]byte, error) {
	content, exists, err := d.r.content(ctx, d.root, d.copy.GetFrom())
	switch {
	case err != nil:
		return nil, err
	case !exists || hashOf(content) != d.copy.GetFromSha256():
		return nil, fmt.Errorf("file %q: is not what it was when the plan was made", d.root+"/"+d.copy.GetFrom())
	case len(d.copy.GetKeepKeys()) == 0 || len(old) == 0:
		return content, nil
	}
	return configfile.Carry(old, content, d.copy.GetKeepKeys())
}

func (d copyDeed) reached(now *actionv1.State) error {
	want, err := d.wantedHash()
	if err != nil {
		return fmt.Errorf("%s: cannot tell whether it is the copy: %w", d.resource(), err)
	}
	if f := fileOf(now); !f.exists || f.sha256 != want {
		return fmt.Errorf("%s: is not the copy of %q", d.resource(), d.copy.GetFrom())
	}
	return nil
}

// wantedHash is the hash of the copy, where the recorded state before says what keys were kept of.
func (d copyDeed) wantedHash() (string, error) {
	before := fileOf(d.before)
	if len(d.copy.GetKeepKeys()) == 0 || before == nil || !before.exists {
		return d.copy.GetFromSha256(), nil
	}
	old, err := d.r.kept(before.sha256)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	content, err := d.wanted(ctx, old)
	return hashOf(content), err
}

// removeDeed deletes a file.
type removeDeed struct {
	fileAt
	remove *actionv1.FileRemove
}

func (w work) removeDeed(e *actionv1.FileRemove) deed {
	return removeDeed{fileAt{w, e.GetRoot(), e.GetPath()}, e}
}

func (d removeDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	if f := fileOf(before); !f.exists || f.sha256 != d.remove.GetSha256() {
		return nil, fmt.Errorf("%s: is not what it was when the plan was made", d.resource())
	}
	if _, err := d.keepAsIs(ctx, before); err != nil {
		return nil, err
	}
	return nil, d.r.host.Files.Remove(ctx, d.root, d.path)
}

func (d removeDeed) reached(now *actionv1.State) error {
	if fileOf(now).exists {
		return fmt.Errorf("%s: is still there", d.resource())
	}
	return nil
}
