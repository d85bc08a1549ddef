package jobs

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
	"github.com/bandfleet/bandfleet/server/store"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// prompt is a Link whose agents answer every task with a result at once.
type prompt struct {
	engine *Engine
	acks   chan error
}

func (p *prompt) Online(string) bool { return true }

func (p *prompt) Send(id string, _ uint64, m *agentv1.ConnectResponse) bool {
	if key := m.GetDispatch().GetTask().GetKey(); key != nil {
		go func() {
			r := &agentv1.Result{Key: key, Result: &actionv1.TaskResult{
				Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Plugin: "endpoint", Output: string(make([]byte, 256)),
			}}
			if err := p.engine.Result(context.Background(), id, r, func(err error) { p.acks <- err }); err != nil {
				p.acks <- err
			}
		}()
	}
	return true
}

// BenchmarkFanOut is a job over 10,000 connected terminals, from its creation to the last result on disk.
func BenchmarkFanOut(b *testing.B) {
	const n = 10_000
	sites := make([]string, n)
	for i := range sites {
		sites[i] = "lyon"
	}
	st, err := store.Open(filepath.Join(b.TempDir(), "store.db"))
	if err != nil {
		b.Fatal(err)
	}
	link := &prompt{acks: make(chan error, n)}
	e, err := Open(b.Context(), Config{Store: st, Inventory: newFleet(sites...), Link: link, Epoch: func() uint64 { return 1 }, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	link.engine = e
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	for i := range n {
		if err := e.Connected(ctx, terminalID(i), 1, nil, "journal"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		ask := &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{}, Rollout: rollout.AllAtOnce()}}
		if _, err := e.Create(ctx, admin(), ask); err != nil {
			b.Fatal(err)
		}
		for range n {
			if err := <-link.acks; err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "results/s")
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	if err := st.Close(); err != nil {
		b.Error(err)
	}
}
