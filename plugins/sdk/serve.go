package sdk

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

// maxCredentials bounds the line of credentials on standard input, in bytes.
const maxCredentials = 64 << 10

// Serve is a plugin's whole main: it serves the actions to the agent that started the process, and returns when the agent is
// done. The name is the executable's name without ".exe"; the version is a semantic one. What the process writes to standard
// output and standard error is kept with the result, the last 64 KiB of it.
func Serve(name, version string, actions ...Action) {
	s, err := newServer(name, version, actions)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv(handshake.CookieKey) != handshake.CookieValue {
		fmt.Fprintf(os.Stderr, "%s %s is an action plugin of Bandfleet: the agent starts it. See `fleet-agent plugins --help`.\n", name, version)
		os.Exit(1)
	}
	s.beforeRun = keepOutput()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  handshake.ProtocolVersion,
			MagicCookieKey:   handshake.CookieKey,
			MagicCookieValue: handshake.CookieValue,
		},
		Plugins:     goplugin.PluginSet{handshake.PluginName: &grpcPlugin{server: s}},
		TLSProvider: func() (*tls.Config, error) { return credentialsFrom(os.Stdin) },
		GRPCServer:  newGRPCServer,
		Logger:      hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
	})
}

// keepOutput returns a function that undoes go-plugin's redirection of standard output and standard error into a stream of its
// own: what was written there just before the process ended would be lost. The agent reads both to their end.
func keepOutput() func() {
	stdout, stderr := os.Stdout, os.Stderr
	return sync.OnceFunc(func() { os.Stdout, os.Stderr = stdout, stderr })
}

func newGRPCServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(handshake.MaxMessage), grpc.MaxSendMsgSize(handshake.MaxMessage))...)
}

// credentialsFrom reads the credentials and then watches the pipe: its end means that the agent is gone, however it went, and
// nobody is left to work for.
func credentialsFrom(stdin io.Reader) (*tls.Config, error) {
	in := bufio.NewReader(stdin)
	line, err := readLine(in, maxCredentials)
	if err != nil {
		return nil, fmt.Errorf("credentials from the agent: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(0)
	}()
	return handshake.PluginTLS(line)
}

func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for len(line) <= limit {
		b, err := in.ReadByte()
		if err != nil {
			return nil, err
		}
		if b == '\n' {
			return line, nil
		}
		line = append(line, b)
	}
	return nil, errors.New("the line is too long")
}

// grpcPlugin serves the ActionService in go-plugin's server.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	server *server
}

func (p *grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	actionv1.RegisterActionServiceServer(s, p.server)
	return nil
}

func (p *grpcPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin serves, it does not call")
}
