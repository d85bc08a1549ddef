package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

func command(name string, s *service) error {
	switch name {
	case "run":
		// Explicit, because svc.IsWindowsService is false under Wine.
		return svc.Run(s.key, s)
	case "install":
		return s.install()
	case "start":
		return s.startByManager()
	default:
		return fmt.Errorf("unknown command %q, want run, install or start", name)
	}
}

// Execute implements svc.Handler.
func (s *service) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.StartPending}
	if err := s.start(); err != nil {
		return true, 1
	}
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for r := range requests {
		switch r.Cmd {
		case svc.Interrogate:
			status <- r.CurrentStatus
		case svc.Stop, svc.Shutdown:
			status <- svc.Status{State: svc.StopPending}
			s.awaitStop()
			return false, 0
		}
	}
	return false, 0
}

func (s *service) install() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer func() { _ = m.Disconnect() }()
	created, err := m.CreateService(s.key, exe, mgr.Config{DisplayName: s.display, StartType: mgr.StartManual},
		"run", "-key", s.key, "-behaviour", s.behaviour, "-listen", s.listen)
	if err != nil {
		return fmt.Errorf("service %q: %w", s.key, err)
	}
	return created.Close()
}

func (s *service) startByManager() error {
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer func() { _ = m.Disconnect() }()
	existing, err := m.OpenService(s.key)
	if err != nil {
		return fmt.Errorf("service %q: %w", s.key, err)
	}
	defer existing.Close()
	return existing.Start()
}
