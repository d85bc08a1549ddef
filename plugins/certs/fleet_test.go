package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

const pfxPassword = "correct horse battery"

// fleet is a site with one NES host and what its server knows. It is the asker and the unsealer of the host's agent.
type fleet struct {
	t         *testing.T
	authority *sample.Authority
	// old is bound in the beginning, fresh is in the PFX.
	old, fresh *sample.Identity
	key        *ecdh.PrivateKey
	secrets    map[string]*agentv1.SealedSecret
	site       *actionv1.Surroundings
	coverage   *actionv1.Coverage
	// distrusts says, by name, why a terminal does not accept what is served; the others look as the host itself does.
	distrusts map[string]string
	// offline says that the server cannot be reached.
	offline bool
	log     io.Writer
	// machine is made with the usual one; arrange changes it.
	arrange func(*hosttest.Memory)
	// host is the one of the agent's process that runs now.
	host *host.Host
}

const terminalID = "t-9"

// newFleet makes certificates within a bubble, so that they are of a bubble's time.
func newFleet(t *testing.T, wanted ...sample.Wanted) *fleet {
	t.Helper()
	f := &fleet{
		t: t, secrets: map[string]*agentv1.SealedSecret{}, log: io.Discard, distrusts: map[string]string{},
		site: &actionv1.Surroundings{NesHosts: []*actionv1.NESHost{
			{Host: "nes-lyon-1", Url: "https://" + hosttest.NESHostname + "/nes/", Self: true, Users: 3},
			{Host: "nes-lyon-2", Url: "https://nes-lyon-2.example/nes/", Users: 1},
		}},
		coverage: &actionv1.Coverage{Users: 3, Trusting: 3},
	}
	synctest.Test(t, func(t *testing.T) {
		var err error
		if f.authority, err = sample.NewAuthority("Lyon Root CA 2"); err != nil {
			t.Fatal(err)
		}
		f.old = f.issue(sample.Wanted{Names: []string{hosttest.NESHostname}})
		w := sample.Wanted{Names: []string{hosttest.NESHostname}}
		if len(wanted) > 0 {
			w = wanted[0]
		}
		f.fresh = f.issue(w)
	})
	var err error
	if f.key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	f.putPFX(f.fresh)
	f.put("nes-lyon-1.password", []byte(pfxPassword))
	return f
}

func (f *fleet) issue(w sample.Wanted) *sample.Identity {
	f.t.Helper()
	i, err := f.authority.Issue(w)
	if err != nil {
		f.t.Fatal(err)
	}
	return i
}

func (f *fleet) putPFX(i *sample.Identity) {
	f.t.Helper()
	file, err := i.PFX(pfxPassword)
	if err != nil {
		f.t.Fatal(err)
	}
	f.put("nes-lyon-1.pfx", file)
}

// put seals a secret to the host.
func (f *fleet) put(name string, plaintext []byte) {
	f.t.Helper()
	s, err := sealed.Seal(f.key.PublicKey().Bytes(), terminalID, name, plaintext)
	if err != nil {
		f.t.Fatal(err)
	}
	f.secrets[name] = s
}

// approve puts a root on the site's list.
func (f *fleet) approve(name string, c *x509.Certificate) {
	f.site.ApprovedRoots = append(f.site.ApprovedRoots, &actionv1.ApprovedRoot{Name: name, Sha256: sample.SHA256(c.Raw), Certificate: c.Raw})
}

// setup is a bench of the NES host with these actions.
func (f *fleet) setup() runnertest.Setup {
	return runnertest.Setup{
		Plugins:  runnertest.Actions(certScan{}, rootCertInstall{}, tlsCertRotate{}, httpsBindingSet{}),
		Terminal: &actionv1.Terminal{Id: terminalID, Name: "nes-lyon-1", Site: "lyon", Role: "nes-host"},
		Machine: func() *hosttest.Memory {
			m := hosttest.NewNESHost()
			m.Trust(f.authority.Certificate)
			m.Bind(f.old)
			if f.arrange != nil {
				f.arrange(m)
			}
			return m
		},
		Configure: func(c *runner.Config) {
			c.Unsealer, c.Log, f.host = f, slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})), c.Host
		},
		Ready: func(r *runner.Runner) { r.SetAsker(f) },
	}
}

// rotation are the parameters of a rotation to the fleet's new certificate.
func (f *fleet) rotation(more ...string) map[string]string {
	p := with(more...)
	if p["expected_thumbprint"] == with()["expected_thumbprint"] {
		p["expected_thumbprint"] = f.fresh.SHA256()
	}
	return p
}

var errOffline = errors.New("there is no session with the server")

// Unseal implements runner.Unsealer.
func (f *fleet) Unseal(s *agentv1.SealedSecret) ([]byte, error) {
	return sealed.Open(f.key, terminalID, s)
}

// Site implements runner.Asker.
func (f *fleet) Site(context.Context, *agentv1.TaskKey) (*actionv1.Surroundings, error) {
	if f.offline {
		return nil, errOffline
	}
	return proto.CloneOf(f.site), nil
}

// Secret implements runner.Asker.
func (f *fleet) Secret(_ context.Context, _ *agentv1.TaskKey, name string) (*agentv1.SealedSecret, error) {
	s := f.secrets[name]
	if f.offline {
		return nil, errOffline
	}
	if s == nil {
		return nil, fmt.Errorf("the server says: secret %q: does not exist for this terminal", name)
	}
	return proto.CloneOf(s), nil
}

// Coverage implements runner.Asker.
func (f *fleet) Coverage(context.Context, *agentv1.TaskKey, *actionv1.CoverageQuery) (*actionv1.Coverage, error) {
	if f.offline {
		return nil, errOffline
	}
	return proto.CloneOf(f.coverage), nil
}

// PeerProbe implements runner.Asker.
func (f *fleet) PeerProbe(ctx context.Context, _ *agentv1.TaskKey, p *actionv1.PeerProbe) (*actionv1.PeerVerdicts, error) {
	found, err := f.host.Network.Probe(ctx, p.GetTarget(), peerTimeout)
	if err != nil || f.offline {
		return nil, errors.Join(err, errOffline)
	}
	answer := &actionv1.PeerVerdicts{}
	for i := 1; len(answer.GetVerdicts()) < int(p.GetCount()); i++ {
		v := &actionv1.PeerVerdict{Terminal: fmt.Sprintf("T-%d", i), Result: proto.CloneOf(found)}
		if slices.Contains(p.GetExcept(), v.GetTerminal()) {
			continue
		}
		v.Reason = f.distrusts[v.GetTerminal()]
		v.Ok = v.GetReason() == ""
		answer.Verdicts = append(answer.Verdicts, v)
	}
	return answer, nil
}
