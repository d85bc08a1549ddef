package link

import (
	"context"
	"crypto/sha256"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// Enroll asks server for a certificate. The server's chain must lead to the CA that the token pins. It may be repeated with
// the same request.
func Enroll(ctx context.Context, server string, ca [sha256.Size]byte, r *agentv1.EnrollRequest) (*agentv1.EnrollResponse, error) {
	conn, err := open(server, fleetid.EnrolTLS(ca), dialTCP)
	if err != nil {
		return nil, err
	}
	// The answer is already here when the connection closes.
	defer func() { _ = conn.Close() }()
	answer, err := agentv1.NewEnrollmentServiceClient(conn).Enroll(ctx, r)
	if err != nil {
		return nil, explain(server, err)
	}
	return answer, nil
}
