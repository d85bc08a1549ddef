package plugins

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	pluginrunner "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

// startTimeout is how long a plugin may take to start and describe itself.
const startTimeout = 10 * time.Second

// process is one running plugin.
type process struct {
	child  *child
	client *goplugin.Client
	rpc    actionv1.ActionServiceClient
	output *tail
	// dir is the private folder that go-plugin makes for the process's socket; it is the working directory too.
	dir string
}

var _ runner.Process = (*process)(nil)

// start checks a plugin's file and starts it. ctx bounds the start. What the plugin writes goes to output too, unless that is nil.
func start(ctx context.Context, p Pin, output io.Writer) (*process, error) {
	exe, err := openPinned(p)
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	credentials, err := handshake.NewCredentials()
	if err != nil {
		return nil, err
	}
	proc := &process{output: &tail{whole: output}}
	proc.child = newChild(exe, credentials.PluginLine, proc.output)
	proc.client = goplugin.NewClient(proc.clientConfig(credentials.Agent))
	if err := proc.connect(ctx); err != nil {
		return nil, errors.Join(proc.startError(ctx, err), proc.Close())
	}
	return proc, nil
}

// clientConfig is how go-plugin is to treat the process: nothing inherited, our credentials, our child.
func (p *process) clientConfig(agent *tls.Config) *goplugin.ClientConfig {
	return &goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  handshake.ProtocolVersion,
			MagicCookieKey:   handshake.CookieKey,
			MagicCookieValue: handshake.CookieValue,
		},
		Plugins:          goplugin.PluginSet{handshake.PluginName: clientPlugin{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		TLSConfig:        agent,
		SkipHostEnv:      true,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
		SyncStdout:       p.output,
		SyncStderr:       p.output,
		// The context of the start ends first, which ends the process.
		StartTimeout: 2 * startTimeout,
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(handshake.MaxMessage), grpc.MaxCallSendMsgSize(handshake.MaxMessage))},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, dir string) (pluginrunner.Runner, error) {
			p.dir, p.child.cmd.Dir, p.child.cmd.Env = dir, dir, spec.Env
			return p.child, nil
		},
	}
}

// connect starts the process and connects to it; when ctx ends first, the process is ended.
func (p *process) connect(ctx context.Context) error {
	stop := context.AfterFunc(ctx, p.child.tree.end)
	defer stop()
	rpc, err := dispense(p.client)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.rpc = rpc
	return err
}

func dispense(c *goplugin.Client) (actionv1.ActionServiceClient, error) {
	conn, err := c.Client()
	if err != nil {
		return nil, err
	}
	raw, err := conn.Dispense(handshake.PluginName)
	if err != nil {
		return nil, err
	}
	return raw.(actionv1.ActionServiceClient), nil
}

// startError says in a clause of ours why a plugin did not start.
func (p *process) startError(ctx context.Context, err error) error {
	if v := p.child.protocol(); v != "" && v != fmt.Sprint(handshake.ProtocolVersion) {
		return &runner.RefusedError{Message: versionProblem(v)}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if ctx.Err() != nil {
		return fmt.Errorf("it did not answer in time after its start (at most %s; last output: %q): reinstall the agent", startTimeout, p.output.lastLine())
	}
	if p.child.ID() == "" {
		return fmt.Errorf("could not be started: %w: reinstall the agent", err)
	}
	return fmt.Errorf("it ended, or spoke something else than the plugin protocol, when it was started (last output: %q): reinstall the agent",
		p.output.lastLine())
}

// describe asks the plugin for its manifest.
func (p *process) describe(ctx context.Context) (*actionv1.Manifest, error) {
	res, err := p.rpc.Describe(ctx, &actionv1.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("it does not describe itself: %s", status.Convert(err).Message())
	}
	return res.GetManifest(), nil
}

// Output implements runner.Process.
func (p *process) Output() (string, bool) { return p.output.Text() }

// Close implements runner.Process. The process is ended without asking: it holds nothing that would need an orderly end.
func (p *process) Close() error {
	_ = p.child.Kill(context.Background())
	// What is left for go-plugin is its own connection, goroutines and socket folder.
	p.client.Kill()
	return os.RemoveAll(p.dir)
}

// clientPlugin dispenses the agent's end of the ActionService in go-plugin's client.
type clientPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (clientPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("an agent calls, it does not serve")
}

func (clientPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return actionv1.NewActionServiceClient(conn), nil
}
