package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// authorityFolder holds the key and the certificate of what issues a NES host's certificates. On a real site that is elsewhere.
const authorityFolder = "authority"

// createNES writes what a NES host has.
func (t *terminal) createNES() error {
	files := sample.NESLogs()
	for _, application := range sample.Applications() {
		files[application+"/web.config"] = sample.WebConfig(application, sample.Windows())
	}
	if err := t.writeFiles(files); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(t.dir, iisFile), newWeb()); err != nil {
		return err
	}
	authority, err := sample.NewAuthority("Root CA of " + t.Hostname)
	if err != nil {
		return err
	}
	if err := t.keepAuthority(authority); err != nil {
		return err
	}
	ctx := context.Background()
	if err := t.store(ctx, "Root", authority.Certificate.Raw, nil); err != nil {
		return err
	}
	if err := t.bindNew(ctx, yearLong, t.Hostname); err != nil {
		return err
	}
	for _, own := range []string{"localhost", t.Hostname} {
		if err := errors.Join(t.addHost(ctx, fmt.Sprintf("%s:%d", own, httpPort), loopback(t.HTTPPort)),
			t.addHost(ctx, fmt.Sprintf("%s:%d", own, httpsPort), loopback(t.HTTPSPort))); err != nil {
			return err
		}
	}
	return nil
}

// keepAuthority writes the authority, and its lists of revoked certificates where the web server serves them.
func (t *terminal) keepAuthority(a *sample.Authority) error {
	key, err := a.KeyPEM()
	if err != nil {
		return err
	}
	list, err := a.CRL()
	if err != nil {
		return err
	}
	files := map[string][]byte{
		filepath.Join(authorityFolder, "root.pem"): sample.CertificatePEM(a.Certificate.Raw),
		filepath.Join(authorityFolder, "root.key"): key,
	}
	for _, name := range sample.CRLNames() {
		files[filepath.Join(webFolder, "crl", name)] = list
	}
	for name, content := range files {
		file := filepath.Join(t.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := writePrivate(file, content); err != nil {
			return err
		}
	}
	return nil
}

// authority reads the authority.
func (t *terminal) authority() (*sample.Authority, error) {
	certificate, err := os.ReadFile(filepath.Join(t.dir, authorityFolder, "root.pem"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(t.dir, authorityFolder, "root.key"))
	if err != nil {
		return nil, err
	}
	return sample.LoadAuthority(certificate, key)
}

// yearLong is how long certificates are valid unless somebody wants another time.
const yearLong = 365 * 24 * time.Hour

// bindNew issues a certificate for a name that ends so far from now, and has the default site serve it.
func (t *terminal) bindNew(ctx context.Context, valid time.Duration, name string) error {
	authority, err := t.authority()
	if err != nil {
		return err
	}
	wanted := sample.Wanted{Names: []string{name}, NotAfter: time.Now().Add(valid)}
	if valid <= 0 { // it has expired
		wanted.NotBefore = wanted.NotAfter.Add(-24 * time.Hour)
	}
	identity, err := authority.Issue(wanted)
	if err != nil {
		return err
	}
	key, err := identity.KeyPEM()
	if err != nil {
		return err
	}
	if err := t.store(ctx, "WebHosting", identity.Certificate.Raw, key); err != nil {
		return err
	}
	return bindings{t}.Set(ctx, &actionv1.Binding{
		Site: defaultSite, Address: "*", Port: httpsPort, CertificateSha256: identity.SHA256(), Store: "WebHosting",
	})
}
