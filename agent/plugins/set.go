package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Set is the plugins that may run on this machine. It implements runner.Plugins, does not change, and is safe for concurrent
// use.
type Set struct {
	pins    []Pin
	actions map[string]offer
	log     *slog.Logger
}

// offer is an action and the pin of the plugin that has it.
type offer struct {
	pin    Pin
	action *actionv1.Action
}

// NewSet checks the pins together: absolute paths, this agent's protocol version, and no plugin or action named twice. Files are
// checked when a plugin is started.
func NewSet(pins []Pin, log *slog.Logger) (*Set, error) {
	s := &Set{pins: pins, actions: map[string]offer{}, log: log}
	var problems []error
	seen := map[string]bool{}
	for _, p := range pins {
		name := p.Manifest.GetName()
		if err := checkPin(p); err != nil {
			problems = append(problems, err)
			continue
		}
		if seen[name] {
			problems = append(problems, fmt.Errorf("plugin %q: pinned twice", name))
			continue
		}
		seen[name] = true
		problems = append(problems, s.addActions(p)...)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) addActions(p Pin) (problems []error) {
	for _, a := range p.Manifest.GetActions() {
		if other, taken := s.actions[a.GetName()]; taken {
			problems = append(problems, fmt.Errorf("plugin %q: action %q is offered by plugin %q already",
				p.Manifest.GetName(), a.GetName(), other.pin.Manifest.GetName()))
			continue
		}
		s.actions[a.GetName()] = offer{p, a}
	}
	return problems
}

// Find returns the plugin that offers an action, and a copy of the action's manifest.
func (s *Set) Find(action string) (runner.Plugin, *actionv1.Action, bool) {
	o, ok := s.actions[action]
	if !ok {
		return nil, nil, false
	}
	return &plugin{pin: o.pin, log: s.log}, proto.CloneOf(o.action), true
}

// Report lists the plugins as the server is told of them.
func (s *Set) Report() []*agentv1.Plugin {
	out := make([]*agentv1.Plugin, 0, len(s.pins))
	for _, p := range s.pins {
		out = append(out, &agentv1.Plugin{Sha256: p.SHA256, Manifest: proto.CloneOf(p.Manifest)})
	}
	return out
}

// plugin is one pinned plugin.
type plugin struct {
	pin Pin
	log *slog.Logger
}

var _ runner.Plugin = (*plugin)(nil)

func (p *plugin) Name() string    { return p.pin.Manifest.GetName() }
func (p *plugin) Version() string { return p.pin.Manifest.GetVersion() }
func (p *plugin) SHA256() string  { return p.pin.SHA256 }

// Launch starts the plugin if its file is the pinned one and its manifest, asked for again, is the pinned one too.
func (p *plugin) Launch(ctx context.Context, output io.Writer) (runner.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	proc, err := start(ctx, p.pin, output)
	if err != nil {
		return nil, err
	}
	m, err := proc.describe(ctx)
	if err == nil && !proto.Equal(m, p.pin.Manifest) {
		err = &runner.RefusedError{Message: "it describes itself other than when it was pinned: reinstall the agent and enrol again"}
	}
	if err != nil {
		return nil, errors.Join(err, proc.Close())
	}
	p.log.Debug("plugin started", "plugin", p.Name(), "version", p.Version(), "pid", proc.child.ID())
	return proc, nil
}
