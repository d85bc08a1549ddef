package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
	"github.com/bandfleet/bandfleet/deploy/bench/figures"
	"github.com/bandfleet/bandfleet/deploy/fleetsim/fleet"
)

// runFleetsim is the process of the agents with the real link, runner and journal. It says when they are enrolled, and answers
// each line with how many are connected and how many sessions there have been.
func runFleetsim(args []string) error {
	if len(args) != 4 {
		return errors.New("fleetsim: want a folder, an address, a number of agents and a token")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	f, err := fleet.Open(context.Background(), fleet.Config{
		Dir: args[0], Server: args[1], Agents: n, Token: args[3], Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	ended := make(chan error, 1)
	go func() { ended <- f.Run(context.Background()) }()
	go func() { ended <- answerFleet(f, os.Stdin, os.Stdout) }()
	return <-ended
}

func answerFleet(f *fleet.Fleet, in io.Reader, out io.Writer) error {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		c := f.Counts()
		if c.StartedTwice > 0 {
			return fmt.Errorf("%d tasks were started twice", c.StartedTwice)
		}
		fmt.Fprintln(out, c.Connected, c.Sessions)
	}
	return nil
}

// simFleet is a fleetd with a fleet of real agents.
type simFleet struct {
	*running
	config config
	agents *child.Child
	dir    string
}

func openSimFleet(c config) (f *simFleet, err error) {
	f = &simFleet{config: c}
	if f.dir, err = os.MkdirTemp("", "bandfleet-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.running, err = serve(c, filepath.Join(f.dir, serverFolder)); err != nil {
		return nil, err
	}
	token, err := f.token(c.sim)
	if err != nil {
		return nil, err
	}
	if f.agents, err = child.Self("fleetsim", filepath.Join(f.dir, "agents"), f.addr, fmt.Sprint(c.sim), token); err != nil {
		return nil, err
	}
	if _, err := f.agents.Line(); err != nil {
		return nil, err
	}
	return f, f.allBack(0, nil)
}

func (f *simFleet) close() {
	if f.agents != nil {
		_ = f.agents.Kill()
	}
	if f.running != nil {
		f.running.close()
	}
	_ = os.RemoveAll(f.dir)
}

// backPatience bounds the return of a fleet: the longest that agents are told, and the longest pause after a failure.
const backPatience = 8 * time.Minute

// sessions is how many sessions the agents have had.
func (f *simFleet) sessions() (int, error) {
	n, err := f.agents.Numbers("counts", 2)
	if err != nil {
		return 0, err
	}
	return int(n[1]), nil
}

// allBack waits until every agent has a session that was opened after so many of them. note is told each count.
func (f *simFleet) allBack(before int, note func(back int)) error {
	late := time.Now().Add(backPatience)
	for {
		n, err := f.agents.Numbers("counts", 2)
		if err != nil {
			return err
		}
		back := min(int(n[0]), int(n[1])-before)
		if note != nil {
			note(back)
		}
		if back >= f.config.sim {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("%d of %d agents are connected after %s", back, f.config.sim, backPatience)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// simulated measures jobs over real agents.
func simulated(c config) error {
	f, err := openSimFleet(c)
	if err != nil {
		return err
	}
	defer f.close()
	table := figures.NewTable("agents", "action", "job, ms", "results/s", "server KB/agent", "agents' process, KB/agent")
	for _, action := range []struct {
		name   string
		params map[string]string
	}{
		{fleet.CheckAction, nil},
		{fleet.RestartAction, map[string]string{"stable_for": "0s"}},
	} {
		var took []float64
		for i := range c.rounds + 1 {
			begun := time.Now()
			if err := f.runJobWith(action.name, action.params, c.sim); err != nil {
				return err
			}
			if i > 0 {
				took = append(took, milliseconds(time.Since(begun)))
			}
		}
		server, err := f.child.Memory()
		if err != nil {
			return err
		}
		agents, err := f.agents.Memory()
		if err != nil {
			return err
		}
		n := float64(c.sim)
		table.Row(c.sim, action.name, figures.Median(took), n*1000/figures.Median(took), server.Resident/n, agents.Own/n)
	}
	table.Write(os.Stdout)
	return nil
}
