package plugins

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// A run of ble-restart by the first release's endpoint plugin, as it was spoken between agent and plugin: one message a line.
//
//go:embed testdata/run-of-first-release.jsonl
var runOfFirstRelease []byte

// What it said of itself.
//
//go:embed testdata/manifest-of-first-release.json
var manifestOfFirstRelease []byte

// spoken is one message of the recording; exactly one of the two is set.
type spoken struct {
	agent  *actionv1.RunRequest
	plugin *actionv1.RunResponse
}

func firstReleaseRun() ([]spoken, error) {
	var all []spoken
	for line := range bytes.Lines(runOfFirstRelease) {
		var m struct {
			From    string          `json:"from"`
			Message json.RawMessage `json:"message"`
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, err
		}
		s := spoken{}
		var to proto.Message
		if m.From == "agent" {
			s.agent = &actionv1.RunRequest{}
			to = s.agent
		} else {
			s.plugin = &actionv1.RunResponse{}
			to = s.plugin
		}
		if err := protojson.Unmarshal(m.Message, to); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Message, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// ofFirstRelease is that plugin. Nothing of it may come from today's SDK or handshake: what it expects is written down here as the first
// release had it.
func ofFirstRelease() {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: 1, MagicCookieKey: "BANDFLEET_PLUGIN", MagicCookieValue: "a6b3f1c04d1f4f0f9d0c5f2b7f0d8e21",
		},
		Plugins:     goplugin.PluginSet{"action": player{}},
		TLSProvider: firstReleaseTLS,
		GRPCServer:  goplugin.DefaultGRPCServer,
	})
}

// firstReleaseTLS reads one line of base64: PEM blocks of its certificate, its key and the agent's certificate.
func firstReleaseTLS() (*tls.Config, error) {
	line, err := bufio.NewReader(os.Stdin).ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	text, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(line)))
	if err != nil {
		return nil, err
	}
	cert, rest := pem.Decode(text)
	key, rest := pem.Decode(rest)
	own, err := tls.X509KeyPair(pem.EncodeToMemory(cert), pem.EncodeToMemory(key))
	if err != nil {
		return nil, err
	}
	agents := x509.NewCertPool()
	if !agents.AppendCertsFromPEM(rest) {
		return nil, fmt.Errorf("no certificate of the agent")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: agents,
	}, nil
}

// player plays the plugin's side of the recording.
type player struct {
	goplugin.NetRPCUnsupportedPlugin
	actionv1.UnimplementedActionServiceServer
}

func (p player) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	actionv1.RegisterActionServiceServer(s, p)
	return nil
}

func (player) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("a plugin serves, it does not call")
}

func (player) Describe(context.Context, *actionv1.DescribeRequest) (*actionv1.DescribeResponse, error) {
	m := &actionv1.Manifest{}
	return &actionv1.DescribeResponse{Manifest: m}, protojson.Unmarshal(manifestOfFirstRelease, m)
}

// Run waits for what the agent said in the recording, and ends when what it hears is something else.
func (player) Run(stream grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error {
	all, err := firstReleaseRun()
	if err != nil {
		return err
	}
	heard, err := stream.Recv()
	if err != nil {
		return err
	}
	for i := phaseOf(all, heard.GetStart()); i < len(all); i++ {
		switch m := all[i]; {
		case m.agent.GetStart() != nil:
			return nil
		case m.plugin != nil:
			err = stream.Send(m.plugin)
		default:
			if heard, err = stream.Recv(); err == nil && !proto.Equal(heard, m.agent) {
				err = fmt.Errorf("heard %v, want %v", heard, m.agent)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// phaseOf returns the place after the start of a phase.
func phaseOf(all []spoken, start *actionv1.Start) int {
	for i, m := range all {
		if s := m.agent.GetStart(); s != nil && s.GetPhase() == start.GetPhase() {
			return i + 1
		}
	}
	return len(all)
}

// script answers a plugin's calls with the recorded replies, and notes calls that were not recorded.
type script struct {
	t       *testing.T
	replies []*actionv1.Reply
	calls   []*actionv1.Call
	heard   int
}

func (s *script) next(same func(*actionv1.Call) bool) *actionv1.Reply {
	if s.heard == len(s.calls) || !same(s.calls[s.heard]) {
		s.t.Errorf("call %d arrived as another than the plugin made", s.heard+1)
		return &actionv1.Reply{}
	}
	s.heard++
	return s.replies[s.heard-1]
}

func (s *script) Query(_ context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	return s.next(func(c *actionv1.Call) bool { return proto.Equal(c.GetQuery(), q) }).GetQuery(), nil
}

func (s *script) Effect(_ context.Context, e *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	return s.next(func(c *actionv1.Call) bool { return proto.Equal(c.GetEffect(), e) }).GetEffect(), nil
}

func (s *script) Wait(context.Context, time.Duration) error {
	return fmt.Errorf("it did not wait in the recording")
}
func (s *script) Progress(*actionv1.Progress) {}
func (s *script) Evidence(*actionv1.Evidence) {}

func (s *script) Finding(*actionv1.Finding) {}

func (s *script) Certificates(*actionv1.CertificateReport) {}

// launchFirstRelease pins the plugin with the manifest that it had and starts it.
func launchFirstRelease(t *testing.T) runner.Process {
	t.Helper()
	pin := pinOf(t, install(t, "endpoint"), "endpoint")
	pin.Manifest = &actionv1.Manifest{}
	if err := protojson.Unmarshal(manifestOfFirstRelease, pin.Manifest); err != nil {
		t.Fatal(err)
	}
	set, err := NewSet([]Pin{pin}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	plugin, _, ok := set.Find("ble-restart")
	if !ok {
		t.Fatal("its action is not offered any more")
	}
	proc, err := plugin.Launch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return proc
}

func TestAPluginOfTheFirstReleaseIsServed(t *testing.T) {
	all, err := firstReleaseRun()
	if err != nil {
		t.Fatalf("the recording is not understood any more: %v", err)
	}
	proc := launchFirstRelease(t)
	defer proc.Close()
	phases := 0
	for i, m := range all {
		if m.agent.GetStart() == nil {
			continue
		}
		phases++
		calls := &script{t: t}
		var finish *actionv1.Finish
		for _, m := range all[i+1:] {
			if m.agent.GetStart() != nil {
				break
			}
			if c := m.plugin.GetCall(); c != nil {
				calls.calls = append(calls.calls, c)
			}
			if r := m.agent.GetReply(); r != nil {
				calls.replies = append(calls.replies, r)
			}
			if f := m.plugin.GetFinish(); f != nil {
				finish = f
			}
		}
		got, err := proc.Phase(t.Context(), m.agent.GetStart(), calls)
		if err != nil || !proto.Equal(got, finish) || calls.heard != len(calls.calls) {
			t.Errorf("phase %v ended with %v, %v after %d of %d calls; the plugin said %v",
				m.agent.GetStart().GetPhase(), got, err, calls.heard, len(calls.calls), finish)
		}
	}
	if phases != 3 {
		t.Errorf("the recording holds %d phases, want plan, apply and verify", phases)
	}
}
