package plugins

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	goplugin "github.com/hashicorp/go-plugin/runner"
)

// drainFor is how long the output of a process that has ended is still read: something that escaped from its tree may hold
// the pipe open for ever.
const drainFor = time.Second

// errEnded says that a process was ended before it had properly started.
var errEnded = errors.New("ended while it was started")

// child is the operating system's side of one plugin process. It implements go-plugin's runner.Runner, so that the process
// gets no environment but what go-plugin's handshake needs, its credentials over standard input, and an end together with
// everything it started.
type child struct {
	cmd         *exec.Cmd
	tree        *tree
	credentials []byte
	output      *tail

	// Our ends of its three pipes. stdin stays open as long as the plugin is wanted.
	stdin          *os.File
	stdout, stderr *os.File
	// What go-plugin reads: the line of the handshake, then nothing until the output ends.
	line       *io.PipeReader
	lineWriter *io.PipeWriter

	copying sync.WaitGroup // the two readers of its output
	exited  chan struct{}  // closed when it has ended and its output was read
	waitErr error          // how it ended; set before exited is closed

	mu        sync.Mutex
	firstLine string
}

var _ goplugin.Runner = (*child)(nil)

// newChild prepares a process of the opened executable. The caller sets cmd.Dir, and cmd.Env, which is all that it gets.
func newChild(exe *os.File, credentials []byte, output *tail) *child {
	cmd := command(exe)
	c := &child{cmd: cmd, tree: newTree(cmd), credentials: credentials, output: output, exited: make(chan struct{})}
	c.line, c.lineWriter = io.Pipe()
	return c
}

// Start implements runner.Runner.
func (c *child) Start(context.Context) error {
	theirs, err := c.openPipes()
	if err == nil {
		started := make(chan error, 1)
		c.copying.Add(2)
		go c.live(started)
		err = <-started
	}
	for _, f := range theirs {
		_ = f.Close()
	}
	if err != nil {
		c.closePipes()
		return err
	}
	go c.readStdout()
	go func() {
		defer c.copying.Done()
		_, _ = io.Copy(c.output, c.stderr)
	}()
	// A pipe takes this much without a reader on every system.
	_, err = c.stdin.Write(c.credentials)
	return err
}

// openPipes makes the three pipes and returns the process's ends.
func (c *child) openPipes() (theirs []*os.File, err error) {
	stdin, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdin, c.stdin, theirs = stdin, ours, append(theirs, stdin)
	ours, stdout, err := os.Pipe()
	if err != nil {
		return theirs, err
	}
	c.cmd.Stdout, c.stdout, theirs = stdout, ours, append(theirs, stdout)
	ours, stderr, err := os.Pipe()
	if err != nil {
		return theirs, err
	}
	c.cmd.Stderr, c.stderr, theirs = stderr, ours, append(theirs, stderr)
	return theirs, nil
}

// live starts the process, waits for its end, ends what it left behind and reads the rest of its output. It keeps its
// thread, because Linux ends the process when the thread that started it ends (the parent-death signal).
func (c *child) live(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.cmd.Start(); err != nil {
		started <- err
		return
	}
	err := c.tree.adopt(c.cmd.Process)
	if err != nil {
		_ = c.cmd.Process.Kill()
	}
	started <- err
	c.tree.awaitLeader()
	c.tree.end()
	c.waitErr = c.cmd.Wait()
	if err == nil {
		c.drain()
	}
	c.closePipes()
	close(c.exited)
}

// drain waits for the readers of the output, but not for ever.
func (c *child) drain() {
	done := make(chan struct{})
	go func() {
		c.copying.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(drainFor):
	}
}

// readStdout hands the first line, the handshake, to go-plugin and keeps the rest as output.
func (c *child) readStdout() {
	defer c.copying.Done()
	defer c.lineWriter.Close()
	in := bufio.NewReaderSize(c.stdout, 4096)
	line, err := in.ReadSlice('\n')
	c.mu.Lock()
	c.firstLine = strings.TrimSpace(string(line))
	c.mu.Unlock()
	if err == nil {
		_, err = c.lineWriter.Write(line)
	} else {
		// No line, or one too long to be a handshake: it is output.
		_, _ = c.output.Write(line)
		_ = c.lineWriter.Close()
	}
	if err == nil || errors.Is(err, bufio.ErrBufferFull) {
		_, _ = io.Copy(c.output, in)
	}
}

// protocol returns the protocol version that the process named in its handshake, "" when it did not get that far.
func (c *child) protocol() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	parts := strings.Split(c.firstLine, "|")
	if len(parts) < 4 {
		return ""
	}
	if _, err := strconv.ParseUint(parts[1], 10, 32); err != nil {
		return ""
	}
	return parts[1]
}

func (c *child) closePipes() {
	_ = c.line.Close()
	for _, f := range []*os.File{c.stdin, c.stdout, c.stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Wait implements runner.AttachedRunner.
func (c *child) Wait(context.Context) error {
	<-c.exited
	return c.waitErr
}

// Kill implements runner.AttachedRunner: it ends the whole tree. It may be called at any time, and more than once.
func (c *child) Kill(context.Context) error {
	c.tree.end()
	return nil
}

// Stdout implements runner.Runner.
func (c *child) Stdout() io.ReadCloser { return c.line }

// Stderr implements runner.Runner. go-plugin has nothing to read there: standard error is kept as output.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (c *child) Name() string { return c.cmd.Args[0] }

// ID implements runner.AttachedRunner.
func (c *child) ID() string {
	if c.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(c.cmd.Process.Pid)
}

// Diagnose implements runner.Runner.
func (c *child) Diagnose(context.Context) string {
	return fmt.Sprintf("last output: %q", c.output.lastLine())
}

// PluginToHost implements runner.AddrTranslator: the process is on this machine.
func (c *child) PluginToHost(network, addr string) (string, string, error) { return network, addr, nil }

// HostToPlugin implements runner.AddrTranslator.
func (c *child) HostToPlugin(network, addr string) (string, string, error) { return network, addr, nil }
