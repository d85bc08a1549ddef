package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// pollEvery is how often it is asked whether a job is done; it bounds the error of the time measured.
const pollEvery = 5 * time.Millisecond

// jobPatience bounds a job.
const jobPatience = 5 * time.Minute

// operator is the administrator of a fleetd.
type operator struct {
	conn *grpc.ClientConn
	jobs fleetv1.JobServiceClient
}

// dialOperator connects as the administrator and waits until the server answers.
func dialOperator(data, addr string, patience time.Duration) (*operator, error) {
	deadline := time.Now().Add(patience)
	for {
		conn, err := tryOperator(data, addr)
		if err == nil {
			return &operator{conn, fleetv1.NewJobServiceClient(conn)}, nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func tryOperator(data, addr string) (*grpc.ClientConn, error) {
	c, err := identity.ReadContext(filepath.Join(data, "admin.yaml"))
	if err != nil {
		return nil, err
	}
	config, err := c.TLS()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
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

// token makes a token for so many terminals, and the site if it is not there.
func (o *operator) token(uses int) (string, error) {
	ctx := context.Background()
	_, err := fleetv1.NewInventoryServiceClient(o.conn).CreateSite(ctx, &fleetv1.CreateSiteRequest{Name: benchSite, RequestId: "bench"})
	if err != nil {
		return "", err
	}
	made, err := fleetv1.NewAccessServiceClient(o.conn).CreateToken(ctx, &fleetv1.CreateTokenRequest{
		Site: benchSite, Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, Uses: uint32(uses), Ttl: durationpb.New(time.Hour),
	})
	return made.GetText(), err
}

// create asks for a job over all terminals that starts everywhere at once.
func (o *operator) create(ctx context.Context, action string, params map[string]string) (string, error) {
	all := &fleetv1.Amount{Amount: &fleetv1.Amount_Percent{Percent: 100}}
	created, err := o.jobs.CreateJob(ctx, &fleetv1.CreateJobRequest{
		RequestId: strconv.FormatInt(time.Now().UnixNano(), 10),
		Spec: &fleetv1.JobSpec{
			Action: action, Params: params, Selection: &fleetv1.Selection{Sites: []string{benchSite}}, Reason: "benchmark",
			Rollout: &fleetv1.Rollout{Waves: []*fleetv1.Amount{all}, MaxConcurrent: all, OnLimit: fleetv1.LimitAction_LIMIT_ACTION_CONTINUE},
		},
	})
	return created.GetJob().GetId(), err
}

// runJob runs one job on all n terminals and returns when its last result is on the server's disk.
func (o *operator) runJob(action string, n int) error { return o.runJobWith(action, nil, n) }

func (o *operator) runJobWith(action string, params map[string]string, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), jobPatience)
	defer cancel()
	id, err := o.create(ctx, action, params)
	if err != nil {
		return err
	}
	for {
		got, err := o.jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: id})
		if err != nil {
			return err
		}
		if j := got.GetJob(); j.GetState() == fleetv1.JobState_JOB_STATE_DONE {
			if c := j.GetCounts(); int(c.GetSucceeded()+c.GetNoChange()) != n {
				return fmt.Errorf("of %d targets these succeeded: %v", n, c)
			}
			return nil
		}
		time.Sleep(pollEvery)
	}
}
