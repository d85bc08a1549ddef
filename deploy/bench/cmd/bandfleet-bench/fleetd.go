package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
	"github.com/bandfleet/bandfleet/proto/identity"
)

const (
	benchSite   = "bench"
	benchAction = "bench-check"
	// pollEvery is how often it is asked whether the job is done; it bounds the error of the time measured.
	pollEvery = 5 * time.Millisecond
)

// benchPlugin is what the simulated agents claim to have installed.
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

// measureFleetd measures the real server.
func measureFleetd(path, dir string, n int) (sample, error) {
	data := filepath.Join(dir, "server")
	addr, err := freeAddress()
	if err != nil {
		return sample{}, err
	}
	args := []string{"serve", "--data-dir", data, "--listen", addr, "--log-level", "error"}
	server, err := startChild(path, args...)
	if err != nil {
		return sample{}, err
	}
	// The server that is measured is another process below.
	defer func() { _ = server.stop() }()
	if err := enrolAll(dir, data, addr, n); err != nil {
		return sample{}, err
	}
	// Enrolment leaves garbage in memory; the figures are those of a server that was started with its agents known.
	if err := server.stop(); err != nil {
		return sample{}, err
	}
	again, err := startChild(path, args...)
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = again.stop() }()
	operator, err := dialOperator(data)
	if err != nil {
		return sample{}, err
	}
	defer operator.Close()
	return measureSessions(again, dir, addr, n, func() (time.Duration, error) { return runJob(operator, n) })
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// dialOperator connects as the administrator and waits until the server answers.
func dialOperator(data string) (*grpc.ClientConn, error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := tryOperator(data)
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func tryOperator(data string) (*grpc.ClientConn, error) {
	c, err := identity.ReadContext(filepath.Join(data, "admin.yaml"))
	if err != nil {
		return nil, err
	}
	config, err := c.TLS()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(c.Server, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := fleetv1.NewAccessServiceClient(conn).WhoAmI(ctx, &fleetv1.WhoAmIRequest{}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// enrolAll makes a site and n terminals in it, and writes their credentials.
func enrolAll(dir, data, addr string, n int) error {
	operator, err := dialOperator(data)
	if err != nil {
		return err
	}
	defer operator.Close()
	ctx := context.Background()
	if _, err := fleetv1.NewInventoryServiceClient(operator).CreateSite(ctx, &fleetv1.CreateSiteRequest{Name: benchSite, RequestId: "bench"}); err != nil {
		return err
	}
	made, err := fleetv1.NewAccessServiceClient(operator).CreateToken(ctx, &fleetv1.CreateTokenRequest{
		Site: benchSite, Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, Uses: uint32(n), Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		return err
	}
	token, err := identity.ParseToken(made.GetText())
	if err != nil {
		return err
	}
	set := credentialSet{Agents: make([]agentCredential, n)}
	var group errgroup.Group
	group.SetLimit(dialing)
	for i := range n {
		group.Go(func() error {
			// Each machine on its own connection, as real ones do: the server lets strangers send little on one.
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(identity.EnrolTLS(token.CA))))
			if err != nil {
				return err
			}
			defer conn.Close()
			ca, a, err := enrol(ctx, agentv1.NewEnrollmentServiceClient(conn), token, i)
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

// runJob runs one job on all agents and returns the time from the request until its last result was on the server's disk.
func runJob(operator *grpc.ClientConn, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	jobs := fleetv1.NewJobServiceClient(operator)
	begun := time.Now()
	created, err := jobs.CreateJob(ctx, &fleetv1.CreateJobRequest{
		RequestId: strconv.FormatInt(begun.UnixNano(), 10),
		Spec:      &fleetv1.JobSpec{Action: benchAction, Selection: &fleetv1.Selection{Sites: []string{benchSite}}, Reason: "benchmark"},
	})
	if err != nil {
		return 0, err
	}
	for {
		got, err := jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: created.GetJob().GetId()})
		if err != nil {
			return 0, err
		}
		if j := got.GetJob(); j.GetState() == fleetv1.JobState_JOB_STATE_DONE {
			took := time.Since(begun)
			if int(j.GetCounts().GetSucceeded()) != n {
				return 0, fmt.Errorf("%d of %d targets succeeded: %v", j.GetCounts().GetSucceeded(), n, j.GetCounts())
			}
			return took, nil
		}
		time.Sleep(pollEvery)
	}
}
