package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// The tasks of the plain servers: the agent answers them with their result and nothing else.
const (
	plainAction = "plain"
	// plainStoredAction is of the server with a store, which acknowledges.
	plainStoredAction = "plain-stored"
)

func preparePlain(dir string, n int) error { return writePlainPKI(dir, n) }

// openPlain starts a server that is grpc-go and nothing else.
func openPlain(dir string, n int) (*rig, error) { return openAsked(n, "plain-server", dir) }

// openPlainStored starts one that writes what fleetd writes of tasks, in the same kind of store.
func openPlainStored(dir string, n int) (*rig, error) {
	store, err := os.MkdirTemp(dir, "store-")
	if err != nil {
		return nil, err
	}
	return openAsked(n, "plain-server", dir, filepath.Join(store, "store.db"))
}

// openAsked starts a server of this program: it says its address, and is asked for each job.
func openAsked(n int, part string, args ...string) (*rig, error) {
	server, err := child.Self(part, args...)
	if err != nil {
		return nil, err
	}
	addr, err := server.Line()
	if err != nil {
		return nil, err
	}
	job := func() error {
		_, err := server.Numbers(fmt.Sprint(n), 1)
		return err
	}
	return &rig{server: server, addr: addr, job: job, close: func() { _ = server.Kill() }}, nil
}

// plainServer holds the sessions and counts results.
type plainServer struct {
	agentv1.UnimplementedAgentServiceServer
	mu       sync.Mutex
	sessions []agentv1.AgentService_ConnectServer
	results  chan error
	// book is nil without a store.
	book *plainBook
}

// servePlain is the process of the plain server. For each line of input it runs one job on all agents and prints the seconds.
func servePlain(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("plain-server: want a folder, and a file for a store")
	}
	config, err := plainTLS(args[0])
	if err != nil {
		return err
	}
	s := &plainServer{results: make(chan error, 1024)}
	if len(args) == 2 {
		if s.book, err = openPlainBook(args[1]); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	agentv1.RegisterAgentServiceServer(g, s)
	go func() { _ = g.Serve(l) }() // ends with the process
	fmt.Println(l.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		begun := time.Now()
		if err := s.fanOut(); err != nil {
			return err
		}
		fmt.Println(time.Since(begun).Seconds())
	}
	return nil
}

// Connect implements the agents' service as simply as it can be done.
func (s *plainServer) Connect(stream agentv1.AgentService_ConnectServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Welcome{Welcome: &agentv1.Welcome{}}}); err != nil {
		return err
	}
	s.mu.Lock()
	number := len(s.sessions)
	s.sessions = append(s.sessions, stream)
	s.mu.Unlock()
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if r := m.GetResult(); r != nil {
			s.results <- s.take(stream, number, r)
		}
		if n := m.GetNews(); n != nil {
			if err := s.takeNews(stream, number, n); err != nil {
				return err
			}
		}
	}
}

// take stores a result and acknowledges it, where there is a store.
func (s *plainServer) take(stream agentv1.AgentService_ConnectServer, number int, r *agentv1.Result) error {
	if s.book == nil {
		return nil
	}
	if err := s.book.result(number, r); err != nil {
		return err
	}
	return stream.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_ResultAck{ResultAck: &agentv1.ResultAck{Key: r.GetKey()}}})
}

// takeNews stores a fault, where there is a store, and acknowledges it.
func (s *plainServer) takeNews(stream agentv1.AgentService_ConnectServer, number int, n *agentv1.News) error {
	if s.book != nil {
		if err := s.book.fault(number, n); err != nil {
			return err
		}
	}
	return stream.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_NewsAck{NewsAck: &agentv1.NewsAck{Sequence: n.GetSequence()}}})
}

func (s *plainServer) fanOut() error {
	s.mu.Lock()
	sessions := s.sessions
	s.mu.Unlock()
	action := plainAction
	if s.book != nil {
		action = plainStoredAction
		if err := s.book.begin(len(sessions)); err != nil {
			return err
		}
	}
	go func() {
		for i, session := range sessions {
			// A broken session shows as a result that never comes.
			_ = session.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: &agentv1.Dispatch{Task: plainTask(i, action)}}})
		}
	}()
	late := time.After(time.Minute)
	for range sessions {
		select {
		case err := <-s.results:
			if err != nil {
				return err
			}
		case <-late:
			return errors.New("results are missing after a minute")
		}
	}
	if s.book != nil {
		return s.book.end()
	}
	return nil
}

// plainTask is about as long as a real one: 200 bytes.
func plainTask(i int, action string) *agentv1.Task {
	return &agentv1.Task{
		Key: &agentv1.TaskKey{JobId: fmt.Sprintf("job-%022d", i), Attempt: 1}, Action: action,
		Params: map[string]string{"payload": strings.Repeat("x", 140)},
	}
}
