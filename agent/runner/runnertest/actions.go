package runnertest

import (
	"context"
	"io"
	"strings"
	"sync"

	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Actions offers actions without a process, as the plugin "test".
func Actions(actions ...sdk.Action) runner.Plugins {
	return &inProcess{actions: actions, begun: map[actionv1.Phase]int{}}
}

type inProcess struct {
	actions []sdk.Action

	mu    sync.Mutex
	begun map[actionv1.Phase]int
}

// Find implements runner.Plugins.
func (p *inProcess) Find(action string) (runner.Plugin, *actionv1.Action, bool) {
	for _, a := range p.actions {
		if m := a.Manifest(); m.GetName() == action {
			return plugin{p, a}, m, true
		}
	}
	return nil, nil, false
}

func (p *inProcess) begin(phase actionv1.Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun[phase]++
}

// applied counts how often an apply phase was begun.
func (p *inProcess) applied() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun[actionv1.Phase_PHASE_APPLY]
}

// plugin is one action as a plugin and as its process.
type plugin struct {
	in     *inProcess
	action sdk.Action
}

func (plugin) Name() string    { return "test" }
func (plugin) Version() string { return "0.0.0" }
func (plugin) SHA256() string  { return strings.Repeat("0", 64) }

func (p plugin) Launch(context.Context, io.Writer) (runner.Process, error) { return p, nil }

func (p plugin) Phase(ctx context.Context, start *actionv1.Start, calls runner.Calls) (*actionv1.Finish, error) {
	p.in.begin(start.GetPhase())
	return sdk.RunPhase(ctx, p.action, start, calls)
}

func (plugin) Output() (string, bool) { return "", false }
func (plugin) Close() error           { return nil }
