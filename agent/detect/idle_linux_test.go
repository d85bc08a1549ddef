package detect_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/detect"
	"github.com/bandfleet/bandfleet/agent/host/sim"
)

// idleStep is how long one operation of BenchmarkIdle lasts: -benchtime 6x measures a minute.
const idleStep = 10 * time.Second

// BenchmarkIdle measures what the detectors add to an agent that has nothing to do, on a simulated terminal: the part of a core in per cent,
// and the heap. What they must stay below is 0.2 % and 40 MB.
func BenchmarkIdle(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "terminal")
	if err := sim.Init(dir, sim.Options{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := sim.Shutdown(dir); err != nil {
			b.Error(err)
		}
	})
	machine, err := sim.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	d := detect.New(detect.Config{Host: machine, Sink: &sink{}, Role: terminalRole, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	if err := d.Take(ordersOf("v1", nil, stopped())); err != nil {
		b.Fatal(err)
	}
	time.Sleep(2 * time.Second) // the first look is not idle
	before, begun := used(b), time.Now()
	for range b.N {
		time.Sleep(idleStep)
	}
	b.ReportMetric(100*float64(used(b)-before)/float64(time.Since(begun)), "%core")
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapInuse)/(1<<20), "MB-heap")
	cancel()
	<-ended
}

// used is the processor time of this process.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
