// Package sdktest holds the conformance suite that every action must pass (Conformance), and the small machine in memory that
// it runs on. Like the agent, the machine refuses what an action did not declare or plan, so a test that passes here says
// that the action can live with those rules. Callers: the tests of plugins.
package sdktest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// Machine is a small machine in memory. Set its fields before a test uses it. Its services obey at once; what makes them
// misbehave is Fail.
type Machine struct {
	// Services by display name; those that are not here are not installed.
	Services map[string]*actionv1.ServiceState
	// Devices by "vendor:product".
	Devices map[string][]*actionv1.Device
	// Files by "root/path".
	Files map[string]string
	// Open holds the addresses ("host:port") that take connections.
	Open map[string]bool
	// AgentURL is the address ("host:port") that the capability "agent-url" stands for.
	AgentURL string
	Host     *actionv1.HostState
	// Fail says why an effect does not come about, by the id of the planned effect.
	Fail map[string]string
	// Answers are what people say to a confirm effect, by the id of the planned effect. One that names nobody comes when the time is
	// over; where there is none, somebody says yes.
	Answers map[string]*actionv1.Confirmation
	// Model is everything else that an action may look at and change.
	Model

	mu      sync.Mutex
	lastPID uint32
	changes int
}

// Changes counts the effects that were tried.
func (m *Machine) Changes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changes
}

// query answers what an action may read.
func (m *Machine) query(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	switch q := q.GetQuery().(type) {
	case *actionv1.Query_Service:
		return &actionv1.QueryResult{Result: &actionv1.QueryResult_Service{Service: m.service(q.Service.GetService())}}, nil
	case *actionv1.Query_ServiceWatch:
		w, err := m.watch(ctx, q.ServiceWatch)
		return &actionv1.QueryResult{Result: &actionv1.QueryResult_ServiceWatch{ServiceWatch: w}}, err
	case *actionv1.Query_Device:
		d := &actionv1.DeviceState{Devices: m.Devices[q.Device.GetVendor()+":"+q.Device.GetProduct()]}
		return &actionv1.QueryResult{Result: &actionv1.QueryResult_Device{Device: proto.CloneOf(d)}}, nil
	case *actionv1.Query_File:
		return &actionv1.QueryResult{Result: &actionv1.QueryResult_File{File: m.file(q.File)}}, nil
	case *actionv1.Query_TcpProbe:
		return &actionv1.QueryResult{Result: &actionv1.QueryResult_TcpProbe{TcpProbe: m.probe(q.TcpProbe)}}, nil
	case *actionv1.Query_Host:
		return &actionv1.QueryResult{Result: &actionv1.QueryResult_Host{Host: proto.CloneOf(m.Host)}}, nil
	default:
		return m.queryModel(q)
	}
}

func (m *Machine) service(name string) *actionv1.ServiceState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.Services[name]; s != nil {
		return proto.CloneOf(s)
	}
	return &actionv1.ServiceState{Service: name}
}

// watch lets the whole time pass: nothing happens by itself on this machine.
func (m *Machine) watch(ctx context.Context, w *actionv1.ServiceWatch) (*actionv1.ServiceWatchResult, error) {
	before := m.service(w.GetService())
	if err := pause(ctx, w.GetStableFor().AsDuration()); err != nil {
		return nil, err
	}
	now := m.service(w.GetService())
	want := w.GetPid()
	if want == 0 {
		want = before.GetPid()
	}
	return &actionv1.ServiceWatchResult{
		Stable:  now.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING && now.GetPid() == want,
		State:   now,
		Watched: w.GetStableFor(),
	}, nil
}

func (m *Machine) file(q *actionv1.FileQuery) *actionv1.FileContent {
	content, ok := m.Files[q.GetRoot()+"/"+q.GetPath()]
	limit := min(len(content), int(q.GetMaxBytes()))
	return &actionv1.FileContent{Exists: ok, Content: []byte(content[:limit]), Truncated: limit < len(content)}
}

func (m *Machine) probe(p *actionv1.TCPProbe) *actionv1.TCPProbeResult {
	if m.Open[address(p)] {
		return &actionv1.TCPProbeResult{Reachable: true, Took: durationpb.New(time.Millisecond)}
	}
	return &actionv1.TCPProbeResult{Reason: "connection refused"}
}

func address(p *actionv1.TCPProbe) string {
	return net.JoinHostPort(p.GetHost(), strconv.Itoa(int(p.GetPort())))
}

// effectOrAnswer carries out one effect on the machine, or asks its people.
func (m *Machine) effectOrAnswer(ctx context.Context, e *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	if e.GetEffect().GetConfirm() != nil {
		return m.confirm(ctx, e.GetPlanId(), e.GetEffect())
	}
	if service, _ := target(e.GetEffect()); service == "" {
		return m.effectOnModel(e.GetPlanId(), e.GetEffect())
	}
	return m.effect(e.GetPlanId(), e.GetEffect()), nil
}

// effect carries out one effect and returns its record.
func (m *Machine) effect(id string, e *actionv1.Effect) *actionv1.RecordedEffect {
	name, running := target(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	rec := &actionv1.RecordedEffect{PlanId: id, Effect: e, Inverse: actionv1.Inverse_INVERSE_COMPENSATING}
	s := m.Services[name]
	if s == nil {
		rec.Error = fmt.Sprintf("service %q is not installed", name)
		return rec
	}
	rec.Before = serviceState(s)
	if rec.Error = m.Fail[id]; rec.Error == "" {
		m.change(s, running)
	}
	rec.After = serviceState(s)
	rec.Changed = !proto.Equal(rec.GetBefore(), rec.GetAfter())
	return rec
}

func serviceState(s *actionv1.ServiceState) *actionv1.State {
	return &actionv1.State{State: &actionv1.State_Service{Service: proto.CloneOf(s)}}
}

func (m *Machine) change(s *actionv1.ServiceState, running bool) {
	switch {
	case !running:
		s.Status, s.Pid = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, 0
	case s.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_RUNNING:
		m.lastPID++
		s.Status, s.Pid = actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, 1_000_000+m.lastPID
	}
}

// target returns an effect's service and whether it is to run afterwards.
func target(e *actionv1.Effect) (service string, running bool) {
	switch e := e.GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		return e.ServiceStop.GetService(), false
	case *actionv1.Effect_ServiceKill:
		return e.ServiceKill.GetService(), false
	case *actionv1.Effect_ServiceStart:
		return e.ServiceStart.GetService(), true
	default:
		return "", false
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rightFor returns the capability that a query needs.
func (m *Machine) rightFor(q *actionv1.Query) *actionv1.Capability {
	needed := rights.OfQuery(q)
	if p := q.GetTcpProbe(); p != nil && !strings.EqualFold(address(p), m.AgentURL) {
		needed.Object = rights.Inventory
	}
	return needed
}
