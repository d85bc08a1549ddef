package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
)

// app is one run of fleetctl: what the global flags say, and where it reads and writes.
type app struct {
	version string

	stdin  *os.File
	stdout *os.File
	// out prints to standard output, info to standard error.
	out  *output.Printer
	info *output.Printer
	now  func() time.Time

	configFlag string
	format     output.Format
	timeout    time.Duration

	// parsed is set when the command line was understood; an error before that is bad input.
	parsed bool
}

// Main runs fleetctl with the process's arguments and returns its exit code.
func Main(version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first interrupt is answered by the verb; a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	return newApp(version, time.Now).run(ctx, os.Args[1:])
}

// newApp makes an app on the process's standard streams.
func newApp(version string, now func() time.Time) *app {
	return &app{
		version: version,
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		out:     output.NewPrinter(os.Stdout, output.ColorTerminal(os.Stdout)),
		info:    output.NewPrinter(os.Stderr, output.ColorTerminal(os.Stderr)),
		now:     now,
		format:  output.Table,
	}
}

// run executes the command line and prints its error, if any.
func (a *app) run(ctx context.Context, args []string) (code int) {
	defer func() {
		// Without this, a panic would end with code 2, which promises that nothing was created.
		if p := recover(); p != nil {
			a.info.Line("fleetctl: internal error: %s", fmt.Sprint(p))
			a.info.Raw(output.Painted(debug.Stack()))
			code = int(exit.Internal)
		}
	}()
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = a.out.Err()
	}
	if err == nil {
		return int(exit.OK)
	}
	return int(a.fail(err))
}

// continued begins a detail that belongs to the one before it.
const continued = "  "

// fail prints an error and returns its exit code.
func (a *app) fail(err error) exit.Code {
	if _, ok := errors.AsType[*exit.Error](err); !ok && !a.parsed {
		err = exit.Errorf(exit.BadInput, "%v", err).Then("see `fleetctl help`")
	}
	e := exit.From(err)
	a.info.Line("%s %s", a.info.Paint(output.Bad, "fleetctl:"), e.Message)
	for _, d := range e.Details {
		if strings.HasPrefix(d, continued) {
			a.info.Line("    %s", d)
			continue
		}
		a.info.Line("  - %s", d)
	}
	if e.Next != "" {
		a.info.Line("%s %s", a.info.Paint(output.Bold, "next:"), e.Next)
	}
	return e.Code
}

// connect reads the context file and prepares the client. The caller closes it.
func (a *app) connect() (*client.Client, error) {
	found, err := a.readContext()
	if err != nil {
		return nil, err
	}
	a.checkPrivacy(found)
	if err := a.checkValidity(found); err != nil {
		return nil, err
	}
	c, err := client.Dial(found.context, a.timeout)
	if err != nil {
		return nil, exit.Errorf(exit.BadInput, "context file %q: %v", found.path, err)
	}
	return c, nil
}

// interactive tells whether a person can read what is asked and answer it.
func (a *app) interactive() bool { return isTerminal(a.stdin) && isTerminal(a.stdout) }

// people is the printer for what is not the document itself: standard output, or standard error when a program reads the
// output.
func (a *app) people() *output.Printer {
	if a.format.Machine() {
		return a.info
	}
	return a.out
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
