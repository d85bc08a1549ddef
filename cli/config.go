package cli

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	"github.com/bandfleet/bandfleet/proto/identity"
)

func newConfig(a *app) *cobra.Command {
	return newGroup("config", "Show and choose the context file",
		"A context file holds a server's address and CA and an operator's certificate and key. fleetd writes the first one (admin.yaml), `fleetctl operator create` the others.",
		"  fleetctl config view\n  fleetctl config use ada.yaml",
		newConfigView(a), newConfigUse(a))
}

func newConfigView(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "view",
		Short:   "Show the context in use, without its key",
		Long:    "Shows which context file is in use and what it holds: server, operator, end of the certificate. Never the key. Asks no server. -o name prints the file's path.",
		Example: "  fleetctl config view --config ada.yaml",
		Args:    takes(0),
		RunE:    func(*cobra.Command, []string) error { return runConfigView(a) },
	}
}

func runConfigView(a *app) error {
	found, err := a.readContext()
	if err != nil {
		return err
	}
	leaf, err := found.context.Leaf()
	if err != nil {
		return exit.Errorf(exit.BadInput, "context file %q: %v", found.path, err)
	}
	who, err := identity.FromCertificate(leaf)
	if err != nil {
		return exit.Errorf(exit.BadInput, "context file %q: %v", found.path, err)
	}
	values := map[string]any{
		"file": found.path, "server": found.context.Server, "name": who.String(),
		"certificate_expires": leaf.NotAfter.UTC().Format(time.RFC3339),
	}
	return printValues(a, values, found.path, func() {
		a.out.Fields(0,
			output.Text("File", found.path),
			output.Text("Server", found.context.Server),
			output.Text("You are", who.String()),
			output.Text("Certificate until", leaf.NotAfter.UTC().Format(time.RFC3339)),
		)
	})
}

type configUseOptions struct {
	file  string
	force bool
}

func newConfigUse(a *app) *cobra.Command {
	o := &configUseOptions{}
	c := &cobra.Command{
		Use:     "use FILE",
		Short:   "Put a context file in place for this user",
		Long:    "Copies a context file to the place where fleetctl looks when neither --config nor FLEETCTL_CONFIG names one. Another context that is there is replaced only with --force.",
		Example: "  fleetctl config use ada.yaml",
		Args:    takes(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			o.file = args[0]
			return runConfigUse(a, o)
		},
	}
	c.Flags().BoolVar(&o.force, "force", false, "replace the context that is there")
	return c
}

func runConfigUse(a *app, o *configUseOptions) error {
	c, err := identity.ReadContext(o.file)
	if err != nil {
		return exit.Errorf(exit.BadInput, "%v", err).Then("use a context file as fleetd or `fleetctl operator create` wrote it")
	}
	path, err := defaultContextPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return exit.Errorf(exit.BadInput, "%v", err)
	}
	if err := install(path, c, o.force); err != nil {
		return err
	}
	a.people().Line("%s is in use for this user: server %s", path, c.Server)
	return nil
}

// install writes the context beside its place and then moves it there, so that no broken file is ever in use.
func install(path string, c identity.Context, force bool) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return exit.Errorf(exit.BadInput, "%v", err)
	}
	if !force {
		fresh = path
	}
	err := identity.WriteContext(fresh, c)
	switch {
	case errors.Is(err, os.ErrExist):
		return exit.Errorf(exit.BadInput, "context file %q: is there already", path).Then("replace it with --force, or use another one with --config")
	case err != nil:
		return exit.Errorf(exit.BadInput, "%v", err)
	case force:
		return os.Rename(fresh, path)
	default:
		return nil
	}
}
