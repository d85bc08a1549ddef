// Program bandfleet-bench measures fleetd, side by side with what it could be built of, and prints the tables that
// docs/testing.md carries. Its parts:
//
//	fanout     agents connected at once, memory of each, and a job over all from its creation to its last durable result, against
//	           plain grpc-go, plain grpc-go with the same store writes, and NATS; rounds of all alternate
//	fleetsim   the same job over agents with the real link, runner and journal
//	restart    until all agents are back after a stop and after a kill of the server
//	stored     what reading and creating jobs costs with a million stored tasks, against ten thousand
//	sustained  memory, goroutines and files over minutes of results
//	faults     faults that ten thousand agents report at once, until the last is on disk, against plain grpc-go as above
//	remedies   from the end of a service to its verified repair, with real agents on simulated machines
//	idle       what an agent's process takes that looks for faults, against one that has no orders to
//
// Servers, agents and this program are separate processes, so that a server's memory is its own. In fanout, stored and
// sustained the agents speak the real protocol over real mutual TLS and answer at once, without plugin and journal, to all
// servers alike: what is compared is the servers. All share the machine: compare ratios, not times.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// processes are the parts of this program that it starts again as processes of their own.
func processes() map[string]func(args []string) error {
	return map[string]func([]string) error{
		"plain-server": servePlain,
		"nats-server":  serveNATS,
		"fleetd":       serveFleetd,
		"agents":       runAgents,
		"tellers":      runTellers,
		"nats-agents":  runNATSAgents,
		"fleetsim":     runFleetsim,
	}
}

// part is one measurement.
type part struct {
	name string
	run  func(config) error
}

func parts() []part {
	return []part{{"fanout", fanOut}, {"fleetsim", simulated}, {"restart", restarts}, {"stored", stored}, {"sustained", sustained}, {"faults", faults}, {"remedies", remedies}, {"idle", idle}}
}

func run(args []string) error {
	if len(args) > 0 {
		if process, ok := processes()[args[0]]; ok {
			return process(args[1:])
		}
	}
	c, err := parse(args)
	if err != nil {
		return err
	}
	for _, p := range parts() {
		if len(c.only) > 0 && !slices.Contains(c.only, p.name) {
			continue
		}
		begun := time.Now()
		fmt.Printf("\n## %s\n\n", p.name)
		if err := p.run(c); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s took %s\n", p.name, time.Since(begun).Round(time.Second))
	}
	return nil
}

// config is what is measured.
type config struct {
	only   []string
	sizes  []int
	rounds int
	jobs   int
	fleetd string
	// other is another build of fleetd, which takes the place of the other contenders of fanout; empty for none.
	other string
	// sim is how many agents the parts with real agents have.
	sim int
	// stored are the two numbers of tasks that are compared.
	stored [2]int
	// sustain is how long results are streamed.
	sustain time.Duration
	// faulty is how many agents report faults, and repaired how many services are ended.
	faulty, repaired int
	// watched is how long idle agents are watched.
	watched time.Duration
	// profile is a folder for profiles of fleetd, empty for none.
	profile string
}

func parse(args []string) (config, error) {
	flags := flag.NewFlagSet("bandfleet-bench", flag.ContinueOnError)
	c := config{}
	only := flags.String("only", "", "parts to run, separated by commas; all when empty")
	sizes := flags.String("agents", "1000,5000,10000", "numbers of agents of fanout, separated by commas")
	flags.IntVar(&c.rounds, "rounds", 3, "rounds of each variant; they alternate, and medians are printed")
	flags.IntVar(&c.jobs, "jobs", 3, "jobs in each round of fanout, after one that is not counted")
	flags.StringVar(&c.fleetd, "fleetd", "bin/fleetd", "the server to measure")
	flags.StringVar(&c.other, "other", "", "another build of fleetd: fanout compares with it alone")
	flags.IntVar(&c.sim, "sim", 10_000, "number of agents of fleetsim and restart")
	sums := flags.String("stored", "10000,1000000", "the two numbers of stored tasks that are compared")
	flags.DurationVar(&c.sustain, "sustain", 10*time.Minute, "how long sustained streams results")
	flags.IntVar(&c.faulty, "faulty", 10_000, "number of agents that report faults")
	flags.IntVar(&c.repaired, "repaired", 20, "number of terminals whose service ends in remedies")
	flags.DurationVar(&c.watched, "watched", time.Minute, "how long idle watches two agents, in each round")
	flags.StringVar(&c.profile, "profile", "", "folder for a processor and a heap profile of fleetd under fanout")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if *only != "" {
		c.only = strings.Split(*only, ",")
	}
	for _, name := range c.only {
		if !slices.ContainsFunc(parts(), func(p part) bool { return p.name == name }) {
			return config{}, fmt.Errorf("-only %q: is no part; want fanout, fleetsim, restart, stored, sustained, faults, remedies or idle", name)
		}
	}
	var err error
	if c.sizes, err = numbers("-agents", *sizes, maxAgents); err != nil {
		return config{}, err
	}
	tasks, err := numbers("-stored", *sums, 100_000_000)
	if err != nil || len(tasks) != 2 || tasks[0] >= tasks[1] || tasks[0]%storedJob != 0 || tasks[1]%storedJob != 0 {
		return config{}, errors.Join(err, fmt.Errorf("-stored %q: want two multiples of %d, the smaller first", *sums, storedJob))
	}
	c.stored = [2]int(tasks)
	if c.rounds < 1 || c.jobs < 1 || c.sim < 1 || c.sim > maxAgents || c.sustain < time.Second ||
		c.faulty < 1 || c.faulty > maxAgents || c.repaired < 1 || c.repaired > 100 || c.watched < time.Second {
		return config{}, fmt.Errorf("want at least 1 round, job and agent, at most %d agents (100 repaired), and 1s", maxAgents)
	}
	return c, nil
}

// maxAgents is set by the open files: each agent takes one in the server's process and one in its own, of 20,000.
const maxAgents = 19_000

func numbers(name, text string, most int) ([]int, error) {
	var list []int
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%s %q: want numbers from 1 to %d", name, text, most)
		}
		list = append(list, n)
	}
	return list, nil
}
