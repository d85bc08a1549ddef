package runner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// vault is a server with sealed secrets, and an unsealer that opens them: what is sealed is the plaintext itself.
type vault struct {
	siteAsker
	secrets map[string]string
	// opened are the plaintexts that were handed out.
	opened [][]byte
	asked  []string
}

func (v *vault) Secret(_ context.Context, _ *agentv1.TaskKey, name string) (*agentv1.SealedSecret, error) {
	v.asked = append(v.asked, name)
	if name == "swapped" {
		name = "other"
	}
	return &agentv1.SealedSecret{Name: name, Ciphertext: []byte(v.secrets[name])}, nil
}

func (v *vault) Unseal(s *agentv1.SealedSecret) ([]byte, error) {
	if s.GetName() == "foreign" {
		return nil, errors.New(`secret "foreign": does not open`)
	}
	plaintext := append([]byte(nil), s.GetCiphertext()...)
	v.opened = append(v.opened, plaintext)
	return plaintext, nil
}

func secretQuery(pfx, password string) *actionv1.Query {
	return &actionv1.Query{Query: &actionv1.Query_Secret{Secret: &actionv1.SecretQuery{Pfx: pfx, Password: password}}}
}

func secretParam(name string) *actionv1.Param {
	return &actionv1.Param{Name: name, Type: actionv1.ParamType_PARAM_TYPE_SECRET}
}

// askSecret has a plugin whose parameters name pfx, password and more ask for what q says.
func askSecret(t *testing.T, v *vault, q *actionv1.Query) (result *actionv1.QueryResult, end *actionv1.TaskResult, err error) {
	t.Helper()
	return askedOf(t, hosttest.NewMemory(), func(b *bench) {
		b.runner.cfg.Unsealer = v
		b.runner.SetAsker(v)
		a := b.plugins["restart"].action
		a.Params = append(a.Params, secretParam("pfx"), secretParam("pfx_password"), secretParam("swapped"), secretParam("foreign"),
			&actionv1.Param{Name: "words", Type: actionv1.ParamType_PARAM_TYPE_STRING})
		for _, p := range a.GetParams() {
			if p.GetType() == actionv1.ParamType_PARAM_TYPE_SECRET {
				p.DefaultValue = "secret:" + p.GetName()
			}
		}
		a.Params[len(a.GetParams())-1].DefaultValue = "secret:other"
	}, q)
}

func TestSecretsAreOpenedForTheirOwnTaskAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, err := sample.SelfSigned(sample.Wanted{Names: []string{"nes.example"}})
		if err != nil {
			t.Fatal(err)
		}
		file, err := i.PFX("hunter2")
		if err != nil {
			t.Fatal(err)
		}
		v := &vault{secrets: map[string]string{"pfx": string(file), "pfx_password": "hunter2"}}
		got, _, err := askSecret(t, v, secretQuery("secret:pfx", "secret:pfx_password"))
		if err != nil || got.GetSecret().GetProblem() != "" || got.GetSecret().GetChain()[0].GetSha256() != i.SHA256() {
			t.Errorf("the facts are %v, %v; want those of the certificate", got, err)
		}
		if len(v.opened) != 2 {
			t.Fatalf("%d secrets were opened, want 2", len(v.opened))
		}
		for _, plaintext := range v.opened {
			if strings.Trim(string(plaintext), "\x00") != "" {
				t.Error("a secret was not cleared after its use")
			}
		}
		got, _, err = askSecret(t, v, secretQuery("secret:pfx", ""))
		if err != nil || !strings.Contains(got.GetSecret().GetProblem(), "password does not open it") {
			t.Errorf("without the password the facts are %v, %v; want the problem", got, err)
		}
	})
}

func TestSecretsThatAreNotOpened(t *testing.T) {
	for name, c := range map[string]struct {
		query *actionv1.Query
		// refused says that it ends the run.
		refused bool
		reason  string
	}{
		"of another task":            {secretQuery("secret:other", ""), true, "no parameter of the job names"},
		"a password of another task": {secretQuery("secret:pfx", "secret:other"), true, "no parameter of the job names"},
		"none":                       {secretQuery("", ""), true, "without naming one"},
		"no reference":               {secretQuery("hunter2", ""), true, "no parameter of the job names"},
		"one that was swapped":       {secretQuery("secret:swapped", ""), false, "the server sent another one"},
		"one that does not open":     {secretQuery("secret:foreign", ""), false, "does not open"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vault{secrets: map[string]string{}}
				_, _, err := askSecret(t, v, c.query)
				var refused *RefusedError
				if err == nil || !strings.Contains(err.Error(), c.reason) || errors.As(err, &refused) != c.refused {
					t.Errorf("%v, want an error with %q that ends the run: %t", err, c.reason, c.refused)
				}
				if len(v.opened) > 0 || (c.refused && len(v.asked) > 0) {
					t.Errorf("the server was asked for %q and %d secrets were opened, want none", v.asked, len(v.opened))
				}
			})
		})
	}
}

// TestWithoutAServer: an agent that nobody has told whom to ask says so.
func TestWithoutAServer(t *testing.T) {
	for name, q := range map[string]*actionv1.Query{
		"site":     {Query: &actionv1.Query_Site{Site: &actionv1.SiteQuery{}}},
		"coverage": {Query: &actionv1.Query_Coverage{Coverage: &actionv1.CoverageQuery{RootSha256: []string{"aa"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if _, _, err := askedOf(t, hosttest.NewMemory(), nil, q); err == nil || !strings.Contains(err.Error(), "no server to ask") {
					t.Errorf("%v, want an error that says that there is no server", err)
				}
			})
		})
	}
}

func TestPeerProbesThatNoPlanMayHold(t *testing.T) {
	good := func() *actionv1.PeerProbe {
		return &actionv1.PeerProbe{
			Count: 2, Target: &actionv1.ProbeTarget{Host: "nes.example", Port: 443, Tls: true}, CertificateSha256: strings.Repeat("a", 64),
			Timeout: durationpb.New(time.Minute),
		}
	}
	if err := (peersDeed{e: good()}).check(nil); err != nil {
		t.Fatalf("a good one is refused: %v", err)
	}
	for want, spoil := range map[string]func(*actionv1.PeerProbe){
		"wants 0 terminals":  func(p *actionv1.PeerProbe) { p.Count = 0 },
		"wants 21 terminals": func(p *actionv1.PeerProbe) { p.Count = 21 },
		"timeout is 1s":      func(p *actionv1.PeerProbe) { p.Timeout = durationpb.New(time.Second) },
		"timeout is 1h0m0s":  func(p *actionv1.PeerProbe) { p.Timeout = durationpb.New(time.Hour) },
		"no name of a host":  func(p *actionv1.PeerProbe) { p.Target.Host = "a/b" },
		"without TLS":        func(p *actionv1.PeerProbe) { p.Target.Tls = false },
		"certificate":        func(p *actionv1.PeerProbe) { p.CertificateSha256 = "x" },
	} {
		p := good()
		spoil(p)
		if err := (peersDeed{e: p}).check(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", p, err, want)
		}
	}
}

// TestVerdictsOfPeers: what terminals have seen is judged here once more.
func TestVerdictsOfPeers(t *testing.T) {
	sha := strings.Repeat("a", 64)
	verdict := func(change func(*actionv1.PeerVerdict)) *actionv1.PeerVerdict {
		v := &actionv1.PeerVerdict{Terminal: "T-1", Ok: true, Result: &actionv1.NetProbeResult{Trusted: true, Chain: []*actionv1.Certificate{{Sha256: sha}}}}
		if change != nil {
			change(v)
		}
		return v
	}
	d := peersDeed{e: &actionv1.PeerProbe{Count: 2, Target: &actionv1.ProbeTarget{Host: "nes.example", Tls: true}, CertificateSha256: sha}}
	for want, verdicts := range map[string][]*actionv1.PeerVerdict{
		"":                       {verdict(nil), verdict(nil)},
		"1 of the 2":             {verdict(nil)},
		"0 of the 2":             nil,
		"T-1: no answer":         {verdict(nil), verdict(nil), verdict(func(v *actionv1.PeerVerdict) { v.Ok, v.Reason = false, "no answer within 20s" })},
		"T-1: it gave no reason": {verdict(func(v *actionv1.PeerVerdict) { v.Ok = false })},
		"does not trust":         {verdict(nil), verdict(func(v *actionv1.PeerVerdict) { v.Result.Trusted = false })},
		"another certificate":    {verdict(nil), verdict(func(v *actionv1.PeerVerdict) { v.Result.Chain[0].Sha256 = "b" })},
		"nothing that it saw":    {verdict(nil), verdict(func(v *actionv1.PeerVerdict) { v.Result = nil })},
	} {
		err := d.reached(peersState(&actionv1.PeerVerdicts{Verdicts: verdicts}))
		if want == "nothing that it saw" {
			want = "does not trust"
		}
		if (want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", verdicts, err, want)
		}
	}
}

// Terminals are sent to this host, and nowhere else.
func TestPeersProbeThisHostAlone(t *testing.T) {
	site := &actionv1.Surroundings{NesHosts: []*actionv1.NESHost{
		{Host: "nes-1", Url: "https://nes-1.example/nes/", Self: true}, {Host: "nes-2", Url: "https://nes-2.example/nes/"},
	}}
	for host, want := range map[string]bool{"nes-1": true, "NES-1.example": true, "nes-2.example": false, "192.0.2.1": false, "": false} {
		if got := isSelf(site, &actionv1.ProbeTarget{Host: host, Port: 8443}); got != want {
			t.Errorf("%q is this host: %t, want %t", host, got, want)
		}
	}
}
