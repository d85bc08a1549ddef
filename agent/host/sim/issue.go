package sim

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/sample"
)

// IssueOptions say what PFX a NES host's authority is to make.
type IssueOptions struct {
	// Names are those of the certificate; none means the host's own.
	Names []string
	// ValidFor is how long; 0 means a year.
	ValidFor time.Duration
	// Stranger: by another authority, which nobody trusts.
	Stranger bool
	// Legacy: in the encryption that Windows Server 2016 needs.
	Legacy bool
}

// Issued is a PFX, for the demo and tests of the rotation of a certificate.
type Issued struct {
	PFX      []byte
	Password string
	SHA256   string
	// Root is the authority's certificate in PEM.
	Root []byte
}

// Issue makes a PFX file as a site's certificate authority would for a simulated NES host, with a password of its own. It changes nothing on
// the host.
func Issue(_ context.Context, dir string, o IssueOptions) (*Issued, error) {
	nes, err := loadNES(dir)
	if err != nil {
		return nil, err
	}
	authority, err := nes.authority()
	if o.Stranger && err == nil {
		authority, err = sample.NewAuthority("Root CA of strangers")
	}
	if err != nil {
		return nil, fmt.Errorf("authority of %q: %w", dir, err)
	}
	wanted := sample.Wanted{Names: o.Names}
	if len(wanted.Names) == 0 {
		wanted.Names = []string{nes.Hostname}
	}
	if o.ValidFor != 0 {
		wanted.NotAfter = time.Now().Add(o.ValidFor)
	}
	identity, err := authority.Issue(wanted)
	if err != nil {
		return nil, err
	}
	issued := &Issued{Password: rand.Text(), SHA256: identity.SHA256(), Root: sample.CertificatePEM(authority.Certificate.Raw)}
	encode := identity.PFX
	if o.Legacy {
		encode = identity.LegacyPFX
	}
	issued.PFX, err = encode(issued.Password)
	return issued, err
}
