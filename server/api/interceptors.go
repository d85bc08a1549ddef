package api

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
)

const (
	// unaryTimeout bounds a unary call whatever its caller asked for.
	unaryTimeout = time.Minute
	// recheckAfter is how old the authentication of an operator's stream may be when something is sent on it.
	recheckAfter = 2 * time.Second
)

// Guard stands around every handler: nothing reaches one without having passed the table of package access.
type Guard struct {
	authorizer *access.Authorizer
	log        *slog.Logger
}

// NewGuard makes the guard of a server.
func NewGuard(a *access.Authorizer, log *slog.Logger) *Guard { return &Guard{authorizer: a, log: log} }

// Unary is the interceptor of unary calls.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	c := g.begin(info.FullMethod)
	defer func() { err = c.end(recover(), err) }()
	message, ok := req.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("api: request %T is no protobuf message", req)
	}
	if ctx, err = c.admit(ctx); err != nil {
		return nil, err
	}
	if err := g.authorizer.Authorize(ctx, c.principal, c.method, message); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is the interceptor of streams. An operator's request is authorised when it arrives, as the stream's first message.
func (g *Guard) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	c := g.begin(info.FullMethod)
	defer func() { err = c.end(recover(), err) }()
	ctx, err := c.admit(stream.Context())
	if err != nil {
		return err
	}
	return handler(srv, &guardedStream{ServerStream: stream, ctx: ctx, call: c, checked: time.Now()})
}

// call is one call on its way through the guard.
type call struct {
	*Guard
	method    string
	begun     time.Time
	leaf      *x509.Certificate
	principal *access.Principal
}

func (g *Guard) begin(method string) *call { return &call{Guard: g, method: method, begun: time.Now()} }

// admit finds out who calls and whether the RPC is for such a caller. Where no certificate is needed none is looked at, so
// that a machine with an old one can still enrol.
func (c *call) admit(ctx context.Context) (context.Context, error) {
	if rule, ok := c.authorizer.Rule(c.method); ok && (rule.Peer == access.Agent || rule.Peer == access.Operator) {
		if c.leaf = verifiedLeaf(ctx); c.leaf != nil {
			p, err := c.authorizer.Authenticate(ctx, c.leaf)
			if err != nil {
				return nil, err
			}
			c.principal = p
		}
	}
	return access.With(ctx, c.principal), c.authorizer.AuthorizePeer(c.principal, c.method)
}

// verifiedLeaf returns the client's certificate if it was verified against the fleet's CA.
func verifiedLeaf(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

// end contains a panic, translates the error and logs the call in one line.
func (c *call) end(panicked any, err error) error {
	if panicked != nil {
		err = fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
	}
	err = Status(c.log, c.method, err)
	caller := "none"
	if c.principal != nil {
		caller = c.principal.Name.String()
	}
	level := slog.LevelDebug
	switch status.Code(err) {
	// Unavailable is what ten thousand sessions end with when the server stops.
	case codes.OK, codes.Canceled, codes.NotFound, codes.Unavailable:
	default:
		level = slog.LevelInfo
	}
	c.log.Log(context.Background(), level, "call", "method", c.method, "caller", caller, "code", status.Code(err).String(),
		"took", time.Since(c.begun).Round(time.Microsecond), "answer", status.Convert(err).Message())
	return err
}

// guardedStream authorises an operator's request, and looks again now and then whether the operator is still one.
type guardedStream struct {
	grpc.ServerStream
	ctx        context.Context
	call       *call
	authorised bool
	// checked is used by SendMsg only, of which one runs at a time.
	checked time.Time
}

// Context returns the stream's context with the principal.
func (s *guardedStream) Context() context.Context { return s.ctx }

// RecvMsg authorises the first message.
func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil || s.authorised {
		return err
	}
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("api: message %T is no protobuf message", m)
	}
	if err := s.call.authorizer.Authorize(s.ctx, s.call.principal, s.call.method, message); err != nil {
		return err
	}
	s.authorised = true
	return nil
}

// SendMsg refuses to tell anything to an operator who was revoked meanwhile. Agents' sessions are cut by who revokes them.
func (s *guardedStream) SendMsg(m any) error {
	p := s.call.principal
	if p != nil && p.Name.Kind == identity.KindOperator && time.Since(s.checked) > recheckAfter {
		if _, err := s.call.authorizer.Authenticate(s.ctx, s.call.leaf); err != nil {
			return err
		}
		s.checked = time.Now()
	}
	return s.ServerStream.SendMsg(m)
}
