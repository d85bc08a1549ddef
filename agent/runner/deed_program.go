package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxNewFiles bounds the files of one run that are kept; a program that writes more is not one of those that this is for.
const maxNewFiles = 32

// programDeed runs a program of the agent's list and keeps the files that it wrote.
type programDeed struct {
	work
	irrevocable
	e *actionv1.ProgramRun
}

func (d programDeed) resource() string       { return fmt.Sprintf("program %q", d.e.GetProgram()) }
func (d programDeed) timeout() time.Duration { return d.e.GetTimeout().AsDuration() }
func (d programDeed) traceless()             {}

func (d programDeed) check(*actionv1.Action) error {
	if err := checkProgram(d.e.GetProgram()); err != nil {
		return err
	}
	if kind := d.e.GetNewFilesKind(); kind != "" && (!kindText.MatchString(kind) || kind == kindOutput) {
		return fmt.Errorf("kind %q: is not one that new files may have", clip(kind, maxName))
	}
	if d.e.GetSubject() == "" {
		return nil
	}
	return checkNamed("subject", d.e.GetSubject())
}

func (d programDeed) read(ctx context.Context) (*actionv1.State, error) {
	s, err := d.r.host.Programs.Look(ctx, d.e.GetProgram())
	if err != nil {
		return nil, err
	}
	return programState(s), nil
}

func programState(s *actionv1.ProgramState) *actionv1.State {
	return &actionv1.State{State: &actionv1.State_Program{Program: s}}
}

// do runs the program. What it has written is kept also when it failed: that is often what tells why.
func (d programDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	switch s := before.GetProgram(); {
	case !s.GetKnown():
		return nil, fmt.Errorf("%s: is not among the programs that this agent may run; add it to the agent's configuration", d.resource())
	case !s.GetExists():
		return nil, fmt.Errorf("%s: there is no file %s; install it", d.resource(), s.GetPath())
	case !s.GetApproved():
		return nil, fmt.Errorf("%s: its hash %s is not approved; compare it with the vendor's, then add it to the agent's configuration", d.resource(), shortHash(s.GetSha256()))
	}
	s, err := d.r.host.Programs.Run(ctx, d.e.GetProgram())
	if err != nil {
		return nil, err
	}
	err = d.keepNew(ctx, s)
	if len(s.GetNewFiles()) > maxNewFiles {
		s.NewFiles = s.NewFiles[:maxNewFiles]
	}
	return programState(s), errors.Join(d.reached(programState(s)), err)
}

// keepNew keeps the new files as artefacts. The time of the run may be over: its files are kept all the same.
func (d programDeed) keepNew(ctx context.Context, s *actionv1.ProgramState) error {
	if d.e.GetNewFilesKind() == "" || d.c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	var errs []error
	for i, f := range s.GetNewFiles() {
		if i == maxNewFiles {
			errs = append(errs, fmt.Errorf("%s: it wrote %d files, only %d are kept", d.resource(), len(s.GetNewFiles()), maxNewFiles))
			break
		}
		if f.GetSize() == 0 {
			continue
		}
		ref, err := d.keepFile(ctx, f.GetPath())
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: new file %q is not kept: %w", d.resource(), clip(f.GetPath(), maxName), err))
			continue
		}
		s.Artifacts = append(s.Artifacts, ref)
	}
	return errors.Join(errs...)
}

func (d programDeed) keepFile(ctx context.Context, path string) (*actionv1.ArtifactReference, error) {
	if d.r.spool(d.key) == nil {
		return nil, errors.New("this agent keeps no files")
	}
	file, err := d.r.host.Programs.Open(ctx, d.e.GetProgram(), path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	return d.r.spool(d.key).Add(ctx, d.key, d.e.GetNewFilesKind(), d.e.GetSubject(), file)
}

func (d programDeed) reached(now *actionv1.State) error {
	switch s := now.GetProgram(); {
	case s.GetTimedOut():
		return fmt.Errorf("%s: did not end within %s and was ended", d.resource(), d.timeout())
	case s.GetExitCode() != 0:
		return fmt.Errorf("%s: ended with exit code %d", d.resource(), s.GetExitCode())
	}
	return nil
}
