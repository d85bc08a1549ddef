//go:build linux

// Package systemd gives tests a Linux machine of their own: a Debian container booted with real systemd and D-Bus, in a
// network namespace. Only the end-to-end tests with the build tag real use it; it needs root.
package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bandfleet/bandfleet/deploy/testhosts/netns"
)

const (
	release = "bookworm"
	// include is what a minimal Debian lacks of a bootable machine.
	include = "systemd,systemd-sysv,dbus,iproute2"
	// bootTimeout: it takes about 5 s on an idle machine.
	bootTimeout = 2 * time.Minute
	stopTimeout = 20 * time.Second
)

// Container is one booted machine. What it writes is forgotten when it ends: the tree below it stays as it was made.
type Container struct {
	nspawn *exec.Cmd
	ended  chan struct{}
	log    *bytes.Buffer
	// init is the process id, seen from here, of the container's process 1.
	init int
}

// Boot boots the tree kept in cache (made the first time, about a minute) on the network. binds are folders of this machine
// that the container sees, read only, under the same path or as FOLDER:PATH; shared is one that it may write.
func Boot(ctx context.Context, cache string, network *netns.Namespace, shared string, binds ...string) (*Container, error) {
	tree, err := debian(ctx, cache)
	if err != nil {
		return nil, err
	}
	args := []string{
		"--directory", tree, "--volatile=overlay", "--register=no", "--keep-unit", "--boot", "--quiet",
		"--network-namespace-path", network.Path(), "--machine", filepath.Base(network.Path()), "--bind", shared,
	}
	for _, b := range binds {
		args = append(args, "--bind-ro", b)
	}
	c := &Container{ended: make(chan struct{}), log: &bytes.Buffer{}}
	// Not bound to ctx: killing nspawn alone would leave what runs inside. Close ends it.
	c.nspawn = exec.Command("systemd-nspawn", args...)
	c.nspawn.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	c.nspawn.Stdout, c.nspawn.Stderr = c.log, c.log
	if err := c.nspawn.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.nspawn.Wait() // it was ended by a signal; the log says what else happened
		close(c.ended)
	}()
	if err := c.awaitBoot(ctx); err != nil {
		closeErr := c.Close()
		return nil, fmt.Errorf("boot container: %w\n%s", errors.Join(err, closeErr), c.log)
	}
	return c, nil
}

// debian returns a tree with Debian in it.
func debian(ctx context.Context, cache string) (string, error) {
	tree := filepath.Join(cache, "debian-"+release)
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	unfinished := tree + ".part"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--include="+include, release, unfinished).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("debootstrap into %q: %w: %s", unfinished, err, out)
	}
	return tree, os.Rename(unfinished, tree)
}

func (c *Container) awaitBoot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	for {
		if c.init == 0 {
			c.init = firstChild(c.nspawn.Process.Pid)
		}
		if c.init != 0 {
			out, _ := c.Run(ctx, "systemctl", "is-system-running")
			if state := strings.TrimSpace(out); state == "running" || state == "degraded" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("systemd did not come up in time")
		case <-c.ended:
			return errors.New("systemd-nspawn ended")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// firstChild returns the process id of the first child of a process, 0 while there is none.
func firstChild(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) == 0 {
		return 0
	}
	child, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0
	}
	return child
}

// Command prepares a program that runs inside. It is not a child of the container's systemd.
func (c *Container) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(c.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", program}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	return cmd
}

// Run runs a program inside to its end and returns what it wrote.
func (c *Container) Run(ctx context.Context, program string, args ...string) (string, error) {
	out, err := c.Command(ctx, program, args...).CombinedOutput()
	return string(out), err
}

// Write writes a file inside.
func (c *Container) Write(ctx context.Context, path string, content string) error {
	cmd := c.Command(ctx, "/bin/sh", "-c", `mkdir -p "$(dirname "$1")" && cat > "$1"`, "sh", path)
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write %q: %w: %s", path, err, out)
	}
	return nil
}

// Close shuts the container down, with everything in it.
func (c *Container) Close() error {
	if err := c.nspawn.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.ended:
		return nil
	case <-time.After(stopTimeout):
	}
	// Without its process 1 the kernel ends the rest of the container.
	if c.init != 0 {
		_ = syscall.Kill(c.init, syscall.SIGKILL)
	}
	if err := c.nspawn.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-c.ended
	return nil
}
