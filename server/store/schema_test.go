package store_test

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/sealed"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/artifacts"
	"github.com/bandfleet/bandfleet/server/certificates"
	"github.com/bandfleet/bandfleet/server/faults"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/notify"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/policy"
	"github.com/bandfleet/bandfleet/server/secrets"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

// drawn is one line of the drawing in schema.go.
type drawn struct {
	key   *regexp.Regexp
	value string
}

// parts says what the words in the drawing's keys stand for.
var parts = strings.NewReplacer(
	"·", `\x00`,
	"<name>", `[A-Za-z0-9*./_-]+`,
	"<ordinal>", `.T-[0-9]+`,
	"<be64>", `.{8}`,
	"<be32>", `.{4}`,
	"<sha256>", `[0-9a-f]{64}`,
	"<chain>", `(?:<fleet>|[a-z0-9-]+)`,
	"<job>", `[0-9A-Z]{26}`,
	"<import>", `[0-9A-Z]{26}`,
	"<guided>", `.G-[0-9]+`,
)

// drawing reads the comment over the tables.
func drawing(t *testing.T) map[store.Table]drawn {
	t.Helper()
	f, err := os.Open("schema.go")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[store.Table]drawn{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, ok := strings.CutPrefix(lines.Text(), "//\t")
		if fields := strings.Fields(line); ok && len(fields) >= 3 {
			out[store.Table(fields[0])] = drawn{regexp.MustCompile(`(?s)^` + parts.Replace(fields[1]) + `$`), fields[2]}
		}
	}
	return out
}

// A drawing that nobody checks rots. Here a store is filled through the domain packages and compared with it.
func TestTheDrawingIsTrue(t *testing.T) {
	tables := drawing(t)
	st := storetest.New(t)
	fill(t, st)
	for _, table := range store.Tables() {
		want, ok := tables[table]
		if !ok {
			t.Errorf("table %q is not drawn in schema.go", table)
			continue
		}
		n := 0
		err := st.View(t.Context(), func(v store.Snapshot) error {
			return v.Scan(table, nil, nil, func(key, value []byte) bool {
				n++
				if !want.key.MatchString(byteByByte(key)) {
					t.Errorf("table %q: key %q is not as drawn (%s)", table, key, want.key)
				}
				if err := checkValue(want.value, value); err != nil {
					t.Errorf("table %q: value of key %q is not as drawn: %v", table, key, err)
				}
				return true
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			t.Errorf("table %q stayed empty, so nothing is known of what lies in it: extend fill", table)
		}
	}
	if len(tables) != len(store.Tables()) {
		t.Errorf("%d tables are drawn and %d exist", len(tables), len(store.Tables()))
	}
}

// byteByByte makes a character of each byte, so that bytes of a number that happen to be one character together count as many.
func byteByByte(key []byte) string {
	runes := make([]rune, len(key))
	for i, b := range key {
		runes[i] = rune(b)
	}
	return string(runes)
}

func checkValue(kind string, value []byte) error {
	switch kind {
	case "-":
		if len(value) > 0 {
			return fmt.Errorf("%d bytes where nothing is drawn", len(value))
		}
		return nil
	case "number":
		if len(value) != 8 {
			return fmt.Errorf("%d bytes, want a number", len(value))
		}
		return nil
	}
	if !strings.Contains(kind, ".") {
		kind = "storage.v1." + kind
	}
	message, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(kind))
	if err != nil {
		return err
	}
	m := message.New()
	if err := proto.Unmarshal(value, m.Interface()); err != nil {
		return err
	}
	if len(value) == 0 || len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%d bytes are no %s", len(value), kind)
	}
	return nil
}

// fill makes at least one record in every table, by calls of the domain packages.
func fill(t *testing.T, st store.Store) {
	t.Helper()
	ctx, by := t.Context(), identity.Name{Kind: identity.KindOperator, ID: "ada"}
	ca, err := pki.Open(pki.Config{Dir: t.TempDir()})
	must(t, err)
	inv := inventory.New(inventory.Config{Store: st, CA: ca.Fingerprint()})
	issueOperator := func(name string, csr []byte) (*pki.Issued, error) { return ca.IssueOperator(name, csr, 0) }
	_, err = inv.Bootstrap(ctx, csr(t), issueOperator, func(*pki.Issued) error { return nil })
	must(t, err)
	_, err = inv.CreateSite(ctx, by, &fleetv1.CreateSiteRequest{Name: "Lyon", RequestId: "r-1"})
	must(t, err)
	_, err = inv.CreateBand(ctx, by, &fleetv1.CreateBandRequest{Serial: "AAAH-00125", Site: "lyon"})
	must(t, err)
	text, _, err := inv.CreateToken(ctx, by, &fleetv1.CreateTokenRequest{
		Site: "lyon", Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, Uses: 1, Ttl: durationpb.New(time.Hour),
	})
	must(t, err)
	token, err := identity.ParseToken(text)
	must(t, err)
	_, err = inv.Enroll(ctx, &agentv1.EnrollRequest{
		TokenId: token.ID, TokenSecret: token.Secret, Csr: csr(t), SealingKey: sealingKey(), Name: "press-1", JournalId: "j",
		Plugins: []*agentv1.Plugin{{Sha256: strings.Repeat("ab", 32), Manifest: &actionv1.Manifest{
			Name: "endpoint", Actions: []*actionv1.Action{{Name: "ble-restart"}},
		}}},
	}, ca.IssueAgent)
	must(t, err)
	fillImports(t, st)
	job := fillJobs(t, st, inv)
	fillArtifacts(t, st, inv, job)
	fillSecrets(t, st, inv)
	fillSchedules(t, st)
	fillNotices(t, st)
	fillFaults(t, st, inv)
	fillGuided(t, st, inv)
	fillNotices(t, st)
}

// fillFaults leaves an incident of three terminals, one of which has a breaker, a fault that is over, and a result with findings.
func fillFaults(t *testing.T, st store.Store, inv *inventory.Inventory) {
	t.Helper()
	guide, err := catalogue.Load()
	must(t, err)
	desk := faults.New(faults.Config{Store: st, Inventory: inv, Catalogue: func() faults.Catalogue { return guide }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	fault := func(entry, subject string, gone bool) *agentv1.News {
		return &agentv1.News{News: &agentv1.News_Fault{Fault: &agentv1.FaultReport{Entry: entry, Subject: subject, Gone: gone}}}
	}
	const down, host = "nba-nes-network-down", "nes-lyon-1.example"
	tell := func(id string, news ...*agentv1.News) {
		for i, n := range news {
			n.Sequence = uint64(i + 1)
		}
		_, err := desk.Report(t.Context(), &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{Id: id}}, news)
		must(t, err)
	}
	tell("T-0001", fault("nbe-missing", "", false), fault("ble-adapter-missing", "", false), fault("ble-adapter-missing", "", true), fault(down, host, false),
		&agentv1.News{News: &agentv1.News_Breaker{Breaker: &agentv1.BreakerState{Entry: "nbe-missing", Action: "ble-restart", Open: true, Attempts: 3}}})
	for _, id := range []string{"T-0002", "T-0003"} {
		other := &fleetv1.Terminal{Id: id, Name: "press-" + id[5:], Site: "lyon", Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL}
		must(t, st.Update(t.Context(), func(w store.Writer) error {
			return errors.Join(put(w, store.TableTerminals, store.TerminalKey(id), &storagev1.TerminalRecord{Terminal: other}),
				put(w, store.TableTerminalNames, store.Key(other.GetName()), &fleetv1.Terminal{Id: id}), w.Put(store.TableTerminalSites, store.TerminalSiteKey("lyon", id), nil))
		}))
		tell(id, fault(down, host, false))
	}
	must(t, desk.CountUnmatched(t.Context(), &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{Id: "T-0001"}}, &agentv1.UnmatchedLines{
		Templates: []*agentv1.UnmatchedTemplate{{FileClass: "nem", Template: "error #", Count: 1}},
	}))
	must(t, st.Update(t.Context(), func(w store.Writer) error {
		return desk.NoteResult(w, &fleetv1.Task{JobId: strings.Repeat("0", 26), Result: &actionv1.TaskResult{Certificates: &actionv1.CertificateReport{}}})
	}))
	fillPolicies(t, st, inv, desk, guide)
}

// fillPolicies leaves a freeze, the policies that come with the server, and the remedy of a fault.
func fillPolicies(t *testing.T, st store.Store, inv *inventory.Inventory, desk *faults.Desk, guide *catalogue.Catalogue) {
	t.Helper()
	freezes, err := policy.OpenFreezes(t.Context(), st, time.Now)
	must(t, err)
	engine, err := policy.Open(t.Context(), policy.Config{
		Store: st, Catalogue: inForce{guide}, Inventory: inv, Faults: desk, Jobs: noJobs{}, Breakers: desk, Freezes: freezes, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	admin := &fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{"*"}}
	p := &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: "ada"}, Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{admin}}}
	_, err = engine.Fix(t.Context(), p, &fleetv1.FixFaultRequest{Id: "F-1"})
	must(t, err)
	_, err = desk.Decide(t.Context(), "F-1", time.Now(), func(*fleetv1.Fault) error { return nil })
	must(t, err)
	_, err = engine.Freeze(t.Context(), p, &fleetv1.FreezeRequest{Reason: "x"})
	must(t, err)
}

// inForce is a catalogue that does not change.
type inForce struct{ *catalogue.Catalogue }

func (c inForce) Current() *catalogue.Catalogue { return c.Catalogue }
func (inForce) Changed() <-chan struct{}        { return nil }

// noJobs makes jobs that nobody runs.
type noJobs struct{ policy.Jobs }

func (noJobs) CreateRemedy(context.Context, *access.Principal, jobs.Remedy, *fleetv1.JobSpec) (*fleetv1.Job, error) {
	return &fleetv1.Job{Id: strings.Repeat("0", 26), Action: "ble-restart"}, nil
}
func (noJobs) FreezeChanged(context.Context) error { return nil }

// fillGuided leaves a guided task with a file.
func fillGuided(t *testing.T, st store.Store, inv *inventory.Inventory) {
	t.Helper()
	all, err := catalogue.Load()
	must(t, err)
	desk := guided.New(guided.Config{Store: st, Inventory: inv, Catalogue: func() guided.Catalogue { return all }, Now: time.Now})
	id, err := desk.Create(t.Context(), guided.Order{Entry: "band-lost", Band: "AAAH-00125"})
	must(t, err)
	_, err = desk.Note(t.Context(), &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: "ada"}},
		&fleetv1.NoteGuidedTaskRequest{Id: id, FileName: "a.txt", File: []byte("x")})
	must(t, err)
}

// fillSecrets leaves a secret and a scan.
func fillSecrets(t *testing.T, st store.Store, inv *inventory.Inventory) {
	t.Helper()
	key, err := ecdh.X25519().NewPublicKey(sealingKey())
	must(t, err)
	secret, err := sealed.Seal(key.Bytes(), "T-0001", "nes-lyon-1.pfx", []byte("x"))
	must(t, err)
	keeper := secrets.New(secrets.Config{Store: st, Terminals: inv, Now: time.Now})
	_, err = keeper.Put(t.Context(), &access.Principal{
		Name: identity.Name{Kind: identity.KindOperator, ID: "ada"},
		Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{{
			Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: []string{"lyon"},
		}}},
	}, &fleetv1.PutSecretRequest{Terminal: "press-1", Name: "nes-lyon-1.pfx", Kind: fleetv1.SecretKind_SECRET_KIND_PFX, Sealed: secret})
	must(t, err)
	scans := certificates.New(certificates.Config{Store: st, Inventory: inv, Now: time.Now})
	must(t, st.Update(t.Context(), func(w store.Writer) error {
		return scans.Store(w, &fleetv1.Task{JobId: "j", TerminalId: "T-0001", Site: "lyon"}, &actionv1.CertificateReport{}, time.Now())
	}))
}

// sealingKey is a point of the curve.
func sealingKey() []byte { return append([]byte{9}, make([]byte, 31)...) }

// fillSchedules writes what the package of schedules will.
func fillSchedules(t *testing.T, st store.Store) {
	t.Helper()
	must(t, st.Update(t.Context(), func(w store.Writer) error {
		return errors.Join(
			put(w, store.TableSchedules, store.Key("cert-scan"), &storagev1.ScheduleRecord{Schedule: &fleetv1.Schedule{Name: "cert-scan"}}),
			put(w, store.TablePacks, store.Key("lyon"), &fleetv1.Pack{Name: "lyon"}),
			put(w, store.TableScheduleRuns, store.ScheduleRunKey("cert-scan", 1), &fleetv1.ScheduleRun{JobId: "j"}),
		)
	}))
}

// fillNotices has a receiver be done with one.
func fillNotices(t *testing.T, st store.Store) {
	t.Helper()
	desk, err := notify.New(notify.Config{
		Store: st, Receivers: []notify.ReceiverConfig{{Name: "book", Kind: notify.File, Path: t.TempDir() + "/book"}}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	admin := &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: "jane"}, Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{{
		Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{access.AllSites},
	}}}}
	_, err = desk.SetRoute(t.Context(), admin, &fleetv1.SetRouteRequest{Route: &fleetv1.Route{Name: "all", Receiver: "book"}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); desk.Run(ctx) }()
	until := time.Now().Add(time.Minute)
	for some := false; !some && time.Now().Before(until); time.Sleep(time.Millisecond) {
		some, err = store.Any(t.Context(), st, store.TableNoticeCursors)
		must(t, err)
	}
	must(t, st.Update(t.Context(), func(w store.Writer) error {
		return desk.Post(w, &fleetv1.Notice{Event: notify.FaultOpened, Summary: "it is so"})
	}))
	cancel()
	<-ended
}

func put(w store.Writer, table store.Table, key []byte, m proto.Message) error {
	text, err := proto.Marshal(m)
	return errors.Join(err, w.Put(table, key, text))
}

// tasks says that every job has a task on the terminal.
type tasks struct{}

func (tasks) TaskOf(_ context.Context, job, terminal string) (*fleetv1.Task, error) {
	return &fleetv1.Task{JobId: job, TerminalId: terminal, TerminalName: "press-1", Site: "lyon"}, nil
}

func (tasks) Sites(context.Context, string) ([]string, error) { return []string{"lyon"}, nil }

// fillArtifacts leaves an artefact of which nothing has come yet.
func fillArtifacts(t *testing.T, st store.Store, inv *inventory.Inventory, job string) {
	t.Helper()
	k, err := artifacts.Open(t.Context(), artifacts.Config{
		Store: st, Dir: t.TempDir(), Tasks: tasks{}, Terminals: inv, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Free: func(string) (uint64, error) { return 1 << 40, nil },
	})
	must(t, err)
	defer k.Close()
	terminal, err := inv.Terminal(t.Context(), "T-0001")
	must(t, err)
	cut := errors.New("cut")
	err = k.Receive(t.Context(), terminal,
		&agentv1.ArtifactHeader{Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, Kind: "output", Size: 1, Sha256: strings.Repeat("ab", 32)},
		func(*agentv1.UploadArtifactResponse) error { return cut }, nil)
	if !errors.Is(err, cut) {
		t.Fatal(err)
	}
}

// fullStore fails every update but the first ones.
type fullStore struct {
	store.Store
	left int
}

func (s *fullStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	if s.left--; s.left < 0 {
		return store.ErrUnwritable
	}
	return s.Store.Update(ctx, fn)
}

// fillImports leaves an import that was cut short once it was ready.
func fillImports(t *testing.T, st store.Store) {
	t.Helper()
	const untilReady = 3
	inv := inventory.New(inventory.Config{Store: &fullStore{st, untilReady}})
	_, _, err := inv.Import(t.Context(), &access.Principal{
		Name: identity.Name{Kind: identity.KindOperator, ID: "ada"},
		Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{{
			Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{access.AllSites},
		}}},
	}, &fleetv1.ImportRequest{
		Kind: fleetv1.ImportKind_IMPORT_KIND_BANDS, Columns: []string{"serial", "site"}, Rows: []*fleetv1.ImportRow{{Cells: []string{"AAAH-00126", "lyon"}}},
	})
	if !errors.Is(err, store.ErrUnwritable) {
		t.Fatalf("the import ended with %v, want it cut short", err)
	}
}

// permits is a link that tells when a permit is sent.
type permits chan struct{}

func (p permits) Online(string) bool { return true }

func (p permits) Send(_ string, _ uint64, m *agentv1.ConnectResponse) bool {
	if m.GetDispatch().GetPermitValidFor() != nil {
		close(p)
	}
	return true
}

// fillJobs leaves a job that is running.
func fillJobs(t *testing.T, st store.Store, inv *inventory.Inventory) (job string) {
	t.Helper()
	link := make(permits)
	engine, err := jobs.Open(t.Context(), jobs.Config{
		Store: st, Inventory: inv, Link: link, Epoch: func() uint64 { return 1 }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- engine.Run(ctx) }()
	must(t, engine.Connected(ctx, "T-0001", 1, nil, "journal"))
	made, err := engine.Create(ctx, &access.Principal{
		Name: identity.Name{Kind: identity.KindOperator, ID: "ada"},
		Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{{
			Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: []string{"lyon"},
		}}},
	}, &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{Sites: []string{"lyon"}}}})
	must(t, err)
	<-link
	stop()
	must(t, <-ended)
	return made.GetId()
}

func csr(t *testing.T) []byte {
	t.Helper()
	key, err := identity.GenerateKey()
	must(t, err)
	text, err := identity.NewCSR(key)
	must(t, err)
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeysSortAsTheirNumbers(t *testing.T) {
	ids := []string{"T-0001", "T-0999", "T-9999", "T-10000", "T-100000"}
	for i := 1; i < len(ids); i++ {
		if a, b := string(store.TerminalKey(ids[i-1])), string(store.TerminalKey(ids[i])); a >= b {
			t.Errorf("%s does not sort before %s", ids[i-1], ids[i])
		}
		if got := store.TerminalOfSiteKey(store.TerminalSiteKey("lyon", ids[i])); got != ids[i] {
			t.Errorf("read %q out of the key of %q", got, ids[i])
		}
	}
	if got := store.ParseNumber(store.Number(1 << 40)); got != 1<<40 {
		t.Errorf("number %d", got)
	}
	if end, id := store.TerminalOfEndKey(store.CertificateEndKey(1<<31, "T-10000")); end != 1<<31 || id != "T-10000" {
		t.Errorf("read %d, %q out of the key of an end of T-10000's", end, id)
	}
	if store.ParseNumber([]byte("x")) != 0 || store.TerminalOfSiteKey(nil) != "" {
		t.Error("damaged keys must read as nothing")
	}
}
