package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
)

// command runs in the foreground as a unit of Type=notify.
func command(name string, s *service) error {
	if name != "run" {
		return fmt.Errorf("unknown command %q, want run", name)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if err := s.start(); err != nil {
		return err
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return err
	}
	<-stop
	s.awaitStop()
	return nil
}
