package host

import (
	"context"
	"fmt"
	"strings"
)

// tool runs one program of the operating system with arguments, each passed as it is, without a shell, and returns what it wrote to its
// standard output and its exit code. An exit code other than 0 is no error.
type tool func(ctx context.Context, arguments ...string) (output string, exitCode int, err error)

// toolFailed puts a failure of a tool into one line: its name, its exit code and the first lines that it wrote.
func toolFailed(name, output string, exitCode int) error {
	line := strings.Join(strings.Fields(output), " ")
	const enough = 300
	if len(line) > enough {
		line = strings.ToValidUTF8(line[:enough], "") + "…"
	}
	return fmt.Errorf("%s ended with code %d: %s", name, exitCode, line)
}
