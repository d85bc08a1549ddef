package private

import (
	"fmt"
	"os"
)

// MakeProgramDir makes a folder, and its parents, for programs: administrators and the system write there, everybody may read and run. One
// that is there already comes to that. Whoever can replace a file in it becomes the agent.
func MakeProgramDir(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // programs are run by others than their owner
		return err
	}
	if err := forPrograms(path); err != nil {
		return fmt.Errorf("folder %q: cannot be kept from changes by other users: %w; choose a folder that administrators own", path, err)
	}
	return nil
}
