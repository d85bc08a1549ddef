package faults_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// agents is how many sessions report at the same time.
const agents = 10_000

// BenchmarkReports measures how many faults of ten thousand agents are taken in a second, and BenchmarkPlainWrites how many records of
// their size the store takes with as many writers. None may be lost.
func BenchmarkReports(b *testing.B) {
	f := newFixture(b)
	for i := range agents {
		f.terminal(benchID(i), "lyon")
	}
	sequences := make([]uint64, agents)
	b.ResetTimer()
	spread(b, func(i int) error {
		sequences[i%agents]++
		n := f.saw("nbe-missing", fmt.Sprint(i/agents))
		n.Sequence = sequences[i%agents]
		_, err := f.Report(b.Context(), session(benchID(i%agents)), []*agentv1.News{n})
		return err
	})
	b.StopTimer()
	if got := f.records(store.TableOpenFaults); got != b.N {
		b.Fatalf("%d faults are open, want %d: some were lost", got, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "faults/s")
}

func BenchmarkPlainWrites(b *testing.B) {
	f := newFixture(b)
	record := make([]byte, 400)
	b.ResetTimer()
	spread(b, func(i int) error {
		return f.store.Update(b.Context(), func(w store.Writer) error { return w.Put(store.TableFaults, store.Number(uint64(i)), record) })
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// spread calls fn b.N times, by as many callers as there are agents; those of one agent follow each other.
func spread(b *testing.B, fn func(i int) error) {
	b.Helper()
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for agent := range min(agents, b.N) {
		all.Go(func() {
			for i := agent; i < b.N; i += agents {
				if err := fn(i); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
}

func benchID(i int) string { return fmt.Sprintf("T-%05d", 10_000+i) }
