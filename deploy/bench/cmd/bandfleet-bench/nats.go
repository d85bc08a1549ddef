package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// natsSubject is what all agents listen to.
const natsSubject = "job.all"

// openNATS starts a NATS server with mutual TLS and a client in its process that asks all agents at once.
func openNATS(dir string, n int) (*rig, error) { return openAsked(n, "nats-server", dir) }

// serveNATS is the process of the NATS server. For each line of input, which says how many agents there are, it asks all of them
// and prints the seconds until the last reply.
func serveNATS(args []string) error {
	if len(args) != 1 {
		return errors.New("nats-server: want a folder")
	}
	config, err := plainTLS(args[0])
	if err != nil {
		return err
	}
	server, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, TLS: true, TLSVerify: true, TLSConfig: config, TLSTimeout: 60, MaxConn: 2 * maxAgents,
	})
	if err != nil {
		return err
	}
	server.Start()
	if !server.ReadyForConnections(10 * time.Second) {
		return errors.New("nats-server: is not ready after 10s")
	}
	asker, err := nats.Connect("", nats.InProcessServer(server))
	if err != nil {
		return err
	}
	fmt.Println(server.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var n int
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			return err
		}
		took, err := askAll(asker, n)
		if err != nil {
			return err
		}
		fmt.Println(took.Seconds())
	}
	return nil
}

// askAll publishes one request and waits for the replies of all.
func askAll(asker *nats.Conn, n int) (time.Duration, error) {
	inbox := nats.NewInbox()
	replies, err := asker.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer func() { _ = replies.Unsubscribe() }()
	if err := replies.SetPendingLimits(-1, -1); err != nil {
		return 0, err
	}
	task, err := proto.Marshal(plainTask(0, plainAction))
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := asker.PublishRequest(natsSubject, inbox, task); err != nil {
		return 0, err
	}
	for i := range n {
		if _, err := replies.NextMsg(time.Minute); err != nil {
			return 0, fmt.Errorf("reply %d of %d: %w", i+1, n, err)
		}
	}
	return time.Since(begun), nil
}

// runNATSAgents is the process of the NATS agents.
func runNATSAgents(args []string) error {
	if len(args) != 2 {
		return errors.New("nats-agents: want a folder and an address")
	}
	c, err := readCredentials(args[0])
	if err != nil {
		return err
	}
	ends := &latencies{}
	begun := time.Now()
	group, _ := errgroup.WithContext(context.Background())
	group.SetLimit(dialing)
	for _, a := range c.Agents {
		group.Go(func() error { return connectNATS(c, a, args[1], ends) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Println(time.Since(begun).Seconds())
	return ends.answerQuestions(os.Stdin, os.Stdout)
}

// connectNATS opens one connection and answers on it.
func connectNATS(c credentialSet, a agentCredential, addr string, ends *latencies) error {
	config, err := c.clientTLS(a)
	if err != nil {
		return err
	}
	conn, err := nats.Connect("tls://"+addr, nats.Secure(config), nats.NoReconnect(), nats.Timeout(time.Minute))
	if err != nil {
		return err
	}
	answer, err := proto.Marshal(result(plainTask(0, plainAction).GetKey()).GetResult())
	if err != nil {
		return err
	}
	_, err = conn.Subscribe(natsSubject, func(m *nats.Msg) {
		ends.end()
		// A reply that is lost shows as one that never comes.
		_ = m.Respond(answer)
	})
	if err != nil {
		return err
	}
	return conn.Flush()
}
