package cli

import (
	"bytes"
	"context"
	"errors"
	"io"

	"golang.org/x/term"

	"github.com/bandfleet/bandfleet/cli/exit"
)

// askSecretTwice asks a person for a secret that nobody will ever see again.
func (a *app) askSecretTwice(ctx context.Context, what string) ([]byte, error) {
	typed, err := a.askSecrets(ctx, what+": ", what+", again: ")
	switch {
	case err != nil:
		return nil, err
	case len(typed[0]) == 0:
		return nil, exit.Errorf(exit.BadInput, "it is empty; nothing was done")
	case !bytes.Equal(typed[0], typed[1]):
		return nil, exit.Errorf(exit.BadInput, "the two differ; nothing was done").Then("repeat the command")
	}
	return typed[0], nil
}

// askSecrets asks a person for things that are not shown while they are typed. What is typed ahead is not shown either: the terminal is
// made ready before the first question. It is as before afterwards, also after an interrupt.
func (a *app) askSecrets(ctx context.Context, prompts ...string) ([][]byte, error) {
	if !a.interactive() {
		return nil, exit.Errorf(exit.BadInput, "nobody to ask: standard input and output are not both a terminal; nothing was done").
			Then("give it with --file or --stdin; see the command's --help")
	}
	before, err := term.MakeRaw(int(a.stdin.Fd()))
	if err != nil {
		return nil, exit.Errorf(exit.Internal, "the terminal cannot be asked: %v", err)
	}
	defer func() { _ = term.Restore(int(a.stdin.Fd()), before) }()
	type answer struct {
		typed [][]byte
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		typed, err := readHidden(a.stdin, a.stdout, prompts)
		done <- answer{typed, err}
	}()
	interrupted := exit.Errorf(exit.BadInput, "interrupted; nothing was done")
	select {
	case got := <-done:
		if errors.Is(got.err, io.EOF) {
			return nil, interrupted
		}
		return got.typed, got.err
	case <-ctx.Done():
		return nil, interrupted
	}
}

// readHidden asks each question and reads a line that is not shown. An interrupt is io.EOF.
func readHidden(from io.Reader, to io.Writer, prompts []string) (typed [][]byte, err error) {
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{from, to}, "")
	for _, prompt := range prompts {
		line, err := t.ReadPassword(prompt)
		if err != nil {
			return nil, err
		}
		typed = append(typed, []byte(line))
	}
	return typed, nil
}
