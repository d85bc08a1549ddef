package runner

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func TestClaims(t *testing.T) {
	for _, tc := range []struct {
		a, b claim
		want string
	}{
		{claim{"ble"}, claim{"ble"}, "ble"},
		{claim{"ble"}, claim{"certs"}, ""},
		{claim{"ble", "certs"}, claim{"iis", "certs"}, "certs"},
		{claim{"host"}, claim{"ble"}, "host"},
		{claim{"host"}, nil, "host"},
		{nil, nil, ""},
		{nil, claim{"ble"}, ""},
	} {
		for _, pair := range [][2]claim{{tc.a, tc.b}, {tc.b, tc.a}} {
			if got, ok := pair[0].conflict(pair[1]); got != tc.want || ok != (tc.want != "") {
				t.Errorf("%v and %v conflict on %q, want %q", pair[0], pair[1], got, tc.want)
			}
		}
	}
	if got := claimFor(&actionv1.Action{}); !slices.Equal(got, claim{everything}) {
		t.Errorf("an action that may change things and names no resource claims %v, want the whole machine", got)
	}
	if got := claimFor(&actionv1.Action{ReadOnly: true}); len(got) != 0 {
		t.Errorf("an action that only reads claims %v, want nothing", got)
	}
}

// TestLocks: in the order in which tasks came, who may run beside whom.
func TestLocks(t *testing.T) {
	for name, tc := range map[string]struct {
		resources [][]string
		// batches are the indexes of tasks that run together, in order.
		batches [][]int
	}{
		"same resource in turn":             {[][]string{{"ble"}, {"ble"}, {"ble"}}, [][]int{{0}, {1}, {2}}},
		"different resources together":      {[][]string{{"ble"}, {"certs"}}, [][]int{{0, 1}}},
		"readers beside all":                {[][]string{{"ble"}, nil, nil}, [][]int{{0, 1, 2}}},
		"whole machine alone":               {[][]string{nil, {"host"}, nil}, [][]int{{0}, {1}, {2}}},
		"nobody overtakes who waits for it": {[][]string{{"a"}, {"a", "b"}, {"b"}}, [][]int{{0}, {1}, {2}}},
		"bounded":                           {[][]string{nil, nil, nil, nil, nil}, [][]int{{0, 1, 2, 3}, {4}}},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				var tasks []*agentv1.Task
				for i, resources := range tc.resources {
					action := string(rune('a' + i))
					b.plugins[action] = newBlocker(action, 5*time.Second, resources...)
					task := b.task(action, action)
					b.dispatch(task)
					tasks = append(tasks, task)
				}
				for _, task := range tasks {
					b.permit(task)
				}
				began := time.Now()
				for n, batch := range tc.batches {
					for _, i := range batch {
						b.result(tasks[i])
					}
					if took, want := time.Since(began), time.Duration(n+1)*5*time.Second; took != want {
						t.Errorf("batch %d ended after %s, want %s", n, took, want)
					}
				}
			})
		})
	}
}

func TestShutdownWaitsAndPutsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		p := b.plugins["restart"]
		task := b.task("j", "restart")
		b.dispatch(task)
		b.permit(task)
		// The stop is done and the start is not yet when the agent is told to end.
		stopped := make(chan struct{})
		b.machine.Interpose(func(call string) error {
			if call == `start "Nymi Bluetooth Endpoint"` && p.closed == 0 {
				close(stopped)
				time.Sleep(3 * time.Second)
				return errDied
			}
			return nil
		})
		<-stopped
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		b.wantRunning()
		if p.closed != 1 {
			t.Error("the plugin lives on after Run has returned")
		}
		if res := b.server.results["j/1"]; res != nil {
			t.Fatalf("result is %v: a task that was interrupted is settled by the next process", res)
		}
		b.machine.Interpose(nil)
		time.Sleep(48 * time.Hour)
		b.start()
		res := b.result(task)
		b.wantStatus(res, succeeded)
		if !res.GetRecovered() || undoOf(res) != actionv1.UndoOutcome_UNDO_OUTCOME_DONE {
			t.Errorf("result is %v, want it recovered, with the service put back", res)
		}
		if d := res.GetInterruptions()[0].GetDuration().AsDuration(); d > time.Minute {
			t.Errorf("the interruption took %s: it ended when the agent put the service back, two days ago", d)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestPermitsAcrossSleep: the monotonic clock stands still while a machine sleeps, and a permit must not outlive the sleep.
func TestPermitsAcrossSleep(t *testing.T) {
	until := time.Now().Add(30 * time.Second)
	for _, tc := range []struct {
		name          string
		passed, slept time.Duration
		want          bool
	}{
		{"in time", 29 * time.Second, 0, true},
		{"too late", 30 * time.Second, 0, false},
		{"after an hour of sleep", time.Second, time.Hour, false},
		{"too late, the machine's clock set back", 31 * time.Second, -time.Hour, false},
		{"in time, the machine's clock set back", time.Second, -time.Hour, true},
	} {
		now := wakened(until.Add(tc.passed-30*time.Second), tc.slept)
		if got := permits(until, now); got != tc.want {
			t.Errorf("%s: permitted is %v, want %v", tc.name, got, tc.want)
		}
	}
}

// wakened returns a moment whose wall clock is ahead of its monotonic clock by slept. Nothing but a machine that really sleeps
// makes such a time.Time, so it reaches into one: the second word is the monotonic reading in nanoseconds.
func wakened(at time.Time, slept time.Duration) time.Time {
	at = at.Add(slept)
	(*[2]int64)(unsafe.Pointer(&at))[1] -= int64(slept)
	return at
}
