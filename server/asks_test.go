package server

import (
	"crypto/ecdh"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

// certPlugin offers an action that takes a secret.
func certPlugin() *agentv1.Plugin {
	return &agentv1.Plugin{
		Sha256: strings.Repeat("cd", 32),
		Manifest: &actionv1.Manifest{Name: "certs", Version: "1.0.0", ProtocolVersion: 1, Actions: []*actionv1.Action{{
			Name: "cert-install", Version: "1.0.0", Summary: "install it", MaxDuration: durationpb.New(time.Minute),
			Params: []*actionv1.Param{{Name: "pfx", Type: actionv1.ParamType_PARAM_TYPE_SECRET}},
		}}},
	}
}

// nesHost lets a host in at lyon that the site's settings name.
func (r *running) nesHost() *agent {
	r.t.Helper()
	r.token("lyon")
	token, err := fleetv1.NewAccessServiceClient(r.admin).CreateToken(r.t.Context(), &fleetv1.CreateTokenRequest{
		Site: "lyon", Role: fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, Uses: 1, Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = fleetv1.NewInventoryServiceClient(r.admin).SetSite(r.t.Context(), &fleetv1.SetSiteRequest{
		Name: "lyon", Fields: []string{"nes_hosts"}, Settings: &fleetv1.SiteSettings{NesHosts: []*fleetv1.NESHost{{Host: "nes-1", Url: "https://nes.example/nes"}}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.enrolWith(token.GetText(), "nes-1", certPlugin())
}

// open opens a session with a sealing key and its proof.
func (a *agent) open(name string, key *ecdh.PrivateKey, proof []byte) {
	a.t.Helper()
	var err error
	if a.st, err = agentv1.NewAgentServiceClient(a.conn).Connect(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{
		ProtocolVersion: 1, JournalId: "journal-" + name, PluginSha256: []string{certPlugin().GetSha256()}, Facts: &agentv1.Facts{Hostname: name, Os: "linux"},
		SealingKey: key.PublicKey().Bytes(), SealingKeyProof: proof,
	}}})
}

func (a *agent) sealingKey() (*ecdh.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	proof, err := sealed.Prove(a.key, a.id, key.PublicKey().Bytes())
	if err != nil {
		a.t.Fatal(err)
	}
	return key, proof
}

// ask asks for a task and returns the answer.
func (a *agent) ask(ask *agentv1.Ask) *agentv1.Told {
	a.t.Helper()
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Ask{Ask: ask}})
	told := a.hear().GetTold()
	if told.GetId() != ask.GetId() {
		a.t.Fatalf("heard %v, want the answer to question %d", told, ask.GetId())
	}
	return told
}

// putSecret seals a text as fleetctl does: with a key that it has checked.
func (r *running) putSecret(terminal, name, text string) *fleetv1.Secret {
	r.t.Helper()
	c := fleetv1.NewSecretServiceClient(r.admin)
	key, err := c.GetSealingKey(r.t.Context(), &fleetv1.GetSealingKeyRequest{Terminal: terminal})
	if err != nil {
		r.t.Fatal(err)
	}
	operator, err := identity.ReadContext(r.dir + "/admin.yaml")
	if err != nil {
		r.t.Fatal(err)
	}
	cfg, err := operator.TLS()
	if err != nil {
		r.t.Fatal(err)
	}
	proof := sealed.Proof{SealingKey: key.GetSealingKey(), Signature: key.GetProof(), Chain: key.GetCertificateChain()}
	if err := proof.Check(key.GetTerminalId(), cfg.RootCAs, time.Now()); err != nil {
		r.t.Fatal(err)
	}
	s, err := sealed.Seal(key.GetSealingKey(), key.GetTerminalId(), name, []byte(text))
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := c.PutSecret(r.t.Context(), &fleetv1.PutSecretRequest{Terminal: terminal, Name: name, Kind: fleetv1.SecretKind_SECRET_KIND_TEXT, Sealed: s})
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.GetSecret()
}

// A secret goes from a person to a task on one host, the host asks what it needs to know, another terminal probes it, and what a scan found
// is in the list.
func TestACertificateGoesItsWholeWay(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	host := r.nesHost()
	defer host.conn.Close()
	user := r.enrol(r.token("lyon"), "press-1")
	defer user.conn.Close()
	user.connect("press-1")
	key, proof := host.sealingKey()
	host.open("nes-1", key, proof)
	if w := host.hear().GetWelcome(); w.GetRole() != "nes-host" {
		t.Fatalf("welcome %v, want role nes-host", w)
	}
	spec := &fleetv1.JobSpec{Action: "cert-install", Selection: &fleetv1.Selection{Hosts: []string{"nes-1"}}, Params: map[string]string{"pfx": "secret:nes.pfx"}}
	_, err := r.jobs().CreateJob(t.Context(), &fleetv1.CreateJobRequest{Spec: spec})
	wantCode(t, "a job whose secret nobody has put", err, codes.FailedPrecondition)
	if s := r.putSecret("nes-1", "nes.pfx", "hunter2"); s.GetVersion() != 1 || !s.GetUsable() {
		t.Errorf("put %v, want version 1, usable", s)
	}
	if _, err = r.jobs().CreateJob(t.Context(), &fleetv1.CreateJobRequest{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	task := host.hear().GetDispatch().GetTask().GetKey()
	host.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Started{Started: &agentv1.Started{Key: task}}})

	s := host.ask(&agentv1.Ask{Id: 1, Key: task, Ask: &agentv1.Ask_Secret{Secret: &agentv1.SecretAsk{Name: "nes.pfx"}}}).GetSecret()
	if text, err := sealed.Open(key, host.id, s); err != nil || string(text) != "hunter2" {
		t.Errorf("the host opens %q, %v; want what was put", text, err)
	}
	if site := host.ask(&agentv1.Ask{Id: 2, Key: task, Ask: &agentv1.Ask_Site{}}).GetSite(); !site.GetNesHosts()[0].GetSelf() || site.GetNesHosts()[0].GetUsers() != 1 {
		t.Errorf("surroundings %v, want itself with one user", site)
	}
	coverage := host.ask(&agentv1.Ask{Id: 3, Key: task, Ask: &agentv1.Ask_Coverage{Coverage: &actionv1.CoverageQuery{RootSha256: []string{strings.Repeat("ab", 32)}}}}).GetCoverage()
	if coverage.GetUsers() != 1 || len(coverage.GetUnknown()) != 1 {
		t.Errorf("coverage %v, want one user of whom nothing is known", coverage)
	}
	host.probedBy(task, user)
	host.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{Key: task, Result: &actionv1.TaskResult{
		Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Certificates: &actionv1.CertificateReport{Scanned: timestamppb.Now(), Certificates: []*actionv1.Certificate{{
			Sha256: strings.Repeat("11", 32), Subject: "CN=nes", Store: "My", NotAfter: timestamppb.New(time.Now().Add(48 * time.Hour)),
		}}},
	}}}})
	if host.hear().GetResultAck() == nil {
		t.Error("the result was not acknowledged")
	}
	list, err := fleetv1.NewCertificateServiceClient(r.admin).ListCertificates(t.Context(), &fleetv1.ListCertificatesRequest{ExpiringWithin: durationpb.New(7 * 24 * time.Hour)})
	if err != nil || len(list.GetCertificates()) != 1 || list.GetCertificates()[0].GetHolder() != "nes-1" {
		t.Errorf("listed %v, %v; want the host's certificate", list, err)
	}
	if told := host.ask(&agentv1.Ask{Id: 5, Key: task, Ask: &agentv1.Ask_Secret{Secret: &agentv1.SecretAsk{Name: "nes.pfx"}}}); told.GetSecret() != nil || told.GetProblem() == "" {
		t.Errorf("told %v after the result, want nothing: the task is over", told)
	}
}

// probedBy has the server ask another terminal to connect to the host.
func (a *agent) probedBy(task *agentv1.TaskKey, user *agent) {
	a.t.Helper()
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Ask{Ask: &agentv1.Ask{Id: 4, Key: task, Ask: &agentv1.Ask_PeerProbe{PeerProbe: &actionv1.PeerProbe{
		Count: 1, Target: &actionv1.ProbeTarget{Host: "nes.example", Port: 443, Tls: true}, CertificateSha256: strings.Repeat("11", 32), Timeout: durationpb.New(20 * time.Second),
	}}}}})
	order := user.hear().GetProbeOrder()
	user.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_ProbeVerdict{ProbeVerdict: &agentv1.ProbeVerdict{Id: order.GetId(), Result: &actionv1.NetProbeResult{
		Connected: true, Handshake: true, Trusted: true, Chain: []*actionv1.Certificate{{Sha256: strings.Repeat("11", 32)}},
	}}}})
	v := a.hear().GetTold().GetPeers().GetVerdicts()
	if len(v) != 1 || !v[0].GetOk() || v[0].GetTerminal() != "press-1" {
		a.t.Errorf("verdicts %v, want a good one of press-1", v)
	}
}

func TestAWrongProofCutsTheSession(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	host := r.nesHost()
	defer host.conn.Close()
	key, _ := host.sealingKey()
	_, foreign := host.sealingKey()
	host.open("nes-1", key, foreign)
	_, err := host.st.Recv()
	wantCode(t, "a sealing key that another signature covers", err, codes.PermissionDenied)
	_, err = fleetv1.NewSecretServiceClient(r.admin).GetSealingKey(t.Context(), &fleetv1.GetSealingKeyRequest{Terminal: "nes-1"})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("its key is given out: %v, want FAILED_PRECONDITION", err)
	}
}

// What belongs to a terminal goes with it, and nobody at another site learns of it before.
func TestSecretsGoWithADecommissionedTerminal(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	host := r.nesHost()
	defer host.conn.Close()
	key, proof := host.sealingKey()
	host.open("nes-1", key, proof)
	host.hear()
	r.putSecret("nes-1", "nes.pfx", "hunter2")
	r.token("turin")
	stranger := fleetv1.NewSecretServiceClient(r.operator("eve", "turin", fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR))
	_, err := stranger.GetSealingKey(t.Context(), &fleetv1.GetSealingKeyRequest{Terminal: "nes-1"})
	wantCode(t, "the key of a foreign terminal", err, codes.NotFound)
	_, err = stranger.DeleteSecret(t.Context(), &fleetv1.DeleteSecretRequest{Terminal: "nes-1", Name: "nes.pfx"})
	wantCode(t, "a foreign secret's removal", err, codes.NotFound)
	if list, err := stranger.ListSecrets(t.Context(), &fleetv1.ListSecretsRequest{}); err != nil || len(list.GetSecrets()) != 0 {
		t.Errorf("a stranger sees %v, %v; want nothing", list, err)
	}
	if _, err := fleetv1.NewInventoryServiceClient(r.admin).DecommissionTerminal(t.Context(), &fleetv1.DecommissionTerminalRequest{Terminal: "nes-1"}); err != nil {
		t.Fatal(err)
	}
	if list, err := fleetv1.NewSecretServiceClient(r.admin).ListSecrets(t.Context(), &fleetv1.ListSecretsRequest{}); err != nil || len(list.GetSecrets()) != 0 {
		t.Errorf("listed %v, %v; want nothing of a terminal that is no more", list, err)
	}
}
