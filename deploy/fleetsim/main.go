// Program fleetsim runs a fleet of simulated agents against a server, for demonstrations of scale, for benchmarks and for tests
// of faults: real enrolment, TLS sessions, link, runner and journal, on scripted machines (see package fleet).
//
//	fleetsim --server 127.0.0.1:7443 --token-file token --agents 1000 --dir try/fleet
//
// The token needs a use for each agent (`fleetctl token create --uses 1000`). The terminals offer `ble-restart` and
// `sim-check`. It prints counts every few seconds and at its end, which is SIGINT, SIGTERM or --duration. Started again on the
// same --dir it is the same fleet and needs no token.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/bandfleet/bandfleet/deploy/fleetsim/fleet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fleetsim:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	fleet.Config
	duration, every time.Duration
	// logFile gets the agents' logs; empty for none.
	logFile string
}

func parse(args []string) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("fleetsim", flag.ContinueOnError)
	flags.StringVar(&o.Server, "server", "127.0.0.1:7443", "host and port of fleetd")
	tokenFile := flags.String("token-file", "", "file with an enrolment token that has a use for each agent")
	flags.StringVar(&o.Dir, "dir", "fleetsim", "folder for identities and the journal; the same folder is the same fleet")
	flags.IntVar(&o.Agents, "agents", 100, "how many agents; each takes one file descriptor")
	flags.StringVar(&o.Prefix, "prefix", "sim-", "how the agents' names begin")
	latency := flags.String("latency", "20ms-200ms", "how long a service takes to stop and to start: 50ms, or 10ms-2s (short ones more often)")
	flags.Float64Var(&o.Script.Fail, "fail", 0, "share of starts that fail, 0 to 1")
	flags.Float64Var(&o.Script.Flap, "flap", 0, "share of started services that die again within 2s, 0 to 1")
	flags.Float64Var(&o.Script.Cut, "cut", 0, "how often each line is cut, per minute of connection")
	flags.Uint64Var(&o.Seed, "seed", 1, "makes the chances repeatable")
	flags.DurationVar(&o.Arrive, "arrive", 0, "time over which the agents connect first; 0 means all at once")
	flags.DurationVar(&o.duration, "duration", 0, "end after this time; 0 means run until told to stop")
	flags.StringVar(&o.logFile, "log", "", "file for the agents' own logs; empty for none")
	flags.DurationVar(&o.every, "every", 5*time.Second, "how often counts are printed")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("%q is no flag; see fleetsim -h", flags.Arg(0))
	}
	if o.every <= 0 {
		return options{}, fmt.Errorf("-every %s: want a time above 0", o.every)
	}
	var err error
	if o.Script.Latency, err = fleet.ParseLatency(*latency); err != nil {
		return options{}, err
	}
	if *tokenFile != "" {
		text, err := os.ReadFile(*tokenFile)
		if err != nil {
			return options{}, fmt.Errorf("token file: %w", err)
		}
		o.Token = strings.TrimSpace(string(text))
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	log, closeLog, err := openLog(o.logFile)
	if err != nil {
		return err
	}
	defer closeLog()
	o.Log = log
	begun := time.Now()
	f, err := fleet.Open(ctx, o.Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d agents are ready after %s, %d of them newly enrolled\n", o.Agents, time.Since(begun).Round(time.Millisecond), f.Counts().Enrolled)
	if o.duration > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, o.duration)
		defer end()
	}
	told := make(chan struct{})
	go func() { defer close(told); tell(ctx, o.every, f, out) }()
	err = f.Run(ctx)
	<-told
	fmt.Fprintln(out, f.Counts())
	return errors.Join(err, f.Close())
}

// openLog opens the agents' log. It is apart from the counts: a line for each agent would drown them.
func openLog(path string) (*slog.Logger, func(), error) {
	if path == "" {
		return slog.New(slog.DiscardHandler), func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, fmt.Errorf("log: %w", err)
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug})), func() { f.Close() }, nil
}

// tell prints counts until ctx ends.
func tell(ctx context.Context, every time.Duration, f *fleet.Fleet, out io.Writer) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintln(out, f.Counts())
		case <-ctx.Done():
			return
		}
	}
}
