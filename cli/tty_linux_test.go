package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// ttyPatience is how long a script waits for what should appear on the terminal.
const ttyPatience = 20 * time.Second

// cmdTTY runs fleetctl on a pseudo-terminal, waits until WAITFOR has appeared, types SEND (both in Go's escapes), and checks the
// exit code; what appeared is then the script's stdout: tty CODE WAITFOR SEND ARGUMENTS...
func cmdTTY(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	send, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	control, terminal, err := openPTY()
	ts.Check(err)
	defer control.Close()
	path, err := exec.LookPath("fleetctl")
	ts.Check(err)
	c := exec.Command(path, args[3:]...)
	c.Dir = ts.MkAbs(".")
	c.Stdin, c.Stdout, c.Stderr = terminal, terminal, terminal
	c.Env = []string{"TERM=xterm"}
	for _, name := range []string{"FLEETCTL_CONFIG", "HOME", "PATH", "NO_COLOR"} {
		if value := ts.Getenv(name); value != "" {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(c.Start())
	terminal.Close()
	ts.Check(control.SetReadDeadline(time.Now().Add(ttyPatience)))
	seen := readTTY(control, args[1], send)
	err = c.Wait()
	_, werr := io.WriteString(ts.Stdout(), <-seen)
	ts.Check(werr)
	checkCode(ts, err, want)
}

// readTTY collects what appears until the terminal closes, and types text once when waitFor has appeared.
func readTTY(control *os.File, waitFor, text string) <-chan string {
	seen := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		buffer := make([]byte, 4096)
		typed := false
		for {
			n, err := control.Read(buffer)
			all.Write(buffer[:n])
			if !typed && strings.Contains(all.String(), waitFor) {
				typed = true
				_, _ = control.WriteString(text)
			}
			// The kernel says EIO when the last process has left the terminal.
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					all.WriteString("\n(nothing more appeared in time)\n")
					_, _ = control.WriteString("\x03\x03")
				}
				seen <- all.String()
				return
			}
		}
	}()
	return seen
}

// openPTY opens a pseudo-terminal of 100 by 30 characters.
func openPTY() (control, terminal *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	control = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		return nil, nil, err
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	return control, terminal, keepOutput(terminal)
}

// keepOutput switches off that an interrupt throws away what was printed and not read yet: it could be the answer to it.
func keepOutput(terminal *os.File) error {
	mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	mode.Lflag |= unix.NOFLSH
	return unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, mode)
}
