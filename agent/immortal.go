//go:build !killpoints

package agent

import (
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/runner"
)

// What the tests kill is in mortal.go; a program that people run is as it is.

func mortalJournal(j runner.Journal) runner.Journal { return j }

func mortalHost(h *host.Host) *host.Host { return h }
