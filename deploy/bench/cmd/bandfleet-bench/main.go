// Program bandfleet-bench compares fleetd with a plain grpc-go server in one run: connects per second, memory per agent, and
// the time from the creation of a job to its last durable result. The plain server has the same TLS settings, the same
// messages and no store. Server, agents and this program are separate processes, so that a server's memory is its own.
//
// The agents are simulated in one process. They speak the real protocol over real mutual TLS and answer at once, without
// plugin and journal, to both servers alike: what is compared is the servers.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	// The program starts itself again in these two parts.
	if len(args) == 3 && args[0] == "plain-server" {
		return servePlain(args[1], args[2])
	}
	if len(args) == 3 && args[0] == "agents" {
		return runAgents(args[1], args[2])
	}
	c, err := parse(args)
	if err != nil {
		return err
	}
	return compare(c)
}

// config is what is measured.
type config struct {
	sizes  []int
	rounds int
	fleetd string
}

func parse(args []string) (config, error) {
	flags := flag.NewFlagSet("bandfleet-bench", flag.ContinueOnError)
	sizes := flags.String("agents", "1000,5000", "numbers of agents, separated by commas")
	c := config{}
	flags.IntVar(&c.rounds, "rounds", 3, "rounds of each variant; they alternate, and medians are printed")
	flags.StringVar(&c.fleetd, "fleetd", "bin/fleetd", "the server to measure")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	for _, text := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > 9000 {
			return config{}, fmt.Errorf("-agents %q: want numbers from 1 to 9000 (each takes a file descriptor)", *sizes)
		}
		c.sizes = append(c.sizes, n)
	}
	if c.rounds < 1 {
		return config{}, errors.New("-rounds: want at least 1")
	}
	return c, nil
}
