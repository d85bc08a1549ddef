package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/windows"
)

// maxToolOutput bounds what is kept of a tool's output.
const maxToolOutput = 8 << 20

// hideWindow keeps a console program from showing a window to whoever is signed in.
func hideWindow(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_NO_WINDOW}
}

// inSystem is a file of Windows' own system folder, whatever the environment says of it.
func inSystem(elements ...string) (string, error) {
	folder, err := windows.GetSystemDirectory()
	return filepath.Join(append([]string{folder}, elements...)...), err
}

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
