package facts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func collector(h *host.Host) *Collector {
	return New(Config{Host: h, AgentVersion: "1.2.3", Log: slog.New(slog.DiscardHandler)})
}

func TestCollectSeesTheWholeMachine(t *testing.T) {
	f := collector(hosttest.NewMemory().Host()).Collect(t.Context())
	if f.GetHostname() != "terminal" || f.GetOs() != "windows" || f.GetAgentVersion() != "1.2.3" || f.GetBootId() == "" ||
		f.GetArchitecture() == "" || len(f.GetAddresses()) == 0 {
		t.Errorf("facts are %v, want name, system, architecture, versions, boot id and addresses", f)
	}
	if len(f.GetServices()) != 2 || f.GetServices()[0].GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_RUNNING {
		t.Errorf("services are %v, want both Nymi services as they are", f.GetServices())
	}
	if len(f.GetAdapter().GetDevices()) != 1 {
		t.Errorf("adapter is %v, want the one that is plugged in", f.GetAdapter())
	}
}

func TestSimulatedMachineSaysSo(t *testing.T) {
	c := New(Config{Host: hosttest.NewMemory().Host(), Simulated: true, Log: slog.New(slog.DiscardHandler)})
	if got := c.Collect(t.Context()).GetOs(); got != "sim" {
		t.Errorf("os is %q, want sim: nobody must take a simulated machine for a real one", got)
	}
}

func TestWatchTellsOfChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := hosttest.NewMemory()
		c := collector(machine.Host())
		c.Collect(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		changes := make(chan *agentv1.Facts, 16)
		done := make(chan struct{})
		go func() { defer close(done); c.Watch(ctx, func(f *agentv1.Facts) { changes <- f }) }()

		time.Sleep(time.Minute)
		synctest.Wait()
		if len(changes) != 0 {
			t.Errorf("%d changes told of a machine at rest, want none: each one costs a message", len(changes))
		}
		machine.SetAdapters(0)
		pulled := time.Now()
		if f := <-changes; len(f.GetAdapter().GetDevices()) != 0 || time.Since(pulled) > every {
			t.Errorf("after %v: adapter %v, want it gone within %v", time.Since(pulled), f.GetAdapter(), every)
		}
		cancel()
		<-done
	})
}

// deaf is a machine whose service manager does not answer.
type deaf struct{ host.Services }

func (deaf) State(ctx context.Context, _ string) (*actionv1.ServiceState, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestWhatCannotBeReadStaysAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := hosttest.NewMemory().Host()
		c := collector(machine)
		before := c.Collect(t.Context())
		machine.Services = deaf{}
		begun := time.Now()
		after := c.Collect(t.Context())
		if !proto.Equal(before.GetServices()[0], after.GetServices()[0]) {
			t.Errorf("services are %v, want the last known %v", after.GetServices(), before.GetServices())
		}
		if took := time.Since(begun); took > patience {
			t.Errorf("took %v, want at most %v: the other facts are waiting", took, patience)
		}
	})
}

// TestPeopleComeAndGo: that is told; what they are doing is not, by itself.
func TestPeopleComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const active, idle = actionv1.UserActivity_USER_ACTIVITY_ACTIVE, actionv1.UserActivity_USER_ACTIVITY_IDLE
		machine := hosttest.NewMemory()
		machine.SignIn("alice", active)
		machine.SignIn("bob", idle)
		c := collector(machine.Host())
		if s := c.Collect(t.Context()).GetUserSessions(); len(s) != 2 || s[0].GetUser() != "alice" || s[0].GetActivity() != active {
			t.Errorf("user sessions are %v, want alice at work, and bob", s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		changes := make(chan *agentv1.Facts, 16)
		done := make(chan struct{})
		go func() { defer close(done); c.Watch(ctx, func(f *agentv1.Facts) { changes <- f }) }()
		for range 10 {
			machine.SignIn("alice", idle)
			machine.SignIn("bob", active)
			time.Sleep(every)
			machine.SignIn("alice", active)
			machine.SignIn("bob", idle)
			time.Sleep(every)
		}
		synctest.Wait()
		if len(changes) != 0 {
			t.Errorf("%d changes told of people who pause and go on, want none: each one costs a message", len(changes))
		}
		machine.SignIn("alice", actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED)
		if s := (<-changes).GetUserSessions(); len(s) != 1 || s[0].GetUser() != "bob" {
			t.Errorf("user sessions are %v, want bob alone", s)
		}
		cancel()
		<-done
	})
}

func TestNobodyToAskAboutPeopleIsNoTrouble(t *testing.T) {
	var log strings.Builder
	machine := hosttest.NewMemory()
	machine.SignIn("alice", actionv1.UserActivity_USER_ACTIVITY_ACTIVE)
	c := New(Config{Host: machine.Host(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	c.Collect(t.Context())
	machine.HideUsers(fmt.Errorf("here: %w", host.ErrNotSupported))
	if s := c.Collect(t.Context()).GetUserSessions(); len(s) != 0 || log.Len() > 0 {
		t.Errorf("user sessions %v, log %q; want neither: such a machine never tells", s, log.String())
	}
	machine.HideUsers(errors.New("does not answer"))
	c.Collect(t.Context())
	if log.Len() == 0 {
		t.Error("the log does not say that a machine which could tell does not")
	}
}
