package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host/private"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/service"
)

// Removal is what a removal needs. All paths are absolute.
type Removal struct {
	// Program is the folder with the installed release.
	Program string
	DataDir string
	// Purge also removes the data: the identity, the journal, what waits for the server.
	Purge bool
	// Name is the service's.
	Name     string
	Services Services
	// Prepare puts back what the agent has changed for a time, when it has ended.
	Prepare service.Prepare
	Log     *slog.Logger
}

// Uninstall takes the agent off this machine. What the agent has changed for a time is put back first; when that does not work, nothing is
// removed and the agent runs again. What is not there is no error.
func Uninstall(ctx context.Context, r Removal) error {
	if err := r.check(); err != nil {
		return err
	}
	status, err := r.Services.Query(ctx, r.Name)
	if err != nil {
		return err
	}
	if status.Installed {
		r.Log.Info("removing the service", "service", r.Name)
		if err := r.Services.Uninstall(ctx, r.Name, r.Prepare); err != nil {
			return err
		}
	}
	return r.removeFiles(ctx)
}

// check refuses folders that hold anything but an agent: they are removed as a whole.
func (r Removal) check() error {
	if err := checkOurs(r.Program); err != nil {
		return err
	}
	if !r.Purge {
		return nil
	}
	if _, err := os.Stat(r.DataDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	dir := identity.Dir(r.DataDir)
	enrolled, err := dir.Enrolled()
	if err != nil {
		return err
	}
	begun, err := private.Exists(string(dir.Staging()))
	if err != nil {
		return err
	}
	if !enrolled && !begun {
		return &RefusedError{fmt.Errorf("data directory %q: is none of an agent; name the one that is to be removed with --data-dir", r.DataDir)}
	}
	return nil
}

func (r Removal) removeFiles(ctx context.Context) error {
	if err := r.leaveProgram(ctx); err != nil {
		return err
	}
	folders := []string{r.Program, incoming(r.Program), outgoing(r.Program)}
	if r.Purge {
		folders = append(folders, r.DataDir)
	}
	var errs []error
	for _, folder := range folders {
		r.Log.Info("removing", "folder", folder)
		errs = append(errs, removeAll(folder))
	}
	return errors.Join(errs...)
}

// leaveProgram moves this program out of the folder that is to be removed, if it runs from there: Windows keeps the file of a program that
// runs, and lets it be moved. The file goes when the machine starts again.
func (r Removal) leaveProgram(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil || !strings.EqualFold(filepath.Dir(self), r.Program) {
		return err
	}
	aside, err := os.MkdirTemp(filepath.Dir(r.Program), filepath.Base(r.Program)+".removed-*")
	if err != nil {
		return err
	}
	moved := filepath.Join(aside, filepath.Base(self))
	if err := rename(ctx, self, moved); err != nil {
		return err
	}
	if err := private.RemoveLater(moved, aside); err != nil {
		r.Log.Warn("a folder stays and may be removed by hand", "folder", aside, "cause", err)
	}
	return nil
}
