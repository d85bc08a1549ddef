package cli

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
)

// listing is a list as it is printed in any format.
type listing[T any] struct {
	// noun is the plural for "no terminals".
	noun string
	// document is the API's message, for json and yaml.
	document proto.Message
	rows     []T
	columns  []output.Column[T]
	// name returns what identifies a row, for -o name.
	name func(T) string
}

// printList prints a listing in the chosen format. An empty one says so on standard error and is no error.
func printList[T any](a *app, l listing[T]) error {
	switch a.format {
	case output.JSON, output.YAML:
		return a.out.Message(a.format, l.document)
	case output.Name:
		for _, row := range l.rows {
			a.out.Line("%s", l.name(row))
		}
		return nil
	}
	if len(l.rows) == 0 {
		a.info.Line("no %s", l.noun)
		return nil
	}
	output.Rows(a.out, a.format == output.Wide, l.columns, l.rows)
	return nil
}

// listed is the run of a command that asks the server once and prints the answer as a list.
func listed[M proto.Message, T any](a *app, ask func(context.Context, *client.Client) (M, error), lay func(M) listing[T]) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		answer, err := ask(cmd.Context(), c)
		if err != nil {
			return err
		}
		l := lay(answer)
		l.document = answer
		return printList(a, l)
	}
}

// printObject prints one object: its message, its name, or what people says.
func printObject(a *app, document proto.Message, name string, people func()) error {
	switch a.format {
	case output.JSON, output.YAML:
		return a.out.Message(a.format, document)
	case output.Name:
		a.out.Line("%s", name)
	default:
		people()
	}
	return nil
}
