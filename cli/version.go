package cli

import (
	"context"
	"runtime"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type versionOptions struct {
	server bool
}

func newVersion(a *app) *cobra.Command {
	o := &versionOptions{}
	c := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of fleetctl, and with --server of the server",
		Long:    "Shows the version of this fleetctl. With --server it also asks the server for its version.",
		Example: "  fleetctl version --server",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runVersion(cmd.Context(), a, o) },
	}
	c.Flags().BoolVar(&o.server, "server", false, "ask the server too")
	return c
}

func runVersion(ctx context.Context, a *app, o *versionOptions) error {
	values := map[string]any{"fleetctl": a.version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	fields := []output.Field{output.Text("fleetctl", a.version), output.Text("built with", runtime.Version()+" for "+runtime.GOOS+"/"+runtime.GOARCH)}
	if o.server {
		server, err := serverVersion(ctx, a)
		if err != nil {
			return err
		}
		values["server"] = server
		fields = append(fields, output.Text("server", server))
	}
	return printValues(a, values, a.version, func() { a.out.Fields(0, fields...) })
}

func serverVersion(ctx context.Context, a *app) (string, error) {
	c, err := a.connect()
	if err != nil {
		return "", err
	}
	defer c.Close()
	resp, err := c.Access.WhoAmI(ctx, &fleetv1.WhoAmIRequest{})
	return resp.GetServerVersion(), err
}

// printValues prints what is no message of the API.
func printValues(a *app, values map[string]any, name string, people func()) error {
	document, err := structpb.NewStruct(values)
	if err != nil {
		return err
	}
	return printObject(a, document, name, people)
}
