// Program testservice is a service that misbehaves when told to. The tests on real parts register it, under the display
// names of the Nymi services, with the service control manager of Wine and with systemd, and then let an agent restart it.
//
// Its behaviour is read from a file: `normal`; `hang-on-stop` (never stops while the file says so); `crash-on-start` (ends
// with code 3 before it is up); `die-after=5s` (ends with code 4 that long after each start).
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

const (
	exitCrashed = 3
	exitDied    = 4
	// How often a hanging service looks whether it may stop.
	lookEvery = 100 * time.Millisecond
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testservice:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("want a command: run (and on Windows: install, start)")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	s := service{}
	flags.StringVar(&s.key, "key", "", "the operating system's name of the service")
	flags.StringVar(&s.display, "display", "", "the display name to install it with")
	flags.StringVar(&s.behaviour, "behaviour", "", "file that holds the behaviour")
	flags.StringVar(&s.listen, "listen", "", "address to listen on while it runs")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	return command(args[0], &s)
}

// service is one misbehaving service.
type service struct {
	key, display, behaviour, listen string
}

// mode reads the behaviour now, so that a test may change it while the service runs. No file means normal.
func (s *service) mode() string {
	text, err := os.ReadFile(s.behaviour)
	if err != nil {
		return "normal"
	}
	return strings.TrimSpace(string(text))
}

// start brings the service up, or does not, as its behaviour says.
func (s *service) start() error {
	mode := s.mode()
	if mode == "crash-on-start" {
		os.Exit(exitCrashed)
	}
	if text, ok := strings.CutPrefix(mode, "die-after="); ok {
		after, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("behaviour %q: %w", mode, err)
		}
		time.AfterFunc(after, func() { os.Exit(exitDied) })
	}
	if s.listen == "" {
		return nil
	}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	go accept(l)
	return nil
}

// accept answers every connection by closing it: the callers only probe.
func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

// awaitStop returns when the service may stop.
func (s *service) awaitStop() {
	for s.mode() == "hang-on-stop" {
		time.Sleep(lookEvery)
	}
}
