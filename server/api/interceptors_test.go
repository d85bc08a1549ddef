package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/params"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/api"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// as returns the context of a call over a connection with this verified certificate.
func as(t *testing.T, cert *tls.Certificate) context.Context {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	state := tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}, PeerCertificates: []*x509.Certificate{leaf}}
	return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}})
}

func unary(ctx context.Context, f *fixture, method string, req proto.Message, handler grpc.UnaryHandler) error {
	_, err := f.guard.Unary(ctx, req, &grpc.UnaryServerInfo{FullMethod: method}, handler)
	return err
}

const whoAmI = "/fleet.v1.AccessService/WhoAmI"

// What goes wrong inside is told with an id only; the log has the rest.
func TestInternalErrorsTellOnlyAnID(t *testing.T) {
	f := newDomain(t)
	ctx := as(t, f.operator("ada", admin, "*"))
	for name, handler := range map[string]grpc.UnaryHandler{
		"error": func(context.Context, any) (any, error) { return nil, errors.New("the secret cause") },
		"panic": func(context.Context, any) (any, error) { panic("the secret cause") },
		"store": func(context.Context, any) (any, error) {
			return nil, fmt.Errorf("the secret cause: %w", store.ErrNotFound)
		},
	} {
		err := unary(ctx, f, whoAmI, &fleetv1.WhoAmIRequest{}, handler)
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") || detailsOf(err).next == "" {
			t.Errorf("%s: the caller is told %v", name, err)
		}
		id := strings.TrimPrefix(status.Convert(err).Message(), "internal error ")
		if log := f.log.String(); !strings.Contains(log, "the secret cause") || strings.Count(log, "id="+id) != 1 {
			t.Errorf("%s: the log must tell the cause once, under id %q: %s", name, id, log)
		}
	}
}

// When the server stops, ten thousand sessions end with it: that is one event and not ten thousand lines.
func TestAStopIsNotLoggedForEverySession(t *testing.T) {
	f := newDomain(t)
	ctx := as(t, f.operator("ada", admin, "*"))
	for level, err := range map[string]error{
		"level=DEBUG": refusal.New(refusal.Unavailable, "STOPPING", "the server is stopping"),
		"level=INFO":  refusal.New(refusal.Denied, "X", "no"),
	} {
		guard := api.NewGuard(f.authorizer, slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		f.log.text.Reset()
		_, _ = guard.Unary(ctx, &fleetv1.WhoAmIRequest{}, &grpc.UnaryServerInfo{FullMethod: whoAmI},
			func(context.Context, any) (any, error) { return nil, err })
		if !strings.Contains(f.log.String(), level) {
			t.Errorf("%v is logged as %q, want %s", err, f.log.String(), level)
		}
	}
}

// Who asks learns that nothing was changed and what to do, and not what the disk said.
func TestAFullDiskIsSaid(t *testing.T) {
	f := newDomain(t)
	err := unary(as(t, f.operator("ada", admin, "*")), f, whoAmI, &fleetv1.WhoAmIRequest{}, func(context.Context, any) (any, error) {
		return nil, fmt.Errorf("store: %w: write /var/lib/store.db: no space left on device", store.ErrUnwritable)
	})
	d := detailsOf(err)
	if status.Code(err) != codes.Internal || d.reason != "STORE_UNWRITABLE" || !strings.Contains(d.next, "make room") || strings.Contains(err.Error(), "/var") {
		t.Errorf("%v with %+v, want that the store cannot be written, and to make room", err, d)
	}
	if !strings.Contains(f.log.String(), "no space left on device") {
		t.Error("the log does not say what the disk said")
	}
}

func TestStatusCodes(t *testing.T) {
	f := newDomain(t)
	ctx := as(t, f.operator("ada", admin, "*"))
	for want, err := range map[codes.Code]error{
		codes.InvalidArgument:    &params.Error{Action: "ble-restart", Problems: []params.Problem{{Param: "stop_timeout", Reason: "is 61s"}}},
		codes.AlreadyExists:      refusal.New(refusal.Exists, "X", "x"),
		codes.FailedPrecondition: refusal.New(refusal.Precondition, "X", "x"),
		codes.OutOfRange:         refusal.New(refusal.OutOfRange, "X", "x"),
		codes.DataLoss:           refusal.New(refusal.Lost, "X", "x"),
		codes.Aborted:            refusal.New(refusal.Conflict, "X", "x"),
		codes.ResourceExhausted:  fmt.Errorf("wrapped: %w", refusal.New(refusal.Exhausted, "X", "x")),
		codes.Unavailable:        store.ErrClosed,
		codes.DeadlineExceeded:   context.DeadlineExceeded,
		codes.Canceled:           context.Canceled,
		codes.Unimplemented:      status.Error(codes.Unimplemented, "as it is"),
	} {
		got := unary(ctx, f, whoAmI, &fleetv1.WhoAmIRequest{}, func(context.Context, any) (any, error) { return nil, err })
		if status.Code(got) != want {
			t.Errorf("%v becomes %v, want %s", err, got, want)
		}
		if want == codes.InvalidArgument && detailsOf(got).field != "spec.params[stop_timeout]" {
			t.Errorf("details %+v, want the parameter as field", detailsOf(got))
		}
	}
}

func TestHandlersAreNotReachedWithoutRight(t *testing.T) {
	f := newDomain(t)
	vera := as(t, f.operator("vera", viewer, "lyon"))
	reached := func(context.Context, any) (any, error) { t.Error("the handler was reached"); return nil, nil }
	unverified := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{}})
	for _, c := range []struct {
		ctx    context.Context
		method string
		req    proto.Message
	}{
		{vera, "/fleet.v1.InventoryService/CreateSite", &fleetv1.CreateSiteRequest{}},
		{vera, "/fleet.v1.InventoryService/GetSite", &fleetv1.GetSiteRequest{Name: "turin"}},
		{vera, "/fleet.v1.InventoryService/Unheard", &fleetv1.GetSiteRequest{Name: "lyon"}},
		{vera, "/agent.v1.AgentService/Renew", &fleetv1.GetSiteRequest{}},
		{t.Context(), whoAmI, &fleetv1.WhoAmIRequest{}},
		{unverified, whoAmI, &fleetv1.WhoAmIRequest{}},
	} {
		if err := unary(c.ctx, f, c.method, c.req, reached); err == nil {
			t.Errorf("%s was let through", c.method)
		}
	}
	err := unary(vera, f, whoAmI, &fleetv1.WhoAmIRequest{}, func(ctx context.Context, _ any) (any, error) {
		if _, ok := ctx.Deadline(); !ok || access.From(ctx).Name.ID != "vera" {
			t.Error("a handler needs a deadline and the caller")
		}
		return nil, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// stream is a server stream whose one request is req.
type stream struct {
	grpc.ServerStream
	ctx  context.Context
	req  proto.Message
	sent int
}

func (s *stream) Context() context.Context { return s.ctx }
func (s *stream) SendMsg(any) error        { s.sent++; return nil }
func (s *stream) RecvMsg(m any) error      { proto.Merge(m.(proto.Message), s.req); return nil }

var watchJob = &grpc.StreamServerInfo{FullMethod: "/fleet.v1.JobService/WatchJob"}

func TestStreamsAreAuthorisedByTheirRequest(t *testing.T) {
	f := newDomain(t)
	lyon, turin := as(t, f.operator("vera", viewer, "lyon")), as(t, f.operator("tom", viewer, "turin"))
	handler := func(_ any, s grpc.ServerStream) error { return s.RecvMsg(&fleetv1.WatchJobRequest{}) }
	if err := f.guard.Stream(nil, &stream{ctx: lyon, req: &fleetv1.WatchJobRequest{Id: "j-lyon"}}, watchJob, handler); err != nil {
		t.Errorf("a job of the own site: %v", err)
	}
	if err := f.guard.Stream(nil, &stream{ctx: turin, req: &fleetv1.WatchJobRequest{Id: "j-lyon"}}, watchJob, handler); status.Code(err) != codes.NotFound {
		t.Errorf("a job of another site: %v", err)
	}
	if err := f.guard.Stream(nil, &stream{ctx: t.Context(), req: &fleetv1.WatchJobRequest{Id: "j-lyon"}}, watchJob, handler); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without certificate: %v", err)
	}
	err := f.guard.Stream(nil, &stream{ctx: lyon, req: &fleetv1.WatchJobRequest{Id: "j-lyon"}}, watchJob, func(any, grpc.ServerStream) error { panic("oh") })
	if status.Code(err) != codes.Internal {
		t.Errorf("a panic: %v", err)
	}
}

// A revoked operator learns nothing more, also on a stream that was open.
func TestRevocationEndsOpenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDomain(t)
		under := &stream{ctx: as(t, f.operator("vera", viewer, "lyon")), req: &fleetv1.WatchJobRequest{Id: "j-lyon"}}
		err := f.guard.Stream(nil, under, watchJob, func(_ any, s grpc.ServerStream) error {
			if err := errors.Join(s.RecvMsg(&fleetv1.WatchJobRequest{}), s.SendMsg(nil)); err != nil {
				t.Fatal(err)
			}
			if _, err := f.inventory.RevokeOperator(t.Context(), boss, &fleetv1.RevokeOperatorRequest{Name: "vera"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			return s.SendMsg(nil)
		})
		if status.Code(err) != codes.Unauthenticated || under.sent != 1 {
			t.Errorf("%d messages were sent and the stream ended with %v", under.sent, err)
		}
	})
}

func TestStatusOfNothingIsNothing(t *testing.T) {
	if err := api.Status(nil, "", nil); err != nil {
		t.Error(err)
	}
}
