package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/pfx"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

type secretPutOptions struct {
	name, terminal, reason string
	file                   string
	stdin, pfx             bool
	// passwordFile holds the PFX's password, and passwordSecret is the name under which that is put as well.
	passwordFile, passwordSecret string
}

func newSecretPut(a *app) *cobra.Command {
	o := &secretPutOptions{}
	c := &cobra.Command{
		Use:   "put NAME --for TERMINAL",
		Short: "Seal a secret to a terminal and store it",
		Long: `Seals a secret to a terminal's key and stores it, in place of an earlier version. What it is comes from --file, from --stdin, or is
asked for without being shown; it is never given on the command line, where others could read it. Of a text, one line break at the end
is left out. Before anything is sealed, the terminal's key is checked against the CA of your context file, not on the server's word.

With --pfx it is a PFX (PKCS #12) file: it is opened here with its password, so that one that cannot be used is found now, and what is
public of its certificate goes with it. The password comes from --password-file or is asked for; --password-secret stores it too, as a
secret of its own, for an action that needs both.`,
		Example: `  fleetctl secret put nes.pfx --for nes-lyon-1 --file nes.pfx --pfx --password-secret nes.password
  fleetctl secret put nes.pfx --for nes-lyon-1 --file nes.pfx --pfx --password-file password.txt --password-secret nes.password
  fleetctl secret put service.password --for nes-lyon-1
  pass show service | fleetctl secret put service.password --for nes-lyon-1 --stdin`,
		Args:              takes(1, "NAME"),
		ValidArgsFunction: byPlace(a.completeSecrets),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runSecretPut(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.terminal, "for", "", "the `terminal` that is to open it, by id or name")
	f.StringVar(&o.file, "file", "", "`file` that holds it")
	f.BoolVar(&o.stdin, "stdin", false, "read it from standard input")
	f.BoolVar(&o.pfx, "pfx", false, "it is a PFX (PKCS #12) file")
	f.StringVar(&o.passwordFile, "password-file", "", "`file` that holds the PFX's password")
	f.StringVar(&o.passwordSecret, "password-secret", "", "`name` under which the PFX's password is stored too")
	addReason(c, &o.reason)
	mustComplete(c, "for", a.completeTerminals)
	return c
}

func runSecretPut(ctx context.Context, a *app, o *secretPutOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	puts, err := o.read(ctx, a)
	if err != nil {
		return err
	}
	defer func() {
		for _, p := range puts {
			clear(p.plaintext)
		}
	}()
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	key, err := a.sealingKey(ctx, c, o.terminal)
	if err != nil {
		return err
	}
	for _, p := range puts {
		if err := a.put(ctx, c, o, key, p); err != nil {
			return err
		}
	}
	return nil
}

func (o *secretPutOptions) check() error {
	var problems []string
	add := func(wrong bool, problem string) {
		if wrong {
			problems = append(problems, problem)
		}
	}
	for _, name := range []string{o.name, o.passwordSecret} {
		if err := sealed.CheckName(name); err != nil && (name != "" || name == o.name) {
			problems = append(problems, err.Error())
		}
	}
	add(o.terminal == "", "--for is missing: say which terminal is to open it")
	add(o.file != "" && o.stdin, "--file and --stdin exclude each other")
	add(o.pfx && o.file == "" && !o.stdin, "--pfx needs the file: give it with --file, or on standard input with --stdin")
	add(!o.pfx && (o.passwordFile != "" || o.passwordSecret != ""), "--password-file and --password-secret go with --pfx")
	add(o.passwordSecret != "" && o.passwordSecret == o.name, "the PFX and its password need different names")
	if len(problems) > 0 {
		return exit.Errorf(exit.BadInput, "secret put: nothing was put").With(problems...).Then("see `fleetctl secret put --help`")
	}
	return nil
}

// secretPut is one secret that is to be put.
type secretPut struct {
	name         string
	kind         fleetv1.SecretKind
	plaintext    []byte
	certificates []*actionv1.Certificate
}

// read reads what is to be put: a text, or a PFX, after its password when that is to be kept too.
func (o *secretPutOptions) read(ctx context.Context, a *app) ([]secretPut, error) {
	content, err := o.content(ctx, a)
	if err != nil {
		return nil, err
	}
	if !o.pfx {
		return []secretPut{{name: o.name, kind: fleetv1.SecretKind_SECRET_KIND_TEXT, plaintext: withoutBreak(content)}}, nil
	}
	password, err := o.password(ctx, a, content)
	if err != nil {
		return nil, err
	}
	facts := pfx.Facts(content, string(password))
	if facts.GetProblem() != "" {
		return nil, exit.Errorf(exit.BadInput, "secret %q: nothing was put, for the PFX cannot be used: %s", o.name, facts.GetProblem()).
			Then("look at the file and its password, and put it again")
	}
	file := secretPut{o.name, fleetv1.SecretKind_SECRET_KIND_PFX, content, facts.GetChain()}
	switch {
	case o.passwordSecret == "":
		return []secretPut{file}, nil
	case len(password) == 0:
		return nil, exit.Errorf(exit.BadInput, "secret %q: nothing was put, for the PFX has no password", o.passwordSecret).Then("leave --password-secret out")
	}
	return []secretPut{{name: o.passwordSecret, kind: fleetv1.SecretKind_SECRET_KIND_TEXT, plaintext: password}, file}, nil
}

// content is what is to be sealed.
func (o *secretPutOptions) content(ctx context.Context, a *app) (content []byte, err error) {
	switch {
	case o.stdin:
		content, err = readAtMost(a.stdin, sealed.MaxPlaintext)
	case o.file != "":
		content, err = readBounded(o.file, sealed.MaxPlaintext)
	default:
		return a.askSecretTwice(ctx, "Secret "+o.name)
	}
	if err == nil && len(withoutBreak(content)) == 0 {
		err = fmt.Errorf("it is empty")
	}
	if err != nil {
		return nil, exit.Errorf(exit.BadInput, "secret %q: %v; nothing was put", o.name, err).Then("give what it is with --file or --stdin; it has at most %d bytes", sealed.MaxPlaintext)
	}
	return content, nil
}

// password is that of a PFX: from its file, or asked for where the PFX does not open without one.
func (o *secretPutOptions) password(ctx context.Context, a *app, file []byte) ([]byte, error) {
	switch {
	case o.passwordFile != "":
		text, err := readBounded(o.passwordFile, sealed.MaxPlaintext)
		if err != nil {
			return nil, exit.Errorf(exit.BadInput, "password of secret %q: %v; nothing was put", o.name, err).Then("name another file with --password-file")
		}
		return withoutBreak(text), nil
	case pfx.Facts(file, "").GetProblem() == "":
		return nil, nil
	case !a.interactive() || o.stdin:
		return nil, exit.Errorf(exit.BadInput, "secret %q: the PFX does not open without a password, and there is nobody to ask; nothing was put", o.name).
			Then("give the password with --password-file")
	}
	typed, err := a.askSecrets(ctx, "Password of the PFX: ")
	if err != nil {
		return nil, err
	}
	return typed[0], nil
}

// withoutBreak leaves out the line break at the end that editors add.
func withoutBreak(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
}

// sealingKey asks for a terminal's key, and checks it against the CA of the context file.
func (a *app) sealingKey(ctx context.Context, c *client.Client, terminal string) (*fleetv1.GetSealingKeyResponse, error) {
	found, err := a.readContext()
	if err != nil {
		return nil, err
	}
	cas, err := identity.ParseCertificates([]byte(found.context.CA))
	if err != nil {
		return nil, exit.Errorf(exit.BadInput, "context file %q: %v", found.path, err)
	}
	key, err := c.Secrets.GetSealingKey(ctx, &fleetv1.GetSealingKeyRequest{Terminal: terminal})
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(terminal, key.GetTerminalId()) && !strings.EqualFold(terminal, key.GetTerminalName()) {
		return nil, exit.Errorf(exit.Internal, "terminal %q: the server answered with the key of %s (%s); nothing was put", terminal, key.GetTerminalName(), key.GetTerminalId())
	}
	proof := sealed.Proof{SealingKey: key.GetSealingKey(), Signature: key.GetProof(), Chain: key.GetCertificateChain()}
	if err := proof.Check(key.GetTerminalId(), identity.Pool(cas...), a.now()); err != nil {
		return nil, exit.Errorf(exit.Internal, "%v; nothing was put", err)
	}
	return key, nil
}

// put seals one secret and stores it.
func (a *app) put(ctx context.Context, c *client.Client, o *secretPutOptions, key *fleetv1.GetSealingKeyResponse, p secretPut) error {
	s, err := sealed.Seal(key.GetSealingKey(), key.GetTerminalId(), p.name, p.plaintext)
	if err != nil {
		return exit.Errorf(exit.BadInput, "%v; it was not put", err)
	}
	resp, err := c.Secrets.PutSecret(ctx, &fleetv1.PutSecretRequest{
		Terminal: key.GetTerminalId(), Name: p.name, Kind: p.kind, Sealed: s, Certificates: p.certificates, Reason: o.reason, RequestId: ulid.Make().String(),
	})
	if err != nil {
		return err
	}
	secret := resp.GetSecret()
	if a.format.Machine() && p.name != o.name {
		// One document: that of what was asked for.
		return nil
	}
	return printObject(a, secret, secret.GetName(), func() { a.describeSecret(secret) })
}

// describeSecret says what was put, and how it is used.
func (a *app) describeSecret(s *fleetv1.Secret) {
	a.out.Line("secret %s of %s (%s): version %d, %s", s.GetName(), s.GetTerminalName(), s.GetTerminalId(), s.GetVersion(), word(s.GetKind()))
	if leaf := leafOf(s); leaf != nil {
		a.out.Fields(2,
			output.Text("Subject", leaf.GetSubject()), output.Text("Issuer", leaf.GetIssuer()), output.Text("Names", strings.Join(namesIn(leaf), ", ")),
			output.Text("Valid", output.UTC(leaf.GetNotBefore())+" to "+output.UTC(leaf.GetNotAfter())),
			output.Text("SHA-256", leaf.GetSha256()), output.Text("Chain", output.Count(len(s.GetCertificates()), "certificate")),
		)
		if leaf.GetNotAfter().AsTime().Before(a.now()) {
			a.info.Line("warning: the certificate has ended already")
		}
	}
	a.out.Line("next: name it in a parameter of an action for this terminal, as secret:%s", s.GetName())
}

// leafOf is the certificate that a PFX is about, nil of another secret.
func leafOf(s *fleetv1.Secret) *actionv1.Certificate {
	if len(s.GetCertificates()) == 0 {
		return nil
	}
	return s.GetCertificates()[0]
}

// namesIn are the names that a certificate is for.
func namesIn(c *actionv1.Certificate) []string {
	return append(append([]string{}, c.GetDnsNames()...), c.GetIpAddresses()...)
}
