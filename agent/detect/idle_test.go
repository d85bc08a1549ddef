package detect_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// asked counts what costs a machine something: files that are read, programs that are started (the web server's and the features' answers
// come from programs), connections.
type asked struct {
	reads, inventories, features, probes atomic.Int64
}

type countedFiles struct {
	host.Files
	a *asked
}

// Read implements host.Files.
func (c countedFiles) Read(ctx context.Context, root, name string, limit int) ([]byte, bool, error) {
	c.a.reads.Add(1)
	return c.Files.Read(ctx, root, name, limit)
}

type countedIIS struct {
	host.IIS
	a *asked
}

// Inventory implements host.IIS.
func (c countedIIS) Inventory(ctx context.Context, locations ...string) (*actionv1.IISInventory, error) {
	c.a.inventories.Add(1)
	return c.IIS.Inventory(ctx, locations...)
}

type countedFeatures struct {
	host.Features
	a *asked
}

// State implements host.Features.
func (c countedFeatures) State(ctx context.Context, names []string) (*actionv1.FeatureStates, error) {
	c.a.features.Add(1)
	return c.Features.State(ctx, names)
}

type countedNetwork struct {
	host.Network
	a *asked
}

// Probe implements host.Network.
func (c countedNetwork) Probe(ctx context.Context, target *actionv1.ProbeTarget, timeout time.Duration) (*actionv1.NetProbeResult, error) {
	c.a.probes.Add(1)
	return c.Network.Probe(ctx, target, timeout)
}

func counted(h *host.Host) (*host.Host, *asked) {
	a, copied := &asked{}, *h
	copied.Files, copied.IIS = countedFiles{h.Files, a}, countedIIS{h.IIS, a}
	copied.Features, copied.Network = countedFeatures{h.Features, a}, countedNetwork{h.Network, a}
	return &copied, a
}

// TestAnIdleDay: what an agent asks of a healthy machine in a day is bounded. A program costs the more the slower the machine is, so what
// is counted is how often, not how long.
func TestAnIdleDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		terminal := newTerminalScene(t)
		var onTerminal, onNES *asked
		terminal.cfg.Host, onTerminal = counted(terminal.cfg.Host)
		terminal.start()
		terminal.take(ordersOf("v1", terminal.site, stopped()))
		nes := newNESScene(t)
		nes.cfg.Host, onNES = counted(nes.cfg.Host)
		nes.start()
		nes.take(ordersOf("v1", nes.site, rule("cert-tls-check", 0, is("tls-certificate", "expiring"))))
		terminal.pass(24 * time.Hour)
		for what, c := range map[string]struct{ got, most int64 }{
			"reads of files that do not change, on a terminal": {onTerminal.reads.Load(), 10},
			"probes of one NES host, on a terminal":            {onTerminal.probes.Load(), 24*60 + 1},
			"lists of features, on a NES host":                 {onNES.features.Load(), 26},
			"lists of the web server, on a NES host":           {onNES.inventories.Load(), 2 * (24*12 + 1)},
			"reads of web.config, on a NES host":               {onNES.reads.Load(), 4 * (24*12 + 1)},
		} {
			if c.got > c.most || c.got == 0 {
				t.Errorf("%d %s in a day, want 1 to %d", c.got, what, c.most)
			}
		}
		terminal.wantNone("the terminal is healthy")
		nes.wantNone("the NES host is healthy")
		terminal.stop()
		nes.stop()
	})
}
