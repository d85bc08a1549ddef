package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	ready    = actionv1.PlanVerdict_PLAN_VERDICT_READY
	noChange = actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE
	refused  = actionv1.PlanVerdict_PLAN_VERDICT_REFUSED
)

const (
	ownName = "nes-lyon-1.example"
	webSite = "Default Web Site"
	pfxRef  = "secret:nes-lyon-1.pfx"
	passRef = "secret:nes-lyon-1.password"
)

// What certificates are made of: oldCert is what the host serves, newCert what its PFX holds, lyonRoot the authority of both.
const (
	oldCert  = "a"
	newCert  = "b"
	lyonRoot = "c"
)

// hash is a SHA-256 that is easy to tell from others.
func hash(digit string) string { return strings.Repeat(digit, 64) }

// bubbleTime is when the time of a bubble begins.
func bubbleTime() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// leaf is a server's certificate, valid for a year by the bubble's clock.
func leaf(digit string, changes ...func(*actionv1.Certificate)) *actionv1.Certificate {
	c := &actionv1.Certificate{
		Sha256: hash(digit), Sha1: strings.Repeat(digit, 40), Subject: "CN=" + ownName, Issuer: "CN=Lyon Root", DnsNames: []string{ownName},
		NotBefore: timestamppb.New(bubbleTime().Add(-day)), NotAfter: timestamppb.New(bubbleTime().Add(365 * day)), ServerAuth: true, HasPrivateKey: true,
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

func root(digit string) *actionv1.Certificate {
	return leaf(digit, func(c *actionv1.Certificate) {
		c.Subject, c.DnsNames, c.IsCa, c.SelfSigned, c.HasPrivateKey = c.GetIssuer(), nil, true, true, false
	})
}

func bound(digit string) *actionv1.Binding {
	return &actionv1.Binding{Site: webSite, Address: "*", Port: 443, CertificateSha256: hash(digit), Store: storeWebHosting, Exists: true}
}

// served is what a probe of the host finds. On this machine it does not change with the binding.
func served(c *actionv1.Certificate) *actionv1.NetProbeResult {
	return &actionv1.NetProbeResult{
		Addresses: []string{"192.0.2.1"}, Connected: true, Handshake: true, Trusted: true, HttpStatus: 401,
		Chain: []*actionv1.Certificate{proto.CloneOf(c), root(lyonRoot)},
	}
}

// nesHost is a NES host that serves one certificate and has the PFX of another, after it was changed.
func nesHost(changes ...func(*sdktest.Machine)) func() *sdktest.Machine {
	return func() *sdktest.Machine {
		m := &sdktest.Machine{Host: &actionv1.HostState{Hostname: "nes-lyon-1"}, Model: sdktest.Model{
			Stores:   map[string][]*actionv1.Certificate{storeWebHosting: {leaf(oldCert)}, storeRoot: {root(lyonRoot)}},
			Bindings: []*actionv1.Binding{bound(oldCert)},
			IIS: &actionv1.IISInventory{
				Installed: true, Sites: []*actionv1.IISSite{{Name: webSite, Started: true}},
				Applications: []*actionv1.IISApplication{{Site: webSite, Path: "/nes"}, {Site: "Other", Path: "/x"}},
			},
			Net:     map[string]*actionv1.NetProbeResult{ownName + ":443": served(leaf(newCert))},
			Machine: &actionv1.MachineState{ClockOffset: durationpb.New(time.Second)},
			Site: &actionv1.Surroundings{
				NesHosts:      []*actionv1.NESHost{{Host: "nes-lyon-1", Url: "https://" + ownName + "/nes/", Self: true, Users: 3}},
				ApprovedRoots: []*actionv1.ApprovedRoot{{Name: "lyon-root", Sha256: hash(lyonRoot)}},
			},
			Secrets:  map[string]*actionv1.SecretFacts{pfxRef: {Chain: []*actionv1.Certificate{leaf(newCert)}, HasPrivateKey: true}},
			Coverage: &actionv1.Coverage{Users: 3, Trusting: 3},
			Peers:    &actionv1.PeerVerdicts{Verdicts: []*actionv1.PeerVerdict{{Terminal: "T-1", Ok: true}, {Terminal: "T-2", Ok: true}}},
		}}
		for _, change := range changes {
			change(m)
		}
		return m
	}
}

// with adds parameters to those of a rotation.
func with(more ...string) map[string]string {
	p := map[string]string{"pfx": pfxRef, "pfx_password": passRef, "expected_thumbprint": strings.Repeat(newCert, 40)}
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return p
}

func alreadyBound(m *sdktest.Machine) {
	m.Stores[storeWebHosting] = append(m.Stores[storeWebHosting], leaf(newCert))
	m.Bindings = []*actionv1.Binding{bound(newCert)}
}

func imported(m *sdktest.Machine) {
	m.Stores[storeWebHosting] = append(m.Stores[storeWebHosting], leaf(newCert))
}

// untrusting has one terminal that does not trust the root and one of which it is not known.
func untrusting(m *sdktest.Machine) {
	m.Coverage = &actionv1.Coverage{Users: 4, Trusting: 2, Missing: []string{"T-7"}, Unknown: []string{"T-9"}, Offline: []string{"T-9"}}
}

func TestRotateConforms(t *testing.T) {
	sdktest.Conformance(t, func() sdk.Action { return tlsCertRotate{} }, map[string]sdktest.Case{
		"rotate":           {Machine: nesHost(), Params: with(), Verdict: ready},
		"without canaries": {Machine: nesHost(), Params: with("canaries", "0"), Verdict: ready},
		"no password":      {Machine: nesHost(), Params: map[string]string{"pfx": pfxRef, "expected_thumbprint": hash(newCert)}, Verdict: ready},
		"imported before":  {Machine: nesHost(imported), Params: with(), Verdict: ready},
		"bound already":    {Machine: nesHost(alreadyBound), Params: with(), Verdict: noChange},
		"accepted by name": {Machine: nesHost(untrusting), Params: with("accept_missing", "t-9,T-7"), Verdict: ready},
		"nobody uses it":   {Machine: nesHost(func(m *sdktest.Machine) { m.Coverage = &actionv1.Coverage{} }), Params: with(), Verdict: ready},
		"no secret":        {Machine: nesHost(func(m *sdktest.Machine) { m.Secrets = nil }), Params: with(), Verdict: refused},
	})
}

func TestBindConforms(t *testing.T) {
	params := map[string]string{"thumbprint": hash(newCert)}
	sdktest.Conformance(t, func() sdk.Action { return httpsBindingSet{} }, map[string]sdktest.Case{
		"bind":              {Machine: nesHost(imported), Params: params, Verdict: ready},
		"bound already":     {Machine: nesHost(alreadyBound), Params: params, Verdict: noChange},
		"makes the binding": {Machine: nesHost(imported, func(m *sdktest.Machine) { m.Bindings = nil }), Params: params, Verdict: ready},
		"not there":         {Machine: nesHost(), Params: params, Verdict: refused},
		"no key": {Machine: nesHost(func(m *sdktest.Machine) {
			m.Stores[storeMy] = []*actionv1.Certificate{leaf(newCert, func(c *actionv1.Certificate) { c.HasPrivateKey = false })}
		}), Params: params, Verdict: refused},
		"port of another site": {Machine: nesHost(imported, func(m *sdktest.Machine) { m.Bindings[0].Site = "Other" }), Params: params, Verdict: refused},
	})
}

func TestScanConforms(t *testing.T) {
	sdktest.Conformance(t, func() sdk.Action { return certScan{} }, map[string]sdktest.Case{
		"NES host":  {Machine: nesHost(), Verdict: ready},
		"nothing":   {Machine: func() *sdktest.Machine { return &sdktest.Machine{} }, Verdict: ready},
		"one store": {Machine: nesHost(), Params: map[string]string{"stores": "My", "chains": "false"}, Verdict: ready},
	})
}
