package main

import (
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const install = "root-cert-install"

// rootFleet is a fleet whose host does not trust the authority, which is approved.
func rootFleet(t *testing.T) *fleet {
	f := newFleet(t)
	f.approve("lyon-root-2", f.authority.Certificate)
	f.arrange = func(m *hosttest.Memory) { m.Drop(storeRoot, f.authority.SHA256()) }
	return f
}

func (f *fleet) rootParams(more ...string) map[string]string {
	p := map[string]string{"cert": "lyon-root-2", "sha256": strings.ToUpper(f.authority.SHA256())}
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return p
}

func TestRootConforms(t *testing.T) {
	f := rootFleet(t)
	machine := func() *sdktest.Machine {
		return &sdktest.Machine{Model: sdktest.Model{Site: f.site, Stores: map[string][]*actionv1.Certificate{}}}
	}
	sdktest.Conformance(t, func() sdk.Action { return rootCertInstall{} }, map[string]sdktest.Case{
		"install":      {Machine: machine, Params: f.rootParams(), Verdict: ready},
		"not approved": {Machine: machine, Params: f.rootParams("cert", "other"), Verdict: refused},
	})
}

func TestRootIsInstalledOnce(t *testing.T) {
	f := rootFleet(t)
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		b.Run(install, f.rootParams()).Want(succeeded)
		if !holds(t, b, storeRoot, f.authority.SHA256()) {
			t.Fatal("the root is not there")
		}
		before := len(b.Machine.Calls())
		b.Run(install, f.rootParams("cert", "LYON-ROOT-2")).Want(unchanged)
		if got := b.Machine.Calls(); len(got) != before {
			t.Errorf("a second run did %v, want nothing", got[before:])
		}
	})
}

func TestRootDiesAnywhere(t *testing.T) {
	f := rootFleet(t)
	runnertest.Crash(t, runnertest.Case{Action: rootCertInstall{}, Params: f.rootParams(), Setup: f.setup(), Twice: true})
}

// TestRootsThatAreRefused: a root that is not the approved one must never be trusted.
func TestRootsThatAreRefused(t *testing.T) {
	of := func(w sample.Wanted) *sample.Identity {
		i, err := sample.SelfSigned(w)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	list := func(i *sample.Identity) func(*fleet) map[string]string {
		return func(f *fleet) map[string]string {
			f.approve("server", i.Certificate)
			return map[string]string{"cert": "server", "sha256": i.SHA256()}
		}
	}
	names := []string{hosttest.NESHostname}
	valid := sample.Wanted{Names: names, NotBefore: bubbleTime().Add(-day), NotAfter: bubbleTime().Add(365 * day)}
	for name, c := range map[string]struct {
		arrange func(f *fleet) map[string]string
		reason  string
	}{
		"not on the list": {func(f *fleet) map[string]string { return f.rootParams("cert", "other") }, "is not on the site's list"},
		"another hash":    {func(f *fleet) map[string]string { return f.rootParams("sha256", hash("d")) }, "is approved with the SHA-256"},
		"only its hash": {func(f *fleet) map[string]string {
			f.site.ApprovedRoots[0].Certificate = nil
			return f.rootParams()
		}, "has only the hash"},
		"another certificate under the hash": {func(f *fleet) map[string]string {
			f.site.ApprovedRoots[0].Certificate = f.old.Certificate.Raw
			return f.rootParams()
		}, "has another SHA-256"},
		"no certificate": {func(f *fleet) map[string]string {
			f.site.ApprovedRoots[0].Certificate, f.site.ApprovedRoots[0].Sha256 = []byte("x"), sample.SHA256([]byte("x"))
			return f.rootParams("sha256", sample.SHA256([]byte("x")))
		}, "cannot be read as a certificate"},
		"signed by another": {func(f *fleet) map[string]string { return list(f.old)(f) }, "signed by another authority"},
		"a server's own":    {list(of(valid)), "set self_signed_server=true"},
		"expired": {list(of(sample.Wanted{Names: names, NotBefore: bubbleTime().Add(-365 * day), NotAfter: bubbleTime().Add(-time.Hour)})),
			"it expired on"},
		"not yet valid": {list(of(sample.Wanted{Names: names, NotBefore: bubbleTime().Add(day), NotAfter: bubbleTime().Add(2 * day)})), "it is not valid before"},
		"clients only": {list(of(sample.Wanted{Names: names, NotBefore: valid.NotBefore, NotAfter: valid.NotAfter, ClientOnly: true})),
			"neither an authority nor a server's"},
		"no server": {func(f *fleet) map[string]string { f.offline = true; return f.rootParams() }, "no session with the server"},
	} {
		t.Run(name, func(t *testing.T) {
			f := rootFleet(t)
			params := c.arrange(f)
			runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
				if o := b.Run(install, params).Want(isRefused).WantReason(c.reason); o.GetNextStep() == "" {
					t.Error("there is no next step")
				}
				if len(b.Machine.Calls()) > 0 {
					t.Errorf("the machine was told to %v, want nothing", b.Machine.Calls())
				}
			})
		})
	}
	t.Run("a server's own that is meant", func(t *testing.T) {
		f := rootFleet(t)
		params := list(of(valid))(f)
		params["self_signed_server"] = "true"
		runnertest.In(t, f.setup(), func(b *runnertest.Bench) { b.Run(install, params).Want(succeeded) })
	})
}
