package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

// plugins is one plugin for all agents, without processes. It implements runner.Plugins.
type plugins struct {
	manifest *actionv1.Manifest
	sha256   string
	actions  []sdk.Action
}

func newPlugins() (*plugins, error) {
	p := &plugins{actions: []sdk.Action{restart{}, check{}, ensure{}, probe{}}}
	p.manifest = &actionv1.Manifest{Name: "simulated", Version: "1.0.0", ProtocolVersion: handshake.ProtocolVersion}
	for _, a := range p.actions {
		p.manifest.Actions = append(p.manifest.Actions, a.Manifest())
	}
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(p.manifest)
	sum := sha256.Sum256(content)
	p.sha256 = hex.EncodeToString(sum[:])
	return p, err
}

func (p *plugins) report() []*agentv1.Plugin {
	return []*agentv1.Plugin{{Sha256: p.sha256, Manifest: p.manifest}}
}

// Find implements runner.Plugins.
func (p *plugins) Find(action string) (runner.Plugin, *actionv1.Action, bool) {
	i := slices.IndexFunc(p.actions, func(a sdk.Action) bool { return a.Manifest().GetName() == action })
	if i < 0 {
		return nil, nil, false
	}
	return &plugin{p, p.actions[i]}, p.manifest.GetActions()[i], true
}

// plugin is the plugin, to run one of its actions.
type plugin struct {
	*plugins
	action sdk.Action
}

// Name implements runner.Plugin.
func (p *plugin) Name() string { return p.manifest.GetName() }

// Version implements runner.Plugin.
func (p *plugin) Version() string { return p.manifest.GetVersion() }

// SHA256 implements runner.Plugin.
func (p *plugin) SHA256() string { return p.sha256 }

// Launch implements runner.Plugin.
func (p *plugin) Launch(context.Context, io.Writer) (runner.Process, error) {
	return process{p.action}, nil
}

// process is an action that runs in this process.
type process struct{ action sdk.Action }

// Phase implements runner.Process.
func (p process) Phase(ctx context.Context, start *actionv1.Start, calls runner.Calls) (*actionv1.Finish, error) {
	return sdk.RunPhase(ctx, p.action, start, calls)
}

// Output implements runner.Process.
func (process) Output() (string, bool) { return "", false }

// Close implements runner.Process.
func (process) Close() error { return nil }
