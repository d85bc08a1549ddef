package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// reportedEntry is the catalogue's entry that all agents report, each time of another subject, so that every report is a fault of its own.
const reportedEntry = "nbe-missing"

// tellPatience bounds how long a report may wait for its acknowledgement.
const tellPatience = 5 * time.Minute

// teller is an agent that reports faults.
type teller struct {
	stream agentv1.AgentService_ConnectClient
	// told is the latest sequence that was sent, and acks are those that were acknowledged.
	told uint64
	acks chan uint64
	// failed is why the session ended.
	failed atomic.Pointer[error]
}

// runTellers is the process of agents that report faults: it connects them, says so, and for each line "tell K" has all report K faults at
// once and prints the seconds until the last was acknowledged.
func runTellers(args []string) error {
	if len(args) != 3 {
		return errors.New("tellers: want a folder, an address and the latest sequence of earlier rounds")
	}
	earlier, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	c, err := readCredentials(args[0])
	if err != nil {
		return err
	}
	all := make([]*teller, len(c.Agents))
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(dialing)
	for i, a := range c.Agents {
		group.Go(func() error {
			stream, err := openSession(ctx, c, a, args[1])
			if err != nil {
				return err
			}
			all[i] = &teller{stream: stream, told: earlier, acks: make(chan uint64, 64)}
			go all[i].listen()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Println("connected")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "tell "))
		if err != nil {
			return fmt.Errorf("%q: want tell NUMBER", lines.Text())
		}
		begun := time.Now()
		if err := tellAll(all, n); err != nil {
			return err
		}
		fmt.Println(time.Since(begun).Seconds())
	}
	return nil
}

func tellAll(all []*teller, n int) error {
	var group errgroup.Group
	for _, t := range all {
		group.Go(func() error { return t.tell(n) })
	}
	return group.Wait()
}

// listen hands over acknowledgements and answers what an agent must answer.
func (t *teller) listen() {
	defer close(t.acks)
	for {
		m, err := t.stream.Recv()
		if err != nil {
			t.failed.Store(&err)
			return
		}
		switch m := m.GetMessage().(type) {
		case *agentv1.ConnectResponse_NewsAck:
			t.acks <- m.NewsAck.GetSequence()
		case *agentv1.ConnectResponse_PluginsRequest:
			// Nothing is sent beside reports but this, before the first of them.
			plugins := &agentv1.PluginsReport{Plugins: []*agentv1.Plugin{benchPlugin()}}
			_ = t.stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Plugins{Plugins: plugins}})
		}
	}
}

// tell reports n faults and returns when the server has the last of them.
func (t *teller) tell(n int) error {
	for range n {
		t.told++
		if err := t.stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_News{News: report(t.told)}}); err != nil {
			return err
		}
	}
	late := time.After(tellPatience)
	for {
		select {
		case upTo, more := <-t.acks:
			if !more {
				return fmt.Errorf("a session ended before its reports were acknowledged: %w", *t.failed.Load())
			}
			if upTo >= t.told {
				return nil
			}
		case <-late:
			return fmt.Errorf("reports are not acknowledged after %s", tellPatience)
		}
	}
}

// report is about as long as a real one: 200 bytes.
func report(sequence uint64) *agentv1.News {
	now := timestamppb.Now()
	return &agentv1.News{Sequence: sequence, News: &agentv1.News_Fault{Fault: &agentv1.FaultReport{
		Entry: reportedEntry, Subject: fmt.Sprint(sequence), FirstSeen: now, LastSeen: now, Count: 1, Rule: "state", Confidence: agentv1.Confidence_CONFIDENCE_STATE,
		OrdersVersion: strings.Repeat("0", 64), Evidence: []*agentv1.Evidence{{Name: "endpoint-service", Value: "stopped"}},
	}}}
}
