package runner

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

const (
	// maxFileRead caps what a file query returns.
	maxFileRead = 1 << 20
	// maxProbe caps the time of one connection attempt.
	maxProbe = 30 * time.Second
	// defaultProbe is the time of a connection attempt that names none.
	defaultProbe = 5 * time.Second
	// watchEvery is how often a watched service is read.
	watchEvery = 250 * time.Millisecond
)

// query reads what the action declared that it reads; anything else ends the run.
func (p *phaseCalls) query(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	if err := p.mayRead(q); err != nil {
		return nil, err
	}
	switch q := q.GetQuery().(type) {
	case *actionv1.Query_Service:
		return p.queryService(ctx, q.Service)
	case *actionv1.Query_ServiceWatch:
		return p.queryWatch(ctx, q.ServiceWatch)
	case *actionv1.Query_Device:
		return p.queryDevice(ctx, q.Device)
	case *actionv1.Query_File:
		return p.queryFile(ctx, q.File)
	case *actionv1.Query_TcpProbe:
		return p.queryProbe(ctx, q.TcpProbe)
	case *actionv1.Query_Host:
		return p.queryHost(ctx)
	case *actionv1.Query_Leases:
		return p.queryLeases(), nil
	case *actionv1.Query_Site, *actionv1.Query_Secret, *actionv1.Query_Coverage:
		return p.queryServer(ctx, q)
	}
	return p.queryMachine(ctx, q)
}

// mayRead ends the run when the capability that a query needs was not declared.
func (p *phaseCalls) mayRead(q *actionv1.Query) error {
	needed := rights.OfQuery(q)
	if needed.GetKind() == actionv1.CapabilityKind_CAPABILITY_KIND_UNSPECIFIED {
		return p.refuse("it asked for something that this agent does not know; update the agent")
	}
	if err := rights.Missing(p.c.action, needed); err != nil {
		return p.refuse("%v", err)
	}
	return nil
}

func (p *phaseCalls) queryService(ctx context.Context, q *actionv1.ServiceQuery) (*actionv1.QueryResult, error) {
	state, err := p.c.r.host.Services.State(ctx, q.GetService())
	if err != nil {
		return nil, err
	}
	p.sighted(state)
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Service{Service: state}}, nil
}

func (p *phaseCalls) queryWatch(ctx context.Context, q *actionv1.ServiceWatch) (*actionv1.QueryResult, error) {
	watched, err := p.c.r.watch(ctx, q)
	if err != nil {
		return nil, err
	}
	p.sighted(watched.GetState())
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_ServiceWatch{ServiceWatch: watched}}, nil
}

// sighted notes when a verification finds that a service does not run: from then on it is out of service, also while the
// service manager starts it again by itself.
func (p *phaseCalls) sighted(s *actionv1.ServiceState) {
	if p.phase == actionv1.Phase_PHASE_VERIFY && !running(s) {
		p.c.result.foundDown(s.GetService())
	}
}

// watch reads a service until the time is over, or until it no longer runs as the same process.
func (r *Runner) watch(ctx context.Context, q *actionv1.ServiceWatch) (*actionv1.ServiceWatchResult, error) {
	begun, pid := time.Now(), q.GetPid()
	for {
		state, err := r.host.Services.State(ctx, q.GetService())
		if err != nil {
			return nil, err
		}
		if pid == 0 {
			pid = state.GetPid()
		}
		elapsed := time.Since(begun)
		holds := state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING && state.GetPid() == pid
		left := q.GetStableFor().AsDuration() - elapsed
		if !holds || left <= 0 {
			return &actionv1.ServiceWatchResult{Stable: holds, State: state, Watched: durationpb.New(elapsed)}, nil
		}
		if err := sleep(ctx, min(left, watchEvery)); err != nil {
			return nil, err
		}
	}
}

func (p *phaseCalls) queryDevice(ctx context.Context, q *actionv1.DeviceQuery) (*actionv1.QueryResult, error) {
	state, err := p.c.r.host.Devices.USB(ctx, q.GetVendor(), q.GetProduct())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Device{Device: state}}, nil
}

func (p *phaseCalls) queryFile(ctx context.Context, q *actionv1.FileQuery) (*actionv1.QueryResult, error) {
	limit := maxFileRead
	if n := q.GetMaxBytes(); n > 0 && n < maxFileRead {
		limit = int(n)
	}
	file, err := readFile(ctx, p.c.r.host.Files, q.GetRoot(), q.GetPath(), limit)
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_File{File: file}}, nil
}

func (p *phaseCalls) queryProbe(ctx context.Context, q *actionv1.TCPProbe) (*actionv1.QueryResult, error) {
	allowed, err := agentAddress(ctx, p.c.r.host.Files)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(q.GetHost(), strconv.FormatUint(uint64(q.GetPort()), 10))
	if !sameAddress(addr, allowed) {
		return nil, p.refuse("it asked to reach %q; it declared to reach the address of agent_url only, which is %q", clip(addr, maxName), allowed)
	}
	timeout := q.GetTimeout().AsDuration()
	if timeout <= 0 {
		timeout = defaultProbe
	}
	result, err := p.c.r.host.Network.ProbeTCP(ctx, addr, min(timeout, maxProbe))
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_TcpProbe{TcpProbe: result}}, nil
}

func (p *phaseCalls) queryHost(ctx context.Context) (*actionv1.QueryResult, error) {
	state, err := p.c.r.host.System.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("this machine: %w", err)
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Host{Host: state}}, nil
}
