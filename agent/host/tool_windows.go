package host

import (
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// hideWindow keeps a console program from showing a window to whoever is signed in.
func hideWindow(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_NO_WINDOW}
}

// inSystem is a file of Windows' own system folder, whatever the environment says of it.
func inSystem(elements ...string) (string, error) {
	folder, err := windows.GetSystemDirectory()
	return filepath.Join(append([]string{folder}, elements...)...), err
}
