//go:build linux

// Package netns gives tests a second machine's network: a network namespace that is joined to this machine by one cable (a
// veth pair), which can be unplugged. Only the end-to-end tests with the build tag real use it; it needs root.
package netns

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Namespace is the far end of a cable.
type Namespace struct {
	name   string
	device string
	// Near and Far are the addresses of the two ends: this machine's and the namespace's.
	Near, Far string
}

// New makes a namespace. number (0 to 63) tells those of one process apart.
func New(ctx context.Context, number int) (*Namespace, error) {
	id := fmt.Sprintf("bf%d-%d", os.Getpid(), number)
	// A /30 of its own; the process id keeps two test runs on one machine apart.
	net, first := os.Getpid()%250, 4*(number%64)
	n := &Namespace{
		name: id, device: "v" + id,
		Near: fmt.Sprintf("10.213.%d.%d", net, first+1), Far: fmt.Sprintf("10.213.%d.%d", net, first+2),
	}
	peer := "p" + id
	steps := [][]string{
		{"netns", "add", n.name},
		{"link", "add", n.device, "type", "veth", "peer", "name", peer, "netns", n.name},
		{"addr", "add", n.Near + "/30", "dev", n.device},
		{"link", "set", n.device, "up"},
		{"-n", n.name, "addr", "add", n.Far + "/30", "dev", peer},
		{"-n", n.name, "link", "set", peer, "up"},
		{"-n", n.name, "link", "set", "lo", "up"},
	}
	for _, step := range steps {
		if err := ip(ctx, step...); err != nil {
			_ = n.Close()
			return nil, fmt.Errorf("network namespace %q: %w", n.name, err)
		}
	}
	return n, nil
}

// Path is the file that stands for the namespace.
func (n *Namespace) Path() string { return "/run/netns/" + n.name }

// Command prepares a program that runs in the namespace.
func (n *Namespace) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	// ip executes the program in its own place, so the process id and signals are the program's.
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.name, program}, args...)...)
}

// Cut unplugs the cable. Packets are lost, no connection is closed.
func (n *Namespace) Cut(ctx context.Context) error {
	return ip(ctx, "link", "set", n.device, "down")
}

// Restore plugs the cable in again.
func (n *Namespace) Restore(ctx context.Context) error {
	return ip(ctx, "link", "set", n.device, "up")
}

// Direction is a way over the cable.
type Direction int

// The directions.
const (
	// Up is from the namespace to this machine, and Down the other way.
	Up Direction = iota
	Down
)

// Lose has the packets of one direction vanish, while those of the other arrive.
func (n *Namespace) Lose(ctx context.Context, d Direction) error { return n.hole(ctx, "add", d) }

// Find lets the packets of a direction arrive again.
func (n *Namespace) Find(ctx context.Context, d Direction) error { return n.hole(ctx, "del", d) }

func (n *Namespace) hole(ctx context.Context, do string, d Direction) error {
	if d == Up {
		return ip(ctx, "-n", n.name, "route", do, "blackhole", n.Near)
	}
	return ip(ctx, "route", do, "blackhole", n.Far)
}

// Close removes the namespace and its cable.
func (n *Namespace) Close() error {
	ctx := context.Background()
	// A hole that was never made is no fault here either.
	_ = n.Find(ctx, Down)
	// The cable goes with either end; one that was never made is no fault here.
	_ = ip(ctx, "link", "del", n.device)
	return ip(ctx, "netns", "del", n.name)
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
