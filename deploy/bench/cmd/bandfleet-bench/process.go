package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a process of the benchmark. It is told one line at a time and answers likewise; it ends when its input does, or on
// SIGTERM.
type child struct {
	cmd *exec.Cmd
	// said is what it wrote to standard error, for when it fails. Read it only when the process has ended.
	said  bytes.Buffer
	input io.WriteCloser
	lines *bufio.Scanner
}

func startChild(path string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(path, args...)}
	c.cmd.Stderr = &c.said
	var err error
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.lines = bufio.NewScanner(out)
	return c, c.cmd.Start()
}

// startSelf starts another part of this program.
func startSelf(part string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startChild(self, append([]string{part}, args...)...)
}

// line waits for the child's next line.
func (c *child) line() (string, error) {
	if !c.lines.Scan() {
		err := errors.Join(c.lines.Err(), c.cmd.Wait())
		return "", fmt.Errorf("%s ended early: %w\n%s", c.cmd, err, &c.said)
	}
	return c.lines.Text(), nil
}

// seconds waits for the child's next line, which must be a number of seconds.
func (c *child) seconds() (time.Duration, error) {
	text, err := c.line()
	if err != nil {
		return 0, err
	}
	s, err := strconv.ParseFloat(text, 64)
	return time.Duration(s * float64(time.Second)), err
}

func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// residentKB reads the resident memory of a process.
func (c *child) residentKB() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, errors.New("no VmRSS: this benchmark needs Linux")
}
