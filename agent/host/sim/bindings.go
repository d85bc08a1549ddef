package sim

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// bindingsFile is what the web server's process reads anew for each handshake. It is replaced atomically, so that at each moment it is as
// it was or as it will be, whoever is killed.
const bindingsFile = "bindings.json"

// bindingRecord is an https binding, and where it really listens.
type bindingRecord struct {
	Site    string `json:"site"`
	Address string `json:"address"`
	Port    uint32 `json:"port"`
	Host    string `json:"host,omitempty"`
	SNI     bool   `json:"sni,omitempty"`
	// Certificate is empty when none is bound.
	Certificate string `json:"certificate_sha256,omitempty"`
	Store       string `json:"store,omitempty"`
	// Listen is the port on 127.0.0.1 that stands for Port: many simulated hosts share one machine.
	Listen int `json:"listen"`
}

func (b bindingRecord) name() string {
	return fmt.Sprintf("%s %s:%d:%s", b.Site, b.Address, b.Port, b.Host)
}

func recordOf(b *actionv1.Binding) bindingRecord {
	return bindingRecord{
		Site: b.GetSite(), Address: b.GetAddress(), Port: b.GetPort(), Host: b.GetHost(), SNI: b.GetSni(),
		Certificate: b.GetCertificateSha256(), Store: b.GetStore(),
	}
}

func (b bindingRecord) proto() *actionv1.Binding {
	return &actionv1.Binding{
		Site: b.Site, Address: b.Address, Port: b.Port, Host: b.Host, Sni: b.SNI,
		CertificateSha256: b.Certificate, Store: b.Store, Exists: true,
	}
}

func (t *terminal) bindings() ([]bindingRecord, error) {
	return readRecord[[]bindingRecord](t, bindingsFile)
}

// bindings is a simulated NES host's host.Bindings.
type bindings struct{ *terminal }

// List implements host.Bindings.
func (v bindings) List(context.Context) ([]*actionv1.Binding, error) {
	records, err := v.bindings()
	if err != nil {
		return nil, fmt.Errorf("bindings: %w", err)
	}
	var list []*actionv1.Binding
	for _, record := range records {
		list = append(list, record.proto())
	}
	return list, nil
}

// Set implements host.Bindings. What is bound must be in its store, with its key.
func (v bindings) Set(ctx context.Context, b *actionv1.Binding) error {
	wanted := recordOf(b)
	if err := v.bindable(wanted); err != nil {
		return fmt.Errorf("binding %q: %w", wanted.name(), err)
	}
	err := changeRecord(ctx, v.terminal, bindingsFile, func(records *[]bindingRecord) error {
		at := slices.IndexFunc(*records, func(r bindingRecord) bool { return r.name() == wanted.name() })
		if at >= 0 {
			wanted.Listen = (*records)[at].Listen
			(*records)[at] = wanted
			return nil
		}
		var err error
		if wanted.Listen, err = v.listenFor(*records, wanted.Port); err != nil {
			return err
		}
		*records = append(*records, wanted)
		slices.SortFunc(*records, compareBindings)
		return nil
	})
	if err != nil {
		return fmt.Errorf("binding %q: %w", wanted.name(), err)
	}
	return nil
}

func compareBindings(a, b bindingRecord) int {
	return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Host, b.Host))
}

// bindable refuses what a web server could not serve.
func (v bindings) bindable(b bindingRecord) error {
	web, err := v.web()
	if err != nil {
		return err
	}
	if _, ok := web.Sites[b.Site]; !ok {
		return fmt.Errorf("site %q: %w", b.Site, host.ErrNotExist)
	}
	if b.Certificate == "" {
		return nil
	}
	for _, suffix := range []string{certificateFile, keyFile} {
		there, err := v.has(filepath.Base(b.Store), filepath.Base(b.Certificate)+suffix)
		switch {
		case err != nil:
			return err
		case !there && suffix == keyFile:
			return fmt.Errorf("certificate %s of store %q has no private key", b.Certificate, b.Store)
		case !there:
			return fmt.Errorf("certificate %s of store %q: %w", b.Certificate, b.Store, host.ErrNotExist)
		}
	}
	return nil
}

// listenFor finds the real port of a new binding: bindings of one port share it.
func (t *terminal) listenFor(records []bindingRecord, port uint32) (int, error) {
	for _, r := range records {
		if r.Port == port {
			return r.Listen, nil
		}
	}
	if port == httpsPort {
		return t.HTTPSPort, nil
	}
	return freePort()
}

// Remove implements host.Bindings.
func (v bindings) Remove(ctx context.Context, b *actionv1.Binding) error {
	name := recordOf(b).name()
	err := changeRecord(ctx, v.terminal, bindingsFile, func(records *[]bindingRecord) error {
		before := len(*records)
		*records = slices.DeleteFunc(*records, func(r bindingRecord) bool { return r.name() == name })
		if len(*records) == before {
			return host.ErrNotExist
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("binding %q: %w", name, err)
	}
	return nil
}
