package host

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// driver is the HTTP driver's records in memory.
type driver struct {
	records map[sslKey]sslRecord
	// old: it cannot change a record in place.
	old bool
	// failures is how many of the next additions fail.
	failures int
}

func (d *driver) read(key sslKey) (sslRecord, error) {
	record, there := d.records[key]
	if !there {
		return record, ErrNotExist
	}
	return record, nil
}

func (d *driver) add(key sslKey, record sslRecord) error {
	if d.failures > 0 {
		d.failures--
		return errors.New("a logon session does not exist")
	}
	if _, there := d.records[key]; there {
		return errors.New("is there already")
	}
	d.records[key] = record
	return nil
}

func (d *driver) update(key sslKey, record sslRecord) error {
	if d.old {
		return ErrNotSupported
	}
	if _, there := d.records[key]; !there {
		return ErrNotExist
	}
	d.records[key] = record
	return nil
}

func (d *driver) remove(key sslKey) error {
	if _, there := d.records[key]; !there {
		return ErrNotExist
	}
	delete(d.records, key)
	return nil
}

// keptCertificates are stores with two certificates that can be bound and one without its key.
type keptCertificates struct{ NoCertificates }

func (keptCertificates) List(_ context.Context, store string) ([]*actionv1.Certificate, error) {
	if store != "WebHosting" {
		return nil, nil
	}
	return []*actionv1.Certificate{
		{Sha256: "old256", Sha1: "0a01", HasPrivateKey: true}, {Sha256: "new256", Sha1: "0a02", HasPrivateKey: true}, {Sha256: "bare256", Sha1: "0a03"},
	}, nil
}

func anyKey(port uint16) sslKey { return sslKey{address: netip.IPv4Unspecified(), port: port} }

// machineBindings are those of testdata/iis, with the old certificate on port 443 and its record set by hand.
func machineBindings(t *testing.T) (webBindings, *driver, *recorded) {
	t.Helper()
	iis, commands := recordedIIS(t)
	records := &driver{records: map[sslKey]sslRecord{
		anyKey(443): {sha1: "0a01", store: "WEBHOSTING", appID: [16]byte{7}, flags: 2, checkMode: 1, trustList: "list"},
	}}
	return webBindings{iis: iis, records: records, certificates: keptCertificates{}}, records, commands
}

func bound(certificate string) *actionv1.Binding {
	return &actionv1.Binding{Site: "Default Web Site", Address: "*", Port: 443, CertificateSha256: certificate, Store: "WebHosting", Exists: true}
}

func TestBindingsAreListed(t *testing.T) {
	w, _, _ := machineBindings(t)
	list, err := w.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range list {
		got = append(got, strings.Join([]string{b.GetSite(), information(b.GetAddress(), b.GetPort(), b.GetHost()), b.GetCertificateSha256(), b.GetStore()}, "|"))
	}
	want := []string{"Default Web Site|*:443:|old256|WebHosting", "Default Web Site|*:8443:nes.lyon.example||", "WSUS Administration|[fe80::1]:8531:||"}
	if !slices.Equal(got, want) || !list[1].GetSni() || list[0].GetSni() {
		t.Errorf("bindings are %q, want %q, the second one by name", got, want)
	}
}

// TestCertificateIsChangedAndBack: all else that the driver keeps for the endpoint stays, and undo leaves it as it was.
func TestCertificateIsChangedAndBack(t *testing.T) {
	for _, old := range []bool{false, true} {
		w, records, commands := machineBindings(t)
		records.old = old
		before := records.records[anyKey(443)]
		if err := w.Set(t.Context(), bound("new256")); err != nil {
			t.Fatalf("Set = %v, want success", err)
		}
		after := records.records[anyKey(443)]
		if after.sha1 != "0a02" || after.flags != 2 || after.checkMode != 1 || after.trustList != "list" || after.appID != before.appID {
			t.Errorf("record is %+v, want the new certificate and the rest as it was", after)
		}
		if err := w.Set(t.Context(), bound("old256")); err != nil {
			t.Fatalf("Set back = %v, want success", err)
		}
		if back := records.records[anyKey(443)]; back.sha1 != before.sha1 || back.storeName() != before.storeName() || len(commands.done) != 0 {
			t.Errorf("record is %+v, commands %q; want the earlier one and the web server's configuration untouched", back, commands.done)
		}
	}
}

// TestNothingIsLeftUnbound: on an old driver the record is away for a moment; it is tried again, and then the earlier one put back.
func TestNothingIsLeftUnbound(t *testing.T) {
	w, records, _ := machineBindings(t)
	records.old, records.failures = true, 2
	if err := w.Set(t.Context(), bound("new256")); err != nil || records.records[anyKey(443)].sha1 != "0a02" {
		t.Errorf("Set = %v, record %v; want it done at the third try", err, records.records)
	}
	before := maps.Clone(records.records)
	records.failures = 4
	if err := w.Set(t.Context(), bound("old256")); err == nil || !maps.Equal(records.records, before) {
		t.Errorf("Set = %v, record %v; want an error and the earlier record back", err, records.records)
	}
}

func TestBindingIsMadeAndRemoved(t *testing.T) {
	w, records, commands := machineBindings(t)
	made := &actionv1.Binding{Site: "WSUS Administration", Address: "*", Port: 9443, Host: "nes.example", Sni: true, CertificateSha256: "new256", Store: "WebHosting"}
	key := sslKey{host: "nes.example", port: 9443}
	if err := w.Set(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	want := []string{"set|site|/site.name:WSUS Administration|/+bindings.[protocol='https',bindingInformation='*:9443:nes.example',sslFlags='1']"}
	if !slices.Equal(commands.done, want) || records.records[key].sha1 != "0a02" || records.records[key].appID != iisAppID() {
		t.Errorf("commands %q, record %+v; want %q and the certificate of the host", commands.done, records.records[key], want)
	}
	commands.fail = true
	made.Port = 9444
	if err := w.Set(t.Context(), made); err == nil || len(records.records) != 2 {
		t.Errorf("Set = %v, records %v; want an error and no record of a binding that is not there", err, records.records)
	}
	commands.fail, commands.done = false, nil
	if err := w.Remove(t.Context(), bound("")); err != nil || len(records.records) != 1 {
		t.Errorf("Remove = %v, records %v; want its record gone too", err, records.records)
	}
	if want := "set|site|/site.name:Default Web Site|/-bindings.[protocol='https',bindingInformation='*:443:']"; !slices.Equal(commands.done, []string{want}) {
		t.Errorf("commands %q, want %q", commands.done, want)
	}
	if err := w.Remove(t.Context(), made); !errors.Is(err, ErrNotExist) {
		t.Errorf("Remove of one that is not there = %v, want ErrNotExist", err)
	}
}

// TestBindingsThatAreRefused: nothing is changed then.
func TestBindingsThatAreRefused(t *testing.T) {
	change := func(do func(*actionv1.Binding)) *actionv1.Binding {
		b := bound("new256")
		do(b)
		return b
	}
	for name, b := range map[string]*actionv1.Binding{
		"unknown site":           change(func(b *actionv1.Binding) { b.Site = "none" }),
		"unknown certificate":    bound("none256"),
		"no private key":         bound("bare256"),
		"another store":          change(func(b *actionv1.Binding) { b.Store = "My" }),
		"another kind":           change(func(b *actionv1.Binding) { b.Port, b.Host = 8443, "nes.lyon.example" }),
		"by name without a name": change(func(b *actionv1.Binding) { b.Sni = true }),
		"no port":                change(func(b *actionv1.Binding) { b.Port = 0 }),
		"no address":             change(func(b *actionv1.Binding) { b.Address = "localhost" }),
		"a quote in the host":    change(func(b *actionv1.Binding) { b.Port, b.Host = 444, "x',protocol='http" }),
		"shared with a site":     change(func(b *actionv1.Binding) { b.Site, b.Host = "WSUS Administration", "x.example" }),
	} {
		w, records, commands := machineBindings(t)
		if err := w.Set(t.Context(), b); err == nil || len(commands.done) != 0 || records.records[anyKey(443)].sha1 != "0a01" || len(records.records) != 1 {
			t.Errorf("%s: %v, commands %q, records %v; want an error and nothing changed", name, err, commands.done, records.records)
		}
	}
}

// TestNoCertificateIsBound: undo of a binding that had none.
func TestNoCertificateIsBound(t *testing.T) {
	w, records, _ := machineBindings(t)
	if err := w.Set(t.Context(), bound("")); err != nil || len(records.records) != 0 {
		t.Errorf("Set = %v, records %v; want none", err, records.records)
	}
}
