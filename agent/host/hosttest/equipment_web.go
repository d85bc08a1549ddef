package hosttest

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// binding reads a binding; without exists when it is not there.
func (e Equipment) binding(t *testing.T, wanted *actionv1.Binding) *actionv1.Binding {
	t.Helper()
	list, err := e.Host.Bindings.List(t.Context())
	if err != nil {
		t.Fatalf("List = %v, want success", err)
	}
	for _, b := range list {
		if bindingName(b) == bindingName(wanted) {
			return b
		}
	}
	return &actionv1.Binding{}
}

// mustBind binds, and restores what the machine came with when the test is over.
func (e Equipment) mustBind(t *testing.T, b *actionv1.Binding) {
	t.Helper()
	if err := e.Host.Bindings.Set(t.Context(), b); err != nil {
		t.Fatalf("Set(%v) = %v, want success", b, err)
	}
	if now := e.binding(t, b); now.GetCertificateSha256() != b.GetCertificateSha256() || !now.GetExists() {
		t.Fatalf("after Set(%v): %v, want the certificate bound", b, now)
	}
}

func testRebind(t *testing.T, e Equipment) {
	if now := e.binding(t, e.Web.Bound); now.GetCertificateSha256() != e.Web.Bound.GetCertificateSha256() || now.GetStore() != e.Web.Bound.GetStore() {
		t.Fatalf("binding is %v, want %v: List tells certificate and store", now, e.Web.Bound)
	}
	other := proto.CloneOf(e.Web.Bound)
	other.CertificateSha256 = e.Web.Other
	before, err := e.Host.Bindings.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.mustBind(t, other)
	e.mustBind(t, other)
	e.mustBind(t, e.Web.Bound)
	after, err := e.Host.Bindings.List(t.Context())
	if err != nil || !slices.EqualFunc(before, after, func(a, b *actionv1.Binding) bool { return proto.Equal(a, b) }) {
		t.Errorf("bindings went from %v to %v (%v), want them as before: only the certificate is changed", before, after, err)
	}
}

func testBindRefused(t *testing.T, e Equipment) {
	_, stranger := newIdentity(t, sample.Wanted{Names: []string{"stranger.example"}})
	absent := proto.CloneOf(e.Web.Bound)
	absent.CertificateSha256 = stranger.SHA256()
	wantError(t, "Set with a certificate that is not there", e.Host.Bindings.Set(t.Context(), absent), host.ErrNotExist, stranger.SHA256())
	if err := e.Host.Certificates.Add(t.Context(), e.Web.Bound.GetStore(), stranger.Certificate.Raw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Host.Certificates.Remove(context.WithoutCancel(t.Context()), e.Web.Bound.GetStore(), stranger.SHA256())
	}) // only a test's
	if err := e.Host.Bindings.Set(t.Context(), absent); err == nil {
		t.Error("Set with a certificate without a key = nil, want an error: nothing could be served")
	}
	nowhere := proto.CloneOf(e.Web.Bound)
	nowhere.Site = "No Such Site"
	wantError(t, "Set on a site that is not there", e.Host.Bindings.Set(t.Context(), nowhere), host.ErrNotExist, "No Such Site")
	if now := e.binding(t, e.Web.Bound); now.GetCertificateSha256() != e.Web.Bound.GetCertificateSha256() {
		t.Errorf("binding is %v, want %v: what is refused changes nothing", now, e.Web.Bound)
	}
}

func testBindNew(t *testing.T, e Equipment) {
	added := proto.CloneOf(e.Web.Bound)
	added.Port = 8443
	wantError(t, "Remove of a binding that is not there", e.Host.Bindings.Remove(t.Context(), added), host.ErrNotExist, "8443")
	e.mustBind(t, added)
	if err := e.Host.Bindings.Remove(t.Context(), added); err != nil || e.binding(t, added).GetExists() {
		t.Errorf("Remove = %v, want success and the binding gone", err)
	}
	if now := e.binding(t, e.Web.Bound); now.GetCertificateSha256() != e.Web.Bound.GetCertificateSha256() {
		t.Errorf("binding is %v, want %v: others are left alone", now, e.Web.Bound)
	}
}

func (e Equipment) inventory(t *testing.T) *actionv1.IISInventory {
	t.Helper()
	inventory, err := e.Host.IIS.Inventory(t.Context(), e.Web.Location, "No Such Site/x")
	if err != nil {
		t.Fatalf("Inventory = %v, want success", err)
	}
	return inventory
}

func (e Equipment) pool(t *testing.T) *actionv1.IISPool {
	t.Helper()
	for _, p := range e.inventory(t).GetPools() {
		if p.GetName() == e.Web.Pool {
			return p
		}
	}
	t.Fatalf("no pool %q, want it in the inventory", e.Web.Pool)
	return nil
}

func testInventory(t *testing.T, e Equipment) {
	inventory := e.inventory(t)
	if !inventory.GetInstalled() || len(inventory.GetApplications()) == 0 {
		t.Errorf("Inventory = %v, want it installed, with applications", inventory)
	}
	runs := func(s *actionv1.IISSite) bool { return s.GetName() == e.Web.Site && s.GetStarted() }
	if !slices.ContainsFunc(inventory.GetSites(), runs) {
		t.Errorf("sites are %v, want %q started", inventory.GetSites(), e.Web.Site)
	}
	for _, a := range inventory.GetApplications() {
		if a.GetSite() == "" || a.GetPath() == "" || a.GetPool() == "" || a.GetFolder() == "" {
			t.Errorf("application %v, want every field set", a)
		}
	}
	if p := e.pool(t); !p.GetStarted() || p.GetIdentity() == "" {
		t.Errorf("pool %v, want it started, with an identity", p)
	}
	if flags := inventory.GetSslFlags(); flags[e.Web.Location] == "" || len(flags) != 1 {
		t.Errorf("SSL flags are %v, want those of %q alone: a location that is not there is missing", flags, e.Web.Location)
	}
}

func testIISValues(t *testing.T, e Equipment) {
	const flags, identity = actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY
	before := e.inventory(t).GetSslFlags()[e.Web.Location]
	for _, value := range []string{"Ssl,SslNegotiateCert", "None", before} {
		err := e.Host.IIS.Set(t.Context(), flags, e.Web.Location, value)
		if now := e.inventory(t).GetSslFlags()[e.Web.Location]; err != nil || now != value {
			t.Errorf("Set SSL flags %q = %v, then %q; want them set", value, err, now)
		}
	}
	for _, value := range []string{"NetworkService", e.pool(t).GetIdentity()} {
		err := e.Host.IIS.Set(t.Context(), identity, e.Web.Pool, value)
		if now := e.pool(t).GetIdentity(); err != nil || now != value {
			t.Errorf("Set identity %q = %v, then %q; want it set", value, err, now)
		}
	}
	wantError(t, "Set on a location that is not there", e.Host.IIS.Set(t.Context(), flags, "No Such Site/x", "Ssl"), host.ErrNotExist, "No Such Site/x")
	wantError(t, "Set on a pool that is not there", e.Host.IIS.Set(t.Context(), identity, "No Such Pool", "LocalSystem"), host.ErrNotExist, "No Such Pool")
}

func testIISRun(t *testing.T, e Equipment) {
	ctx := within(t, longWait)
	for call, err := range map[string]error{
		"StartSite of one that runs": e.Host.IIS.StartSite(ctx, e.Web.Site),
		"StartPool of one that runs": e.Host.IIS.StartPool(ctx, e.Web.Pool),
		"RecyclePool":                e.Host.IIS.RecyclePool(ctx, e.Web.Pool),
	} {
		if err != nil {
			t.Errorf("%s = %v, want success", call, err)
		}
	}
	wantError(t, "StartSite", e.Host.IIS.StartSite(ctx, "No Such Site"), host.ErrNotExist, "No Such Site")
	wantError(t, "StartPool", e.Host.IIS.StartPool(ctx, "No Such Pool"), host.ErrNotExist, "No Such Pool")
	wantError(t, "RecyclePool", e.Host.IIS.RecyclePool(ctx, "No Such Pool"), host.ErrNotExist, "No Such Pool")
}
