package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/private"
	"github.com/bandfleet/bandfleet/agent/plugins"
)

// change does what is to be done. The service is stopped as late as possible; whatever fails after that is taken back.
func (r *run) change(ctx context.Context) (string, error) {
	did, err := r.prepare(ctx)
	if err != nil {
		return "", err
	}
	if err := r.stop(ctx); err != nil {
		return "", errors.Join(err, removeAll(incoming(r.Program)))
	}
	if err := r.put(ctx); err != nil {
		return "", r.takeBack(ctx, err)
	}
	if err := r.startNew(ctx); err != nil {
		return "", r.takeBack(ctx, err)
	}
	r.tidy()
	return did, nil
}

// prepare has the release wait beside the one that runs, and proves that this machine lets its program start.
func (r *run) prepare(ctx context.Context) (string, error) {
	if r.found.program {
		return "runs with new settings", nil
	}
	release, err := readRelease(r.From)
	if err != nil {
		return "", err
	}
	if err := stage(release, r.Program); err != nil {
		return "", &RefusedError{fmt.Errorf("program folder %q: the release cannot be copied: %w", r.Program, err)}
	}
	later, err := r.Version(ctx, programFile(incoming(r.Program)))
	if err != nil {
		err = fmt.Errorf("release %q: its program does not start on this machine: %w; is it kept from that by a virus scanner?", r.From, err)
		return "", &RefusedError{errors.Join(err, removeAll(incoming(r.Program)))}
	}
	if earlier, err := r.Version(ctx, programFile(r.Program)); err == nil {
		return fmt.Sprintf("is replaced (%s by %s) and runs", earlier, later), nil
	}
	return fmt.Sprintf("is installed (%s) and runs", later), nil
}

// stop ends the service, which lets a task in flight put back what it stopped.
func (r *run) stop(ctx context.Context) error {
	if !r.found.status.Installed {
		return nil
	}
	r.Log.Info("stopping the agent", "service", r.Service.Name)
	if err := r.Services.Stop(ctx, r.Service.Name); err != nil {
		return &DownError{fmt.Errorf("%w; nothing was replaced: when it has ended, start it or run this again", err)}
	}
	return nil
}

// put puts the release, its pins and the settings in their places, each with its way back.
func (r *run) put(ctx context.Context) error {
	if err := r.putProgram(ctx); err != nil {
		return err
	}
	if err := r.putIdentity(ctx); err != nil {
		return err
	}
	return r.putSettings()
}

func (r *run) putProgram(ctx context.Context) error {
	if r.found.program {
		return nil
	}
	r.Log.Info("putting the release in its place", "folder", r.Program)
	if err := swap(ctx, r.Program); err != nil {
		return fmt.Errorf("program folder %q: %w", r.Program, err)
	}
	r.undo = append(r.undo, func() error { return swapBack(context.WithoutCancel(ctx), r.Program) })
	return nil
}

// putIdentity enrols the machine, or pins the plugins of the release for the identity that it has.
func (r *run) putIdentity(ctx context.Context) error {
	if !r.found.enrolled {
		r.Log.Info("enrolling")
		return r.Enroll(ctx, pluginFolder(r.Program))
	}
	pins, err := plugins.ReadLock(pluginFolder(r.Program))
	if err != nil {
		return err
	}
	for _, file := range []string{r.dir.Pins(), r.dir.Journal()} {
		// A later release may bring the journal into a form that the earlier one cannot read. One that never was up has done nothing
		// else with it; should that be wrong, the server finds an older journal and puts the terminal into quarantine.
		if err := r.remember(file); err != nil {
			return err
		}
	}
	return plugins.SavePins(r.dir.Pins(), pins)
}

func (r *run) putSettings() error {
	if r.found.settings {
		return nil
	}
	text, err := os.ReadFile(r.Settings)
	if err != nil {
		return err
	}
	if err := r.remember(Settings(r.DataDir)); err != nil {
		return err
	}
	return private.WriteFile(Settings(r.DataDir), text)
}

// remember makes the way back of a file that is about to change. The agent that writes to it is stopped.
func (r *run) remember(file string) error {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		r.undo = append(r.undo, func() error { return removeIfThere(file) })
		return nil
	}
	if err != nil {
		return err
	}
	r.undo = append(r.undo, func() error { return private.WriteFile(file, content) })
	return nil
}

func removeIfThere(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// startNew has the service run the program that is in place now.
func (r *run) startNew(ctx context.Context) error {
	if err := r.service(ctx); err != nil {
		return err
	}
	return r.awaitUp(ctx)
}

// service starts the service, or makes it where there is none that runs this program with these arguments.
func (r *run) service(ctx context.Context) error {
	status, name := r.found.status, r.Service.Name
	if status.Installed && r.found.command {
		return r.Services.Start(ctx, name)
	}
	if status.Installed {
		if err := r.Services.Uninstall(ctx, name, unprepared); err != nil {
			return err
		}
		// It starts the service, so it comes when all else is as it was.
		r.undo = slices.Insert(r.undo, 0, func() error { return r.earlierService(context.WithoutCancel(ctx)) })
	}
	return r.Services.Install(ctx, r.Service)
}

// unprepared leaves changes that are to end by themselves: the agent goes on.
func unprepared(context.Context, []string) error { return nil }

// earlierService makes the service again that ran another command.
func (r *run) earlierService(ctx context.Context) error {
	now, err := r.Services.Query(ctx, r.Service.Name)
	if err == nil && now.Installed {
		err = r.Services.Uninstall(ctx, r.Service.Name, unprepared)
	}
	if err != nil {
		return err
	}
	earlier := r.Service
	earlier.Executable, earlier.Args = r.found.status.Command[0], r.found.status.Command[1:]
	return r.Services.Install(ctx, earlier)
}

// backPatience bounds the way back: the release that did not come up may take its time to end.
const backPatience = 5 * time.Minute

// takeBack undoes what was done, and has the earlier release run again if there was one. It goes on when the installation is interrupted.
func (r *run) takeBack(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backPatience)
	defer cancel()
	r.Log.Warn("taking the release back", "cause", cause)
	if !r.found.status.Installed {
		return r.takeBackFirst(cause)
	}
	err := errors.Join(cause, r.stopNew(ctx), r.undone(), r.Services.Start(ctx, r.Service.Name))
	if down := r.awaitUp(ctx); down != nil {
		return &DownError{errors.Join(err, down)}
	}
	return &TakenBackError{err}
}

// stopNew stops the release that did not come up. Its service may be missing by now.
func (r *run) stopNew(ctx context.Context) error {
	status, err := r.Services.Query(ctx, r.Service.Name)
	if err != nil || !status.Installed {
		return err
	}
	return r.Services.Stop(ctx, r.Service.Name)
}

// undone goes all ways back.
func (r *run) undone() error {
	var errs []error
	for _, back := range slices.Backward(r.undo) {
		errs = append(errs, back())
	}
	return errors.Join(errs...)
}

// takeBackFirst leaves a machine that had no agent as it was. One that is enrolled by now keeps what it has: the next run goes on from there.
func (r *run) takeBackFirst(cause error) error {
	if enrolled, err := r.dir.Enrolled(); err != nil || enrolled {
		return &DownError{errors.Join(cause, err)}
	}
	return errors.Join(cause, r.undone())
}

// tidy removes the release that was replaced. What cannot be removed now is removed by the next replacement.
func (r *run) tidy() {
	if err := removeAll(outgoing(r.Program)); err != nil {
		r.Log.Warn("the earlier release stays", "folder", outgoing(r.Program), "cause", err)
	}
}
