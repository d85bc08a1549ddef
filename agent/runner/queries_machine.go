package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

const (
	// queryTimeout bounds a question to the machine: some are answered by a program of the operating system that takes its time.
	queryTimeout = time.Minute
	// maxAnswer bounds an answer, so that it always fits into one message to a plugin.
	maxAnswer = handshake.MaxMessage - 64<<10
)

// queryMachine answers from the machine.
func (p *phaseCalls) queryMachine(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	result, err := p.lookAtMachine(ctx, q)
	if err != nil {
		return nil, err
	}
	if size := proto.Size(result); size > maxAnswer {
		return nil, fmt.Errorf("the answer has %d bytes, at most %d fit into a message: ask for less", size, maxAnswer)
	}
	return result, nil
}

func (p *phaseCalls) lookAtMachine(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	switch q := q.GetQuery().(type) {
	case *actionv1.Query_Config:
		return p.queryConfig(ctx, q.Config)
	case *actionv1.Query_FileList:
		return p.queryFileList(ctx, q.FileList)
	case *actionv1.Query_Registry:
		return p.queryRegistry(ctx, q.Registry)
	case *actionv1.Query_Certificates:
		return p.queryCertificates(ctx, q.Certificates)
	case *actionv1.Query_Bindings:
		return p.queryBindings(ctx)
	case *actionv1.Query_Iis:
		return p.queryIIS(ctx, q.Iis)
	case *actionv1.Query_NetProbe:
		return p.queryNetProbe(ctx, q.NetProbe)
	default:
		return p.lookAtSystem(ctx, q)
	}
}

func (p *phaseCalls) lookAtSystem(ctx context.Context, q any) (*actionv1.QueryResult, error) {
	switch q := q.(type) {
	case *actionv1.Query_Power:
		return p.queryPower(ctx, q.Power)
	case *actionv1.Query_Features:
		return p.queryFeatures(ctx, q.Features)
	case *actionv1.Query_Program:
		return p.queryProgram(ctx, q.Program)
	case *actionv1.Query_Machine:
		return p.queryDetail(ctx)
	case *actionv1.Query_Handles:
		return p.queryHandles(ctx, q.Handles)
	default:
		return nil, p.refuse("it asked for something that this agent does not know; update the agent")
	}
}

func (p *phaseCalls) queryRegistry(ctx context.Context, q *actionv1.RegistryQuery) (*actionv1.QueryResult, error) {
	if !plainValue(q.GetValue()) {
		return nil, p.refuse("it asked for registry value %q, which has a backslash", clip(q.GetValue(), maxName))
	}
	state, err := readRegistry(ctx, p.c.r.host.Registry, q.GetKey(), q.GetValue(), q.GetView32())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Registry{Registry: state}}, nil
}

// readRegistry reads a value of the registry. One that is not there is no error.
func readRegistry(ctx context.Context, registry host.Registry, key, value string, view32 bool) (*actionv1.RegistryState, error) {
	if view32 {
		registry = registry.View32()
	}
	state := &actionv1.RegistryState{Key: key, Value: value, View32: view32}
	levels, err := registry.Levels(ctx, key)
	if err != nil {
		return nil, err
	}
	state.Levels = levels
	data, err := registry.Get(ctx, key, value)
	switch {
	case errors.Is(err, host.ErrNotExist):
		return state, nil
	case err != nil:
		return nil, err
	}
	state.Exists, state.Data = true, data
	return state, nil
}

func (p *phaseCalls) queryCertificates(ctx context.Context, q *actionv1.CertificateQuery) (*actionv1.QueryResult, error) {
	if err := checkStore(q.GetStore()); err != nil {
		return nil, p.refuse("%v", err)
	}
	list, err := p.c.r.host.Certificates.List(ctx, q.GetStore())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Certificates{Certificates: &actionv1.CertificateList{Certificates: list}}}, nil
}

func (p *phaseCalls) queryBindings(ctx context.Context) (*actionv1.QueryResult, error) {
	list, err := p.c.r.host.Bindings.List(ctx)
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Bindings{Bindings: &actionv1.BindingList{Bindings: list}}}, nil
}

func (p *phaseCalls) queryIIS(ctx context.Context, q *actionv1.IISQuery) (*actionv1.QueryResult, error) {
	if err := checkLocations(q.GetLocations()); err != nil {
		return nil, p.refuse("%v", err)
	}
	inventory, err := p.c.r.host.IIS.Inventory(ctx, q.GetLocations()...)
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Iis{Iis: inventory}}, nil
}

func (p *phaseCalls) queryPower(ctx context.Context, q *actionv1.PowerQuery) (*actionv1.QueryResult, error) {
	if err := checkPower(q.GetSetting()); err != nil {
		return nil, p.refuse("%v", err)
	}
	state, err := p.c.r.host.Power.Get(ctx, q.GetSetting())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Power{Power: state}}, nil
}

func (p *phaseCalls) queryFeatures(ctx context.Context, q *actionv1.FeatureQuery) (*actionv1.QueryResult, error) {
	if err := checkFeatures(q.GetFeatures()); err != nil {
		return nil, p.refuse("%v", err)
	}
	states, err := p.c.r.host.Features.State(ctx, q.GetFeatures())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Features{Features: states}}, nil
}

func (p *phaseCalls) queryProgram(ctx context.Context, q *actionv1.ProgramQuery) (*actionv1.QueryResult, error) {
	if err := checkProgram(q.GetProgram()); err != nil {
		return nil, p.refuse("%v", err)
	}
	state, err := p.c.r.host.Programs.Look(ctx, q.GetProgram())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Program{Program: state}}, nil
}

func (p *phaseCalls) queryDetail(ctx context.Context) (*actionv1.QueryResult, error) {
	state, err := p.c.r.host.System.Detail(ctx)
	if err != nil {
		return nil, fmt.Errorf("this machine: %w", err)
	}
	p.c.r.addClock(state)
	if state.UserSessions, err = p.c.r.sessions(ctx); err != nil {
		state.Unknown = append(state.Unknown, "user_sessions")
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Machine{Machine: state}}, nil
}

func (p *phaseCalls) queryHandles(ctx context.Context, q *actionv1.HandleQuery) (*actionv1.QueryResult, error) {
	holders, err := p.c.r.host.Files.Holders(ctx, q.GetRoot())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Handles{Handles: &actionv1.HandleList{Holders: holders}}}, nil
}
