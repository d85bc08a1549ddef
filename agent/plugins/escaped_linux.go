package plugins

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How often processes that escaped are looked for, and the pause for those that were found to be gone.
const (
	sweepRounds = 10
	sweepPause  = 5 * time.Millisecond
)

// endEscaped ends processes that left a plugin's process group, for a session of their own say, but still have the variable
// that it was started with. A process that gave itself another environment as well is not found; when the agent is a
// systemd unit, it ends with the unit.
func endEscaped(variable string) {
	for range sweepRounds {
		if !endMarked([]byte(variable)) {
			return
		}
		time.Sleep(sweepPause)
	}
}

// endMarked ends every process with a variable and says whether there was one.
func endMarked(variable []byte) (found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && endIfMarked(pid, variable) {
			found = true
		}
	}
	return found
}

// endIfMarked ends one process if it has the variable. The descriptor makes sure that it is the process that was looked at.
func endIfMarked(pid int, variable []byte) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	for one := range bytes.SplitSeq(environment, []byte{0}) {
		if bytes.Equal(one, variable) {
			return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
		}
	}
	return false
}
