package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// webBindings are the https bindings of IIS. Two keepers know half of each: the web server's configuration has sites, addresses and hosts;
// the kernel's HTTP driver has the certificate of each endpoint.
type webBindings struct {
	iis          appcmdIIS
	records      sslRecords
	certificates Certificates
}

// siteBinding is what the web server's configuration says of an https binding.
type siteBinding struct {
	site, address string
	port          uint32
	host          string
	flags         uint32
}

// Flags of a binding (IIS schema: binding sslFlags).
const (
	bindingSNI     = 1
	bindingCentral = 2 // its certificate comes from a central store and is nobody's to set here
)

func (b siteBinding) is(other *actionv1.Binding) bool {
	return b.site == other.GetSite() && b.address == other.GetAddress() && b.port == other.GetPort() && strings.EqualFold(b.host, other.GetHost())
}

// key is the endpoint that the driver keeps its certificate for.
func (b siteBinding) key() (sslKey, error) {
	if b.flags&bindingSNI != 0 {
		return sslKey{host: strings.ToLower(b.host), port: uint16(b.port)}, nil
	}
	if b.address == "*" {
		return sslKey{address: netip.IPv4Unspecified(), port: uint16(b.port)}, nil
	}
	address, err := netip.ParseAddr(b.address)
	if err != nil {
		return sslKey{}, fmt.Errorf("address %q: want an IP address or *", b.address)
	}
	return sslKey{address: address.Unmap(), port: uint16(b.port)}, nil
}

// List implements Bindings.
func (w webBindings) List(ctx context.Context) ([]*actionv1.Binding, error) {
	found, _, err := w.read(ctx)
	if err != nil {
		return nil, err
	}
	hashes := thumbprints{certificates: w.certificates}
	var list []*actionv1.Binding
	for _, b := range found {
		described, err := w.describe(ctx, b, &hashes)
		if err != nil {
			return nil, bindingError(b, err)
		}
		list = append(list, described)
	}
	slices.SortFunc(list, func(a, b *actionv1.Binding) int {
		return cmp.Or(cmp.Compare(a.GetSite(), b.GetSite()), cmp.Compare(a.GetPort(), b.GetPort()),
			cmp.Compare(a.GetAddress(), b.GetAddress()), cmp.Compare(a.GetHost(), b.GetHost()))
	})
	return list, nil
}

// read lists the https bindings and the names of all sites.
func (w webBindings) read(ctx context.Context) (bindings []siteBinding, sites []string, err error) {
	all, err := w.iis.sites(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("https bindings: %w", err)
	}
	for _, s := range all {
		sites = append(sites, s.Name)
		for _, b := range s.Bindings {
			if b.Protocol != "https" {
				continue
			}
			address, port, host, err := b.endpoint()
			if err != nil {
				return nil, nil, fmt.Errorf("https bindings: site %q: %w", s.Name, err)
			}
			bindings = append(bindings, siteBinding{s.Name, address, port, host, b.SSLFlags})
		}
	}
	return bindings, sites, nil
}

// describe adds what the driver serves there.
func (w webBindings) describe(ctx context.Context, b siteBinding, hashes *thumbprints) (*actionv1.Binding, error) {
	described := &actionv1.Binding{Site: b.site, Address: b.address, Port: b.port, Host: b.host, Sni: b.flags&bindingSNI != 0, Exists: true}
	key, err := b.key()
	if err != nil || b.flags&bindingCentral != 0 {
		return described, err
	}
	record, err := w.records.read(key)
	if errors.Is(err, ErrNotExist) {
		return described, nil
	}
	if err != nil {
		return nil, err
	}
	described.Store = record.storeName()
	described.CertificateSha256, err = hashes.sha256(ctx, described.GetStore(), record.sha1)
	return described, err
}

func bindingError(b siteBinding, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("binding %q of site %q: %w", information(b.address, b.port, b.host), b.site, err)
}

// thumbprints finds certificates by the SHA-1 that the driver knows them by, and reads each store once.
type thumbprints struct {
	certificates Certificates
	stores       map[string][]*actionv1.Certificate
}

// sha256 is empty for a certificate that is in the store no more: then nothing can be served.
func (t *thumbprints) sha256(ctx context.Context, store, sha1 string) (string, error) {
	list, err := t.store(ctx, store)
	for _, c := range list {
		if c.GetSha1() == sha1 {
			return c.GetSha256(), nil
		}
	}
	return "", err
}

func (t *thumbprints) store(ctx context.Context, store string) ([]*actionv1.Certificate, error) {
	if list, known := t.stores[store]; known {
		return list, nil
	}
	if CheckStore(store) != nil {
		return nil, nil //nolint:nilerr // a store that this product never touches
	}
	list, err := t.certificates.List(ctx, store)
	if err != nil {
		return nil, err
	}
	if t.stores == nil {
		t.stores = map[string][]*actionv1.Certificate{}
	}
	t.stores[store] = list
	return list, nil
}

// checkBinding refuses a binding that makes no sense, before anything is read or changed.
func checkBinding(b *actionv1.Binding) (siteBinding, error) {
	wanted := siteBinding{site: b.GetSite(), address: b.GetAddress(), port: b.GetPort(), host: b.GetHost()}
	if b.GetSni() {
		wanted.flags = bindingSNI
	}
	if err := checkIISName("site", b.GetSite()); err != nil {
		return wanted, err
	}
	_, err := wanted.key()
	switch {
	case err != nil:
	case b.GetPort() == 0 || b.GetPort() > 65535:
		err = fmt.Errorf("port %s: want 1 to 65535", strconv.Itoa(int(b.GetPort())))
	case strings.ContainsFunc(b.GetHost(), func(r rune) bool { return notInHosts(r) || strings.ContainsRune(`:'[],`, r) }):
		err = fmt.Errorf("host %q: is not allowed as a name", b.GetHost())
	case b.GetSni() && b.GetHost() == "":
		err = errors.New("a binding that tells certificates apart by name (SNI) needs a host")
	case b.GetAddress() != "*" && net.ParseIP(b.GetAddress()) == nil:
		err = fmt.Errorf("address %q: want an IP address or *", b.GetAddress())
	}
	return wanted, bindingError(wanted, err)
}
