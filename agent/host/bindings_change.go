package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Set implements Bindings. The certificate comes first: a site that has a binding without one cannot be reached by it.
func (w webBindings) Set(ctx context.Context, b *actionv1.Binding) error {
	wanted, err := checkBinding(b)
	if err != nil {
		return err
	}
	all, sites, err := w.read(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(sites, b.GetSite()) {
		return fmt.Errorf("site %q: %w", b.GetSite(), ErrNotExist)
	}
	there, err := w.agrees(all, wanted, b)
	if err != nil {
		return bindingError(wanted, err)
	}
	return bindingError(wanted, w.set(ctx, wanted, b, there))
}

// agrees says whether a binding is there, and refuses one that is another kind or whose certificate other sites serve too.
func (w webBindings) agrees(all []siteBinding, wanted siteBinding, b *actionv1.Binding) (there bool, err error) {
	key, err := wanted.key()
	if err != nil {
		return false, err
	}
	for _, other := range all {
		if other.is(b) {
			there = true
			switch {
			case other.flags&bindingCentral != 0:
				return there, errors.New("takes its certificate from a central store: change it there")
			case other.flags&bindingSNI != wanted.flags&bindingSNI:
				return there, fmt.Errorf("tells certificates apart by name (SNI): %t, not %t: change that in IIS Manager first", other.flags&bindingSNI != 0, b.GetSni())
			}
			continue
		}
		if otherKey, err := other.key(); err == nil && otherKey == key && other.site != wanted.site {
			return there, fmt.Errorf("shares its certificate with site %q: have the sites told apart by name (SNI) first", other.site)
		}
	}
	return there, nil
}

func (w webBindings) set(ctx context.Context, wanted siteBinding, b *actionv1.Binding, there bool) error {
	key, err := wanted.key()
	if err != nil {
		return err
	}
	earlier, err := w.records.read(key)
	had := err == nil
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	if err := w.serve(ctx, key, earlier, had, b); err != nil || there {
		return err
	}
	if err := w.iis.addBinding(ctx, wanted); err != nil {
		return errors.Join(err, restoreRecord(w.records, key, earlier, had))
	}
	return nil
}

// serve has an endpoint serve b's certificate, or none.
func (w webBindings) serve(ctx context.Context, key sslKey, earlier sslRecord, had bool, b *actionv1.Binding) error {
	if b.GetCertificateSha256() == "" {
		return restoreRecord(w.records, key, sslRecord{}, false)
	}
	certificate, err := w.bindable(ctx, b)
	if err != nil {
		return err
	}
	record := earlier
	if !had {
		record.appID = iisAppID()
	}
	record.sha1, record.store = certificate.GetSha1(), b.GetStore()
	if had && record == earlier {
		return nil
	}
	return putRecord(w.records, key, record)
}

// bindable finds b's certificate, which must have its private key: without one no connection would come about.
func (w webBindings) bindable(ctx context.Context, b *actionv1.Binding) (*actionv1.Certificate, error) {
	list, err := w.certificates.List(ctx, b.GetStore())
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(c *actionv1.Certificate) bool { return c.GetSha256() == b.GetCertificateSha256() })
	switch {
	case at < 0:
		return nil, fmt.Errorf("certificate %s of store %q: %w", b.GetCertificateSha256(), b.GetStore(), ErrNotExist)
	case !list[at].GetHasPrivateKey():
		return nil, fmt.Errorf("certificate %s of store %q: has no private key here: import it with its key", b.GetCertificateSha256(), b.GetStore())
	}
	return list[at], nil
}

// Remove implements Bindings.
func (w webBindings) Remove(ctx context.Context, b *actionv1.Binding) error {
	wanted, err := checkBinding(b)
	if err != nil {
		return err
	}
	all, _, err := w.read(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(other siteBinding) bool { return other.is(b) })
	if at < 0 {
		return bindingError(wanted, ErrNotExist)
	}
	found := all[at]
	if err := w.iis.removeBinding(ctx, found); err != nil {
		return bindingError(found, err)
	}
	return bindingError(found, w.forget(slices.Delete(all, at, at+1), found))
}

// forget removes the driver's record of a binding that is gone, unless another binding is served by it.
func (w webBindings) forget(others []siteBinding, gone siteBinding) error {
	key, err := gone.key()
	if err != nil || gone.flags&bindingCentral != 0 {
		return err
	}
	for _, other := range others {
		if otherKey, err := other.key(); err == nil && otherKey == key {
			return nil
		}
	}
	return restoreRecord(w.records, key, sslRecord{}, false)
}

// addBinding and removeBinding change a site's list of bindings in the web server's configuration.
func (i appcmdIIS) addBinding(ctx context.Context, b siteBinding) error {
	return i.do(ctx, "set", "site", "/site.name:"+b.site,
		fmt.Sprintf("/+bindings.[protocol='https',bindingInformation='%s',sslFlags='%d']", information(b.address, b.port, b.host), b.flags))
}

func (i appcmdIIS) removeBinding(ctx context.Context, b siteBinding) error {
	return i.do(ctx, "set", "site", "/site.name:"+b.site,
		fmt.Sprintf("/-bindings.[protocol='https',bindingInformation='%s']", information(b.address, b.port, b.host)))
}
