package sim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
)

// Modes of a program, as `fleet-agent sim set` writes them.
const (
	toolWorks   = "works"   // writes one new file
	toolHangs   = "hang"    // writes a part of it and does not end, nor does its child
	toolCrashes = "crash"   // ends with ExitCode
	toolNothing = "nothing" // ends well and writes nothing
	toolChanged = "changed" // its file is not the approved one
	toolMissing = "missing" // its file is not there
)

// toolModes are the modes.
func toolModes() []string {
	return []string{toolWorks, toolHangs, toolCrashes, toolNothing, toolChanged, toolMissing}
}

// toolLife bounds a program that hangs and that nobody ends.
const toolLife = time.Hour

// addTool puts a program on the allow-list.
func (t *terminal) addTool(name string) error {
	if err := os.MkdirAll(t.toolFile(name, toolOutput), 0o700); err != nil {
		return err
	}
	return t.setTool(name, toolWorks)
}

// setTool has a program behave so from its next run on.
func (t *terminal) setTool(name, mode string) error {
	approved := []byte("stands for the program " + name + "\n")
	content := approved
	if mode == toolChanged {
		content = []byte("stands for another program\n")
	}
	err := writePrivate(t.toolFile(name, toolProgram), content)
	if mode == toolMissing && err == nil {
		err = os.Remove(t.toolFile(name, toolProgram))
	}
	if err != nil {
		return err
	}
	return writeJSON(t.toolFile(name, toolFile), toolRecord{Mode: mode, Approved: sample.SHA256(approved)})
}

// toolMain is the process of a program. It holds a lock for as long as it lives, beside a record of its process.
func (t *terminal) toolMain(name string) int {
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	lock, err := lockWithin(ctx, t.toolFile(name, toolLock))
	if err != nil {
		return complain(exitAlreadyLives, err)
	}
	defer runtime.KeepAlive(lock)
	record, err := t.tool(name)
	if err != nil {
		return complain(exitUsage, err)
	}
	if err := writeJSON(t.toolFile(name, processFile), processRecord{PID: uint32(os.Getpid()), Since: time.Now()}); err != nil {
		return complain(exitFault, err)
	}
	if name == RuntimeInstaller && record.Mode == toolWorks {
		if err := t.installMissing(ctx); err != nil {
			return complain(exitFault, err)
		}
	}
	code, err := record.work(t.toolFile(name, toolOutput))
	if err != nil {
		return complain(exitFault, err)
	}
	return code
}

// installMissing installs the services that are missing. They do not run yet.
func (t *terminal) installMissing(ctx context.Context) error {
	for _, s := range t.services() {
		behaves, err := s.behaviour()
		if err == nil && behaves.kind == missing {
			err = t.exclusively(ctx, func() error { return s.setBehaviour(behaviour{kind: normal}) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// work does what the mode says, in the program's folder.
func (r toolRecord) work(folder string) (int, error) {
	switch r.Mode {
	case toolCrashes:
		return ExitCode, nil
	case toolNothing:
		return exitStopped, nil
	}
	// As encrypted as the vendor's: nothing can be read in it.
	content := make([]byte, 4096)
	if _, err := rand.Read(content); err != nil {
		return exitFault, err
	}
	if r.Mode == toolHangs {
		content = content[:100]
	}
	name := fmt.Sprintf("band-log-%s.bin", strings.ReplaceAll(time.Now().UTC().Format("20060102T150405.000000"), ".", "-"))
	if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
		return exitFault, err
	}
	if r.Mode == toolHangs {
		return exitStopped, hang(folder)
	}
	return exitStopped, nil
}

// hang has this process and a child of it live until they are ended.
func hang(folder string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "sim", "service", "--dir", folder, "--linger", toolLife.String())
	child.Env = serviceEnvironment()
	if err := child.Start(); err != nil {
		return err
	}
	return child.Wait()
}

// lingerIn is the life of a program's child: so long, or until its folder is gone and nobody can end it any more.
func lingerIn(folder string, d time.Duration) int {
	check := time.NewTicker(folderCheck)
	defer check.Stop()
	for end := time.After(d); ; {
		select {
		case <-end:
			return exitStopped
		case <-check.C:
			if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
				return exitFault
			}
		}
	}
}

// endTool ends the process of a program and its children, if it has one.
func (t *terminal) endTool(ctx context.Context, name string) error {
	owner := func() (uint32, error) {
		alive, err := isHeld(t.toolFile(name, toolLock))
		if err != nil || !alive {
			return 0, err
		}
		var process processRecord
		err = readJSON(t.toolFile(name, processFile), &process)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return process.PID, err
	}
	return host.Poll(ctx, poll, func() (bool, error) {
		alive, err := isHeld(t.toolFile(name, toolLock))
		if err != nil || !alive {
			return !alive, err
		}
		pid, err := owner()
		if err != nil || pid == 0 {
			return false, err // it is about to write its record
		}
		process, err := os.FindProcess(int(pid))
		if err != nil {
			return false, nil //nolint:nilerr // it has ended
		}
		if now, err := owner(); err != nil || now != pid {
			return false, err
		}
		return false, errors.Join(endTree(process), host.EndProcess(pid, owner))
	})
}
