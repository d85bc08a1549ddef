package cli

import (
	"bufio"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
)

func addReason(c *cobra.Command, reason *string) {
	c.Flags().StringVar(reason, "reason", "", "why, for the audit record (\"INC-4711\")")
}

func addYes(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}

// confirm asks the person whether to go on. Without a person and without yes it refuses. Nothing has been created before it.
func (a *app) confirm(ctx context.Context, yes bool) error {
	if yes {
		return nil
	}
	if !a.interactive() {
		return exit.Errorf(exit.BadInput, "nobody to ask: standard input and output are not both a terminal; nothing was done").
			Then("look at the above, and repeat the command with --yes")
	}
	a.people().Raw("Go on? [y/N] ")
	answer, err := a.readLine(ctx)
	if err != nil {
		a.people().Raw("\n")
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return exit.Errorf(exit.BadInput, "declined; nothing was done")
	}
}

// readLine waits for a line of the person, or for an interrupt.
func (a *app) readLine(ctx context.Context) (string, error) {
	line := make(chan string, 1)
	go func() {
		// The end of input is an empty answer, which declines.
		text, _ := bufio.NewReader(a.stdin).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		return text, nil
	case <-ctx.Done():
		return "", exit.Errorf(exit.BadInput, "interrupted; nothing was done")
	}
}

// printToken prints an enrolment token with the command that takes it.
func printToken(a *app, token string) {
	a.out.Line("%s", token)
	a.out.Line("next: on the machine, `fleet-agent enroll --data-dir DIR --server %s --token TOKEN --plugins PLUGINDIR`; the token is shown this once", a.serverAddress())
}

// serverAddress is where agents dial, as far as this context knows.
func (a *app) serverAddress() string {
	found, err := a.readContext()
	if err != nil {
		return "HOST:PORT"
	}
	return found.context.Server
}

func orNone(text string) output.Painted {
	if text == "" {
		return "(none)"
	}
	return output.Painted(output.Safe(text))
}
