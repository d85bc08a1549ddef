package private

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NoCoreDumps keeps this process's memory, which holds private keys, out of core files and out of reach of debuggers of
// other processes of the same user. Programs that it starts decide for themselves: exec resets the second setting.
func NoCoreDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("core file limit: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("dumpable flag: %w", err)
	}
	return nil
}
