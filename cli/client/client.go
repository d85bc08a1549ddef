package client

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// maxMessage is the largest message that is taken, in bytes: a page of tasks holds what plugins wrote.
const maxMessage = 64 << 20

// Client calls one server. Its methods return *exit.Error and nothing else.
type Client struct {
	Inventory   fleetv1.InventoryServiceClient
	Access      fleetv1.AccessServiceClient
	Jobs        fleetv1.JobServiceClient
	Artifacts   fleetv1.ArtifactServiceClient
	Schedules   fleetv1.ScheduleServiceClient
	Guided      fleetv1.GuidedServiceClient
	Maintenance fleetv1.MaintenanceServiceClient
	Secrets     fleetv1.SecretServiceClient
	// Certificates are those of machines and of the fleet itself.
	Certificates fleetv1.CertificateServiceClient
	// Notifications say who is told of what.
	Notifications fleetv1.NotificationServiceClient

	conn *grpc.ClientConn
}

// Dial prepares a connection; it is made with the first call. timeout bounds each call that is not a stream.
func Dial(c identity.Context, timeout time.Duration) (*Client, error) {
	config, err := c.TLS()
	if err != nil {
		return nil, err
	}
	mapper := failures{server: c.Server, timeout: timeout}
	conn, err := grpc.NewClient("passthrough:///"+c.Server,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		// Bounds a watch on a connection that died silently: a ping after 20 s of silence, 10 s for its answer.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithChainUnaryInterceptor(mapper.unary),
		grpc.WithChainStreamInterceptor(mapper.stream),
		grpc.WithConnectParams(connectParams()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	)
	if err != nil {
		return nil, mapper.explain(err)
	}
	return &Client{
		Inventory:   fleetv1.NewInventoryServiceClient(conn),
		Access:      fleetv1.NewAccessServiceClient(conn),
		Jobs:        fleetv1.NewJobServiceClient(conn),
		Artifacts:   fleetv1.NewArtifactServiceClient(conn),
		Schedules:   fleetv1.NewScheduleServiceClient(conn),
		Guided:      fleetv1.NewGuidedServiceClient(conn),
		Maintenance: fleetv1.NewMaintenanceServiceClient(conn),
		Secrets:     fleetv1.NewSecretServiceClient(conn),

		Certificates:  fleetv1.NewCertificateServiceClient(conn),
		Notifications: fleetv1.NewNotificationServiceClient(conn),

		conn: conn,
	}, nil
}

// connectParams keeps the pause between attempts to connect short: a person is waiting.
func connectParams() grpc.ConnectParams {
	p := grpc.ConnectParams{MinConnectTimeout: 10 * time.Second}
	p.Backoff.BaseDelay = 100 * time.Millisecond
	p.Backoff.Multiplier = 1.6
	p.Backoff.Jitter = 0.2
	p.Backoff.MaxDelay = 2 * time.Second
	return p
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// unary gives a call its deadline and maps its error.
func (f failures) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return f.explain(invoke(ctx, method, req, reply, cc, opts...))
}

// stream maps the errors of a stream. Streams have no deadline of their own.
func (f failures) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, f.explain(err)
	}
	return mappedStream{s, f}, nil
}

type mappedStream struct {
	grpc.ClientStream
	failures failures
}

// RecvMsg leaves io.EOF as it is: it is the end of the stream, not an error.
func (s mappedStream) RecvMsg(m any) error { return s.failures.explain(s.ClientStream.RecvMsg(m)) }
