package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

type operatorCreateOptions struct {
	name   string
	role   string
	sites  []string
	grants []string
	ttl    time.Duration
	out    string
}

func newOperatorCreate(a *app) *cobra.Command {
	o := &operatorCreateOptions{}
	c := &cobra.Command{
		Use:   "create NAME --role ROLE --site SITE",
		Short: "Let a person in, and write the context file for them",
		Long: `Makes an operator. The private key is made on this machine and never leaves it but in the context file, which is written
with mode 0600; hand it over in a safe way. A file that is there already is never overwritten.

--role with --site gives one role; --grant ROLE@SITE[,SITE] gives further ones. The site "*" means all sites.`,
		Example: `  fleetctl operator create ada --role viewer --site lyon --out ada.yaml
  fleetctl operator create bob --grant operator@lyon --grant viewer@basel,paris --ttl 720h`,
		Args: takes(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runOperatorCreate(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.role, "role", "", "`role`: "+strings.Join(words(fleetv1.OperatorRole(0)), ", "))
	f.StringArrayVar(&o.sites, "site", nil, "`sites` on which the role holds (repeatable, or separated by commas); \"*\" for all")
	f.StringArrayVar(&o.grants, "grant", nil, "a further role, as `ROLE@SITE[,SITE]` (repeatable)")
	spanVar(f, &o.ttl, "ttl", 0, "validity of the certificate, 1h to 9552h (default 90 days)")
	f.StringVar(&o.out, "out", "", "context `file` to write (default NAME.yaml)")
	mustComplete(c, "role", fixedCompletion(words(fleetv1.OperatorRole(0))...))
	mustComplete(c, "site", a.completeSites)
	return c
}

func runOperatorCreate(ctx context.Context, a *app, o *operatorCreateOptions) error {
	bindings, err := o.bindings()
	if err != nil {
		return err
	}
	path := o.out
	if path == "" {
		path = filepath.Base(o.name) + ".yaml"
	}
	if err := checkWritable(path); err != nil {
		return err
	}
	own, err := a.readContext()
	if err != nil {
		return err
	}
	req, key, err := operatorRequest(o, bindings)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Access.CreateOperator(ctx, req)
	if exit.Is(err, exit.Unreachable) {
		return exit.From(err).Then("look with `fleetctl get operators`: if %s is there, revoke it and choose another name, for its key is lost", o.name)
	}
	if err != nil {
		return err
	}
	if err := writeOperatorContext(path, own.context.Server, key, resp); err != nil {
		return exit.Errorf(exit.Internal, "operator %q was created, but its context file could not be written: %v", o.name, err).
			Then("revoke it with `fleetctl operator revoke %s`, and create another; its key is lost", o.name)
	}
	op := resp.GetOperator()
	return printObject(a, op, op.GetName(), func() {
		a.out.Line("operator %s created: %s, certificate until %s", op.GetName(), bindingsText(op), output.UTC(op.GetCertificateExpires()))
		a.out.Line("next: hand %s over in a safe way; it holds the private key. It is used with --config or `fleetctl config use`", path)
	})
}

// issued is the server's answer to a request for an operator's certificate.
type issued interface {
	GetCertificateChain() [][]byte
	GetTrustBundle() [][]byte
}

func writeOperatorContext(path, server string, key []byte, i issued) error {
	return identity.WriteContext(path, identity.Context{
		Server:      server,
		CA:          string(identity.MarshalCertificates(i.GetTrustBundle()...)),
		Certificate: string(identity.MarshalCertificates(i.GetCertificateChain()...)),
		Key:         string(key),
	})
}

// newOperatorKey makes a key, as PEM, and the request for its certificate; the key stays here.
func newOperatorKey() (key, csr []byte, err error) {
	k, err := identity.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	if csr, err = identity.NewCSR(k); err != nil {
		return nil, nil, err
	}
	key, err = identity.MarshalKey(k)
	return key, csr, err
}

func operatorRequest(o *operatorCreateOptions, bindings []*fleetv1.RoleBinding) (*fleetv1.CreateOperatorRequest, []byte, error) {
	key, csr, err := newOperatorKey()
	if err != nil {
		return nil, nil, err
	}
	req := &fleetv1.CreateOperatorRequest{Name: o.name, Bindings: bindings, Csr: csr}
	if o.ttl != 0 {
		req.Ttl = durationpb.New(o.ttl)
	}
	return req, key, nil
}

// bindings reads --role with --site, and --grant.
func (o *operatorCreateOptions) bindings() ([]*fleetv1.RoleBinding, error) {
	var problems []string
	grants := o.grants
	switch {
	case o.role != "" && len(o.sites) > 0:
		grants = append([]string{o.role + "@" + strings.Join(o.sites, ",")}, grants...)
	case o.role != "" || len(o.sites) > 0:
		problems = append(problems, "--role and --site belong together")
	case len(grants) == 0:
		problems = append(problems, "--role with --site is missing")
	}
	var out []*fleetv1.RoleBinding
	for _, g := range grants {
		b, err := parseGrant(g, &problems)
		if err != nil {
			problems = append(problems, oneLine(err))
		}
		out = append(out, b)
	}
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "operator %q: its roles cannot be read", o.name).With(problems...).
			Then("say what it may do where, as in --role viewer --site lyon; --site '*' means all sites")
	}
	return out, nil
}

func parseGrant(text string, problems *[]string) (*fleetv1.RoleBinding, error) {
	roleText, siteText, ok := strings.Cut(text, "@")
	if !ok {
		return nil, exit.Errorf(exit.BadInput, "--grant %q: want ROLE@SITE", text)
	}
	role, err := parseWord[fleetv1.OperatorRole]("role", roleText)
	if err != nil {
		return nil, err
	}
	return &fleetv1.RoleBinding{Role: role, Sites: named("--site", []string{strings.ToLower(siteText)}, problems)}, nil
}

// checkWritable looks, before the operator is made, whether its context file can be written: the key exists nowhere else, and
// the name could not be used again.
func checkWritable(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return exit.Errorf(exit.BadInput, "context file %q: is there already; nothing was created", path).Then("name another file with --out")
	} else if !errors.Is(err, os.ErrNotExist) {
		return exit.Errorf(exit.BadInput, "context file: %v", err).Then("name another file with --out")
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".fleetctl-*")
	if err != nil {
		return exit.Errorf(exit.BadInput, "context file %q: %v", path, err).Then("name another file with --out")
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
