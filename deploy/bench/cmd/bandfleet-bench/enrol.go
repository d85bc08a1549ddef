package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
	"github.com/bandfleet/bandfleet/proto/identity"
)

const (
	benchSite   = "bench"
	benchAction = "bench-check"
)

// benchPlugin is what the agents that answer at once claim to have installed.
func benchPlugin() *agentv1.Plugin {
	return &agentv1.Plugin{
		Sha256: strings.Repeat("be", 32),
		Manifest: &actionv1.Manifest{
			Name: "bench", Version: "1.0.0", ProtocolVersion: handshake.ProtocolVersion,
			Actions: []*actionv1.Action{{
				Name: benchAction, Version: "1.0.0", Summary: "Answers at once", Description: "Measures the server.",
				Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, Roles: []string{"user-terminal"},
				MaxDuration: durationpb.New(time.Minute), ReadOnly: true,
				Interrupts: "Nothing.", Undo: "Nothing to undo.", Verifies: "Nothing.", Source: "None.",
			}},
		},
	}
}

// enrolAll makes n terminals and writes their credentials.
func enrolAll(dir string, r *running, n int) error {
	text, err := r.token(n)
	if err != nil {
		return err
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		return err
	}
	set := credentialSet{Agents: make([]agentCredential, n)}
	var group errgroup.Group
	group.SetLimit(dialing)
	for i := range n {
		group.Go(func() error {
			// Each machine on its own connection, as real ones do: the server lets strangers send little on one.
			conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(credentials.NewTLS(identity.EnrolTLS(token.CA))))
			if err != nil {
				return err
			}
			defer conn.Close()
			ca, a, err := enrol(context.Background(), agentv1.NewEnrollmentServiceClient(conn), token, i)
			if i == 0 {
				set.CA = ca
			}
			set.Agents[i] = a
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return set.write(dir)
}

func enrol(ctx context.Context, client agentv1.EnrollmentServiceClient, token identity.Token, i int) (ca []byte, a agentCredential, err error) {
	key, text, err := newKey()
	if err != nil {
		return nil, a, err
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		return nil, a, err
	}
	answer, err := client.Enroll(ctx, &agentv1.EnrollRequest{
		TokenId: token.ID, TokenSecret: token.Secret, Csr: csr, SealingKey: make([]byte, 32), Name: fmt.Sprintf("bench-%d", i),
		Facts: &agentv1.Facts{Hostname: "bench", Os: "sim"}, Plugins: []*agentv1.Plugin{benchPlugin()}, JournalId: "bench",
	})
	if err != nil {
		return nil, a, err
	}
	return answer.GetTrustBundle()[0], agentCredential{Key: text, Chain: answer.GetCertificateChain()}, nil
}
