//go:build !killpoints

package server

import (
	"time"

	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/sessions"
	"github.com/bandfleet/bandfleet/server/store"
)

// What the tests kill is in mortal.go; a program that people run is as it is.

func mortalStore(st store.Store) store.Store { return st }

func mortalLink(l jobs.Link) jobs.Link { return l }

func mortalEngine(e sessions.Engine) sessions.Engine { return e }

func mortalClock() func() time.Time { return time.Now }
