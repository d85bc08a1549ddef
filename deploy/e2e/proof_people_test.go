package e2e

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// person is an operator who asks the server without a program between, because a proof asks often.
type person struct {
	t      testing.TB
	name   string
	faults fleetv1.FaultServiceClient
	guided fleetv1.GuidedServiceClient
	jobs   fleetv1.JobServiceClient
}

// people are the desk, which asks, a second one there, and two who approve.
type people struct {
	desk, second *person
	approvers    []*person
}

// newPeople lets three people in.
func (f *fleet) newPeople() *people {
	f.t.Helper()
	dir := f.t.TempDir()
	in := func(name, role string) *person {
		file := filepath.Join(dir, name+".yaml")
		f.mustCtl("operator", "create", name, "--role", role, "--site", "*", "--out", file)
		return newPerson(f.t, name, file)
	}
	return &people{desk: in("dora", "operator"), second: in("sven", "operator"), approvers: []*person{in("bob", "approver"), in("eve", "approver")}}
}

func newPerson(t testing.TB, name, file string) *person {
	t.Helper()
	c, err := identity.ReadContext(file)
	if err != nil {
		t.Fatal(err)
	}
	config, err := c.TLS()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+c.Server, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nobody asks any more
	return &person{
		t: t, name: name, faults: fleetv1.NewFaultServiceClient(conn), guided: fleetv1.NewGuidedServiceClient(conn), jobs: fleetv1.NewJobServiceClient(conn),
	}
}

// askPatience bounds one question.
const askPatience = 30 * time.Second

// ask asks the server, which must answer.
func ask[Q, A any](t testing.TB, call func(context.Context, Q, ...grpc.CallOption) (A, error), question Q) A {
	t.Helper()
	answer, err := tryAsk(call, question)
	if err != nil {
		t.Fatalf("%T %v: %v", question, question, err)
	}
	return answer
}

func tryAsk[Q, A any](call func(context.Context, Q, ...grpc.CallOption) (A, error), question Q) (A, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	return call(ctx, question)
}
