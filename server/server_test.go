package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server in this process, and its administrator.
type running struct {
	t     *testing.T
	dir   string
	addr  string
	stop  context.CancelFunc
	ended chan error
	admin *grpc.ClientConn
}

func config(dir string) Config {
	return Config{DataDir: dir, Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func start(t *testing.T, dir string) *running {
	t.Helper()
	return startWith(t, config(dir))
}

func startWith(t *testing.T, settings Config) *running {
	t.Helper()
	dir := settings.DataDir
	s, err := New(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, dir: dir, addr: s.Addr(), stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx) }()
	// The test's servers take free ports, so the address in the context file is that of the first start.
	operator, err := identity.ReadContext(filepath.Join(dir, "admin.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := operator.TLS()
	if err != nil {
		t.Fatal(err)
	}
	r.admin = r.dial(cfg)
	return r
}

func (r *running) dial(cfg *tls.Config) *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// halt stops the server as SIGTERM does.
func (r *running) halt() {
	r.t.Helper()
	r.admin.Close()
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("the server ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		r.t.Error("the server did not stop in time")
	}
}

// agent is a scripted agent with one terminal's identity.
type agent struct {
	t    *testing.T
	id   string
	key  *ecdsa.PrivateKey
	tls  *tls.Config
	conn *grpc.ClientConn
	st   agentv1.AgentService_ConnectClient
}

func plugin() *agentv1.Plugin {
	return &agentv1.Plugin{
		Sha256: strings.Repeat("ab", 32),
		Manifest: &actionv1.Manifest{Name: "endpoint", Version: "1.0.0", ProtocolVersion: 1, Actions: []*actionv1.Action{{
			Name: "ble-restart", Version: "1.0.0", Summary: "restart it", Roles: []string{"user-terminal"},
			MaxDuration: durationpb.New(2 * time.Minute), Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		}}},
	}
}

// token makes a site if need be, and an enrolment token for it.
func (r *running) token(site string) string {
	r.t.Helper()
	ctx := r.t.Context()
	_, err := fleetv1.NewInventoryServiceClient(r.admin).CreateSite(ctx, &fleetv1.CreateSiteRequest{Name: site})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		r.t.Fatal(err)
	}
	token, err := fleetv1.NewAccessServiceClient(r.admin).CreateToken(ctx, &fleetv1.CreateTokenRequest{
		Site: site, Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, Uses: 10, Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return token.GetText()
}

func (r *running) enrol(text, name string) *agent {
	r.t.Helper()
	return r.enrolWith(text, name, plugin())
}

// enrolWith is enrol with another plugin.
func (r *running) enrolWith(text, name string, p *agentv1.Plugin) *agent {
	r.t.Helper()
	token, err := identity.ParseToken(text)
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := identity.GenerateKey()
	if err != nil {
		r.t.Fatal(err)
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		r.t.Fatal(err)
	}
	conn := r.dial(identity.EnrolTLS(token.CA))
	defer conn.Close()
	answer, err := agentv1.NewEnrollmentServiceClient(conn).Enroll(r.t.Context(), &agentv1.EnrollRequest{
		TokenId: token.ID, TokenSecret: token.Secret, Csr: csr, SealingKey: make([]byte, 32), Name: name, JournalId: "journal-" + name,
		Facts: &agentv1.Facts{Hostname: name, Os: "linux"}, Plugins: []*agentv1.Plugin{p},
	})
	if err != nil {
		r.t.Fatalf("enrol %s: %v", name, err)
	}
	cfg := clientTLS(r.t, key, answer.GetCertificateChain(), answer.GetTrustBundle())
	return &agent{t: r.t, id: answer.GetTerminalId(), key: key, tls: cfg, conn: r.dial(cfg)}
}

func clientTLS(t *testing.T, key *ecdsa.PrivateKey, chain, bundle [][]byte) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	for _, der := range bundle {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		pool.AddCert(ca)
	}
	cert := &tls.Certificate{Certificate: chain, PrivateKey: key}
	return identity.ClientTLS(func() (*tls.Certificate, error) { return cert, nil }, pool)
}

// connect opens a session and waits for the welcome.
func (a *agent) connect(name string) {
	a.t.Helper()
	a.connectWith(name, plugin().GetSha256())
}

// connectWith is connect with another plugin.
func (a *agent) connectWith(name, sha256 string) {
	a.t.Helper()
	var err error
	if a.st, err = agentv1.NewAgentServiceClient(a.conn).Connect(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{
		ProtocolVersion: 1, JournalId: "journal-" + name, PluginSha256: []string{sha256}, Facts: &agentv1.Facts{Hostname: name, Os: "linux"},
	}}})
	if w := a.hear().GetWelcome(); w.GetTerminalId() != a.id || w.GetSite() != "lyon" || w.GetRole() != "user-terminal" {
		a.t.Errorf("welcome is %v, want terminal %s at lyon as user-terminal", w, a.id)
	}
}

func (a *agent) say(m *agentv1.ConnectRequest) {
	a.t.Helper()
	if err := a.st.Send(m); err != nil {
		a.t.Fatal(err)
	}
}

func (a *agent) hear() *agentv1.ConnectResponse {
	a.t.Helper()
	m, err := a.st.Recv()
	if err != nil {
		a.t.Fatalf("the session ended with %v", err)
	}
	return m
}

// serve does one task and waits until its result is on the server's disk.
func (a *agent) serve() {
	a.t.Helper()
	d := a.hear().GetDispatch()
	key := d.GetTask().GetKey()
	if d.GetPermitValidFor().AsDuration() != 30*time.Second {
		a.t.Errorf("the dispatch is %v, want a permit for 30s with it", d)
	}
	// An agent may say Accepted all the same.
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Accepted{Accepted: &agentv1.Accepted{Key: key}}})
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Started{Started: &agentv1.Started{Key: key}}})
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{
		Key: key, Result: &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Plugin: "endpoint"},
	}}})
	if ack := a.hear().GetResultAck(); ack.GetKey().GetJobId() != key.GetJobId() {
		a.t.Errorf("after the result came %v, want its acknowledgement", ack)
	}
}

func (r *running) jobs() fleetv1.JobServiceClient { return fleetv1.NewJobServiceClient(r.admin) }

func (r *running) fix() *fleetv1.Job {
	r.t.Helper()
	answer, err := r.jobs().CreateJob(r.t.Context(), &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{
		Action: "ble-restart", Selection: &fleetv1.Selection{Sites: []string{"lyon"}}, Reason: "INC-1",
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.GetJob()
}

// watch follows a job to its end and returns what was told last.
func (r *running) watch(id string) *fleetv1.Job {
	r.t.Helper()
	st, err := r.jobs().WatchJob(r.t.Context(), &fleetv1.WatchJobRequest{Id: id})
	if err != nil {
		r.t.Fatal(err)
	}
	var job *fleetv1.Job
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return job
		}
		if err != nil {
			r.t.Fatal(err)
		}
		job = m.GetJob()
	}
}

func TestTheWholeLength(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	a := r.enrol(r.token("lyon"), "line-1")
	defer a.conn.Close()
	a.connect("line-1")
	job := r.fix()
	a.serve()
	done := r.watch(job.GetId())
	if done.GetState() != fleetv1.JobState_JOB_STATE_DONE || done.GetCounts().GetSucceeded() != 1 {
		t.Errorf("the job is %v, want it done with one success", done)
	}
	r.halt()
	if g := a.hear().GetGoodbye(); g.GetFinal() || g.GetRetryAfter().AsDuration() == 0 {
		t.Errorf("at the stop came %v, want a goodbye that says when to come back", g)
	}
	if _, err := a.st.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the session ended with %v, want UNAVAILABLE", err)
	}

	r = start(t, dir)
	defer r.halt()
	got, err := r.jobs().GetJob(t.Context(), &fleetv1.GetJobRequest{Id: job.GetId()})
	if err != nil || got.GetJob().GetCounts().GetSucceeded() != 1 {
		t.Errorf("after a restart the job is %v, %v; want its success", got, err)
	}
}

// The server is stopped between permit and result: the task goes on at the next start, and its result counts.
func TestATaskSurvivesARestartOfTheServer(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	a := r.enrol(r.token("lyon"), "line-1")
	a.connect("line-1")
	job := r.fix()
	a.hear()
	a.conn.Close()
	chain := r.renewed(a)
	r.halt()
	r = start(t, dir)
	defer r.halt()
	a.conn = r.dial(chain)
	defer a.conn.Close()
	a.connect("line-1")
	a.serve()
	if done := r.watch(job.GetId()); done.GetCounts().GetSucceeded() != 1 {
		t.Errorf("the job is %v, want one success", done)
	}
}

// renewed renews an agent's certificate and returns the configuration with the new one.
func (r *running) renewed(a *agent) *tls.Config {
	r.t.Helper()
	csr, err := identity.NewCSR(a.key)
	if err != nil {
		r.t.Fatal(err)
	}
	conn := r.dial(a.tls)
	defer conn.Close()
	answer, err := agentv1.NewAgentServiceClient(conn).Renew(r.t.Context(), &agentv1.RenewRequest{Csr: csr})
	if err != nil {
		r.t.Fatalf("renew: %v", err)
	}
	return clientTLS(r.t, a.key, answer.GetCertificateChain(), answer.GetTrustBundle())
}

func TestWhoMayNotComeIn(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	text := r.token("lyon")
	a := r.enrol(text, "line-1")
	defer a.conn.Close()
	token, err := identity.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	stranger := r.dial(identity.EnrolTLS(token.CA))
	defer stranger.Close()
	_, operatorOnAgents := agentv1.NewAgentServiceClient(r.admin).Renew(t.Context(), &agentv1.RenewRequest{})
	_, agentOnOperators := fleetv1.NewJobServiceClient(a.conn).ListJobs(t.Context(), &fleetv1.ListJobsRequest{})
	_, nobody := fleetv1.NewJobServiceClient(stranger).ListJobs(t.Context(), &fleetv1.ListJobsRequest{})
	_, tooLong := r.jobs().CreateJob(t.Context(), &fleetv1.CreateJobRequest{RequestId: strings.Repeat("x", 5<<20)})
	_, missing := r.jobs().GetJob(t.Context(), &fleetv1.GetJobRequest{Id: strings.Repeat("0", 26)})
	for name, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"an operator at an agent's RPC": {operatorOnAgents, codes.PermissionDenied},
		"an agent at an operator's RPC": {agentOnOperators, codes.PermissionDenied},
		"nobody at an operator's RPC":   {nobody, codes.Unauthenticated},
		"a message over the limit":      {tooLong, codes.ResourceExhausted},
		"a job that does not exist":     {missing, codes.NotFound},
	} {
		if status.Code(c.err) != c.want {
			t.Errorf("%s: got %v, want %v", name, c.err, c.want)
		}
	}
	health, err := healthv1.NewHealthClient(stranger).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health is %v, %v; want SERVING, also for a caller without certificate", health, err)
	}
}

func TestDecommissionCutsTheSession(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrol(r.token("lyon"), "line-1")
	defer a.conn.Close()
	a.connect("line-1")
	inv := fleetv1.NewInventoryServiceClient(r.admin)
	if _, err := inv.DecommissionTerminal(t.Context(), &fleetv1.DecommissionTerminalRequest{Terminal: a.id, Reason: "scrapped"}); err != nil {
		t.Fatal(err)
	}
	if g := a.hear().GetGoodbye(); !g.GetFinal() {
		t.Errorf("got %v, want a final goodbye", g)
	}
	if _, err := a.st.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the session ended with %v, want PERMISSION_DENIED", err)
	}
}

func TestASecondServerOnTheSameDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	defer r.halt()
	if _, err := New(t.Context(), config(dir)); err == nil {
		t.Error("a second server opened the same data directory")
	}
}

func TestAdminContextIsWrittenOnceForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).halt()
	path := filepath.Join(dir, "admin.yaml")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("admin.yaml has mode %v (%v), want 0600: it holds a key", info.Mode(), err)
	}
	start(t, dir).halt()
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("a second start changed admin.yaml (%v)", err)
	}
}

func TestAdvertisedAddress(t *testing.T) {
	for _, c := range []struct{ advertise, bound, want string }{
		{"fleet.example.com:7443", "0.0.0.0:7443", "fleet.example.com:7443"},
		{"", "0.0.0.0:7443", "127.0.0.1:7443"},
		{"", "[::]:7443", "127.0.0.1:7443"},
		{"", "10.1.2.3:7443", "10.1.2.3:7443"},
	} {
		if got := dialAddress(c.advertise, c.bound); got != c.want {
			t.Errorf("advertise %q on %s gives %s, want %s", c.advertise, c.bound, got, c.want)
		}
	}
}

// Who is online is known to the sessions alone; expressions must be answered from there, for lists and for jobs.
func TestExpressionsKnowWhoIsOnline(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	token := r.token("lyon")
	up, away := r.enrol(token, "line-1"), r.enrol(token, "line-2")
	defer up.conn.Close()
	defer away.conn.Close()
	up.connect("line-1")
	for expression, want := range map[string]string{"online": "line-1", "!online": "line-2", "not online and name=line-2": "line-2"} {
		sel := &fleetv1.Selection{Expression: expression}
		listed, err := fleetv1.NewInventoryServiceClient(r.admin).ListTerminals(t.Context(), &fleetv1.ListTerminalsRequest{Selection: sel})
		if err != nil || len(listed.GetTerminals()) != 1 || listed.GetTerminals()[0].GetName() != want {
			t.Errorf("%s lists %v, %v; want %s alone", expression, listed, err, want)
		}
		preview, err := r.jobs().PreviewJob(t.Context(), &fleetv1.PreviewJobRequest{Spec: &fleetv1.JobSpec{Action: "ble-restart", Selection: sel}})
		if err != nil || len(preview.GetTargets()) != 1 || preview.GetTargets()[0].GetName() != want {
			t.Errorf("%s targets %v, %v; want %s alone", expression, preview, err, want)
		}
	}
}

// A directory of which a part was lost is refused and left as it is: going on would cut the fleet in two.
func TestADirectoryThatLostAPartIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).halt()
	for lost, want := range map[string]string{
		"store.db": "no store.db; restore",
		"ca.crt":   "no ca.crt; restore",
		"ca.key":   "ca.key is missing; restore",
	} {
		kept := filepath.Join(t.TempDir(), lost)
		if err := os.Rename(filepath.Join(dir, lost), kept); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), config(dir)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: error %v, want one that says %q", lost, err, want)
		}
		if _, err := os.Stat(filepath.Join(dir, lost)); err == nil {
			t.Errorf("%s was made anew", lost)
		}
		if err := os.Rename(kept, filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
	}
	start(t, dir).halt()
}

// A first start that was killed at any point is made good by the next.
func TestAFirstStartThatWasCutShort(t *testing.T) {
	for name, leave := range map[string]func(dir string) error{
		"the store alone": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "ca.crt")), os.Remove(filepath.Join(dir, "ca.key")), os.Remove(filepath.Join(dir, "admin.yaml")))
		},
		"a key without certificate":  func(dir string) error { return os.Remove(filepath.Join(dir, "ca.crt")) },
		"a context without operator": func(string) error { return nil },
	} {
		dir := t.TempDir()
		start(t, dir).halt()
		forgetOperators(t, dir)
		if err := leave(dir); err != nil {
			t.Fatal(err)
		}
		r := start(t, dir)
		if _, err := fleetv1.NewAccessServiceClient(r.admin).WhoAmI(t.Context(), &fleetv1.WhoAmIRequest{}); err != nil {
			t.Errorf("%s: the administrator is refused: %v", name, err)
		}
		r.halt()
	}
}

// forgetOperators makes the store that of a start which was killed before it made the administrator.
func forgetOperators(t *testing.T, dir string) {
	t.Helper()
	st, err := store.Open(filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), func(w store.Writer) error { return w.Delete(store.TableOperators, store.Key("admin")) })
	if err = errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
}

// Every administrator is locked out: whoever has the data directory makes another one, and only while the server is stopped.
func TestAnAdministratorCanBeMadeOffline(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(t.TempDir(), "again.yaml")
	r := start(t, dir)
	if _, err := AddAdministrator(t.Context(), dir, r.addr, out); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("beside a running server: %v", err)
	}
	r.halt()
	for _, want := range []string{"admin-2", "admin-3"} {
		_ = os.Remove(out)
		if name, err := AddAdministrator(t.Context(), dir, r.addr, out); err != nil || name != want {
			t.Fatalf("%q, %v; want %s", name, err, want)
		}
	}
	if _, err := AddAdministrator(t.Context(), dir, r.addr, out); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("onto a file that is there: %v", err)
	}
	if _, err := AddAdministrator(t.Context(), t.TempDir(), r.addr, out+"2"); err == nil {
		t.Error("a directory without store was taken")
	}
	again, err := identity.ReadContext(out)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := again.TLS()
	if err != nil {
		t.Fatal(err)
	}
	r = start(t, dir)
	defer r.halt()
	conn := r.dial(cfg)
	defer conn.Close()
	_, err = fleetv1.NewAccessServiceClient(conn).RevokeOperator(t.Context(), &fleetv1.RevokeOperatorRequest{Name: "admin", Reason: "key lost"})
	if err != nil {
		t.Errorf("the new administrator: %v", err)
	}
}
