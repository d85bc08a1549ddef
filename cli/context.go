package cli

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// configEnv names the context file when --config does not.
const configEnv = "FLEETCTL_CONFIG"

// expiryWarning is how long before its end a certificate is warned about.
const expiryWarning = 14 * 24 * time.Hour

// foundContext is a context with the file it came from.
type foundContext struct {
	path    string
	context identity.Context
}

// contextPath returns the file that holds the context, and whether somebody named it.
func (a *app) contextPath() (path string, named bool, err error) {
	if a.configFlag != "" {
		return a.configFlag, true, nil
	}
	if path := os.Getenv(configEnv); path != "" {
		return path, true, nil
	}
	path, err = defaultContextPath()
	return path, false, err
}

// defaultContextPath is where "config use" puts a context.
func defaultContextPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", exit.Errorf(exit.BadInput, "no place for settings of this user: %v", err).
			Then("name a context file with --config or %s", configEnv)
	}
	return filepath.Join(dir, "bandfleet", "fleetctl.yaml"), nil
}

func (a *app) readContext() (foundContext, error) {
	path, named, err := a.contextPath()
	if err != nil {
		return foundContext{}, err
	}
	c, err := identity.ReadContext(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return foundContext{}, exit.Errorf(exit.BadInput, "no context file: none was named, and %q is not there", path).
			Then("name one with --config FILE or %s, or put it in place with `fleetctl config use FILE`; the server's first start wrote admin.yaml into its data directory", configEnv)
	}
	if err != nil {
		return foundContext{}, exit.Errorf(exit.BadInput, "%v", err).
			Then("use a context file as fleetd or `fleetctl operator create` wrote it")
	}
	return foundContext{path, c}, nil
}

// checkPrivacy warns of a context file that others may read: it holds a private key. Windows keeps such rights elsewhere.
func (a *app) checkPrivacy(found foundContext) {
	info, err := os.Stat(found.path)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		a.info.Line("warning: %s holds your private key, and others may read it; run `chmod 600 %s`", found.path, found.path)
	}
}

// checkValidity refuses a certificate that has ended or is of another CA, before the server does it in fewer words (TLS 1.3
// often loses the refusal in the closed connection), and warns of a near end.
func (a *app) checkValidity(found foundContext) error {
	leaf, err := found.context.Leaf()
	if err != nil {
		return exit.Errorf(exit.BadInput, "context file %q: %v", found.path, err)
	}
	if err := checkIssuer(found.context, leaf); err != nil {
		return exit.Errorf(exit.Unreachable, "context file %q: its certificate is not of the CA in the same file: %v", found.path, err).
			Then("use a context file as fleetd or `fleetctl operator create` wrote it")
	}
	end := leaf.NotAfter.UTC().Format(time.RFC3339)
	switch left := leaf.NotAfter.Sub(a.now()); {
	case left <= 0:
		return exit.Errorf(exit.Unreachable, "context file %q: its certificate expired at %s", found.path, end).
			Then("ask an administrator for a new context file (`fleetctl operator create`)")
	case left < expiryWarning:
		a.info.Line("warning: your certificate expires in %s (%s); renew it with `fleetctl operator renew --out FILE`", output.Duration(left), end)
	}
	return nil
}

// checkIssuer verifies the certificate against the file's CAs, at a time at which it was valid.
func checkIssuer(c identity.Context, leaf *x509.Certificate) error {
	cas, err := identity.ParseCertificates([]byte(c.CA))
	if err != nil {
		return err
	}
	chain, err := identity.ParseCertificates([]byte(c.Certificate))
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: identity.Pool(cas...), Intermediates: identity.Pool(chain[1:]...),
		CurrentTime: leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}
