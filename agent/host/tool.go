package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// maxToolOutput bounds what is kept of a tool's output.
const maxToolOutput = 8 << 20

// tool runs one program of the operating system with arguments, each passed as it is, without a shell, and returns what it wrote to its
// standard output and its exit code. An exit code other than 0 is no error.
type tool func(ctx context.Context, arguments ...string) (output string, exitCode int, err error)

// systemTool is the program with this full path.
func systemTool(path string) tool {
	return func(ctx context.Context, arguments ...string) (string, int, error) {
		name := filepath.Base(path)
		var output cappedBuffer
		cmd := exec.CommandContext(ctx, path, arguments...)
		cmd.Stdout = &output
		// What it leaves running must not keep its output open.
		cmd.WaitDelay = 5 * time.Second
		hideWindow(cmd)
		err := cmd.Run()
		if ctx.Err() != nil {
			return "", 0, fmt.Errorf("%s: %w", name, WaitError(ctx))
		}
		if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
			return "", 0, fmt.Errorf("%s: %w", name, err)
		}
		return text(output.Bytes()), cmd.ProcessState.ExitCode(), nil
	}
}

// text reads a tool's output as UTF-8. Characters of another code page become question marks: a name that has them cannot be acted on.
func text(output []byte) string {
	output = bytes.TrimPrefix(output, []byte("\xef\xbb\xbf"))
	if utf8.Valid(output) {
		return string(output)
	}
	return strings.ToValidUTF8(string(output), "?")
}

// cappedBuffer keeps the first maxToolOutput bytes.
type cappedBuffer struct{ bytes.Buffer }

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if room := maxToolOutput - b.Len(); room > 0 {
		_, _ = b.Buffer.Write(p[:min(len(p), room)]) // never fails
	}
	return len(p), nil
}

// toolFailed puts a failure of a tool into one line: its name, its exit code and the first lines that it wrote.
func toolFailed(name, output string, exitCode int) error {
	line := strings.Join(strings.Fields(output), " ")
	const enough = 300
	if len(line) > enough {
		line = strings.ToValidUTF8(line[:enough], "") + "…"
	}
	return fmt.Errorf("%s ended with code %d: %s", name, exitCode, line)
}
