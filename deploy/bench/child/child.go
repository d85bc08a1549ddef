// Package child runs the processes of the benchmark and looks at what they take of the machine. A child is told one line at a
// time and answers with one line; it ends when its input does, or on a signal. The benchmark's program is its only caller.
package child

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

// Child is a process.
type Child struct {
	cmd *exec.Cmd
	// said is what it wrote to standard error, for when it fails. Read it only when the process has ended.
	said  bytes.Buffer
	input io.WriteCloser
	lines *bufio.Scanner
	ended bool
}

// Start starts a program.
func Start(path string, args ...string) (*Child, error) {
	c := &Child{cmd: exec.Command(path, args...)}
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

// Self starts another part of this program.
func Self(part string, args ...string) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return Start(self, append([]string{part}, args...)...)
}

// Line waits for the child's next line.
func (c *Child) Line() (string, error) {
	if !c.lines.Scan() {
		c.ended = true
		err := errors.Join(c.lines.Err(), c.cmd.Wait())
		return "", fmt.Errorf("%s ended early: %w\n%s", c.cmd, err, &c.said)
	}
	return c.lines.Text(), nil
}

// Ask tells the child a line and waits for its answer.
func (c *Child) Ask(line string) (string, error) {
	if _, err := fmt.Fprintln(c.input, line); err != nil {
		return "", fmt.Errorf("%s: %q: %w", c.cmd, line, err)
	}
	return c.Line()
}

// Numbers asks for a line of so many numbers.
func (c *Child) Numbers(line string, n int) ([]float64, error) {
	text, err := c.Ask(line)
	if err != nil {
		return nil, err
	}
	return ParseNumbers(text, n)
}

// ParseNumbers reads a line of so many numbers.
func ParseNumbers(text string, n int) ([]float64, error) {
	fields := strings.Fields(text)
	if len(fields) != n {
		return nil, fmt.Errorf("%q: want %d numbers", text, n)
	}
	numbers := make([]float64, n)
	for i, f := range fields {
		var err error
		if numbers[i], err = strconv.ParseFloat(f, 64); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// Stop ends the child as an operator would, and waits for its end.
func (c *Child) Stop() error { return c.end(syscall.SIGTERM) }

// Kill ends the child at once, and waits for its end.
func (c *Child) Kill() error { return c.end(syscall.SIGKILL) }

func (c *Child) end(s syscall.Signal) error {
	if c.ended {
		return nil
	}
	c.ended = true
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// Said is what an ended child wrote to standard error, as an error; nil when that is nothing.
func (c *Child) Said() error {
	if text := strings.TrimSpace(c.said.String()); text != "" {
		return fmt.Errorf("%s said: %s", c.cmd, text)
	}
	return nil
}

// Memory is what a process has in memory, in KB: all of it, and what is its own alone (the rest is files that are mapped).
type Memory struct{ Resident, Own float64 }

// Memory reads the child's memory.
func (c *Child) Memory() (Memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return Memory{}, fmt.Errorf("memory (this benchmark needs Linux): %w", err)
	}
	return parseMemory(string(text))
}

func parseMemory(status string) (m Memory, err error) {
	for line := range strings.Lines(status) {
		name, rest, _ := strings.Cut(line, ":")
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		switch name {
		case "VmRSS":
			m.Resident, err = strconv.ParseFloat(value, 64)
		case "RssAnon":
			m.Own, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return Memory{}, err
		}
	}
	if m.Resident == 0 || m.Own == 0 {
		return Memory{}, errors.New("memory: the kernel does not tell VmRSS and RssAnon")
	}
	return m, nil
}

// Files counts the child's open files.
func (c *Child) Files() (int, error) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	return len(open), err
}

// CPU is the processor time that the child has taken.
func (c *Child) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseCPU(string(text))
}

// tick is the kernel's unit of processor time, which is fixed for user space (see proc(5), USER_HZ).
const tick = 10 * time.Millisecond

func parseCPU(stat string) (time.Duration, error) {
	// The second field is the program's name in parentheses and may hold anything; user and system time are the 14th and 15th.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("processor time: %q is not what proc(5) says", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}
