package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// environmentPrefix begins the agent's own variables, which no program needs to see.
const environmentPrefix = "BANDFLEET_"

// runTree starts an open program, without a shell and a window, and waits for its end or ctx's. Either way everything that it has started
// ends too. The file stays open until it has started.
func runTree(ctx context.Context, file *os.File, program Program) (exitCode int64, timedOut bool, err error) {
	// On Linux a child is ended when the thread that started it ends, so that thread stays until the child has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := programCommand(file, program.Arguments)
	cmd.Dir = program.folder()
	cmd.Env = append(programEnvironment(os.Environ()), cmd.Env...)
	tree, err := startTree(cmd)
	if err != nil {
		return 0, false, fmt.Errorf("cannot be started: %w", err)
	}
	stop := context.AfterFunc(ctx, tree.end)
	err = tree.wait()
	timedOut = !stop()
	tree.end()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return 0, timedOut, err
	}
	return exitStatus(cmd.ProcessState), timedOut, nil
}

func programEnvironment(own []string) []string {
	var kept []string
	for _, entry := range own {
		if !strings.HasPrefix(strings.ToUpper(entry), environmentPrefix) {
			kept = append(kept, entry)
		}
	}
	return kept
}
