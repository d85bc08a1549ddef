package catalogue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue/signing"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

// world is a shelf with one trusted key, among terminals that offer ble-restart.
type world struct {
	t     *testing.T
	store store.Store
	key   *signing.SecretKey
	log   bytes.Buffer
	*Shelf
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: storetest.New(t), key: key}
	w.open()
	return w
}

// open is a start of the server.
func (w *world) open() {
	w.t.Helper()
	var err error
	w.Shelf, err = Open(w.t.Context(), Config{
		Store: w.store, Offers: offers{}, Keys: []signing.PublicKey{w.key.Public()}, Now: time.Now, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

type offers struct{}

func (offers) Actions(context.Context, *access.Principal) ([]*fleetv1.OfferedAction, error) {
	return []*fleetv1.OfferedAction{{Action: &actionv1.Action{Name: "ble-restart", Roles: []string{"user-terminal"}}}}, nil
}

func ada() *access.Principal {
	return &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: "ada"}}
}

// pack is a pack of one entry.
func pack(version, extra string) string {
	return fmt.Sprintf(`name: lyon
version: %s
product: {from: "1.1"}
entries:
  - id: lyon-scanner
    title: The scanner of Lyon is silent
    symptom: Nothing happens.
    chapter: Lyon
    target: terminal
    detect: {reported: true}
    remedy:
      kind: auto
      steps: [{action: ble-restart}]
    verify: It beeps.
%s`, version, extra)
}

func (w *world) signed(text string) *fleetv1.PublishPackRequest {
	sum := w.key.Sign([]byte(text))
	return &fleetv1.PublishPackRequest{Content: []byte(text), Signature: sum.Bytes, KeyId: sum.KeyID, Reason: "INC-4711"}
}

func (w *world) publish(text string) error {
	_, err := w.Publish(w.t.Context(), ada(), w.signed(text))
	return err
}

func (w *world) mustPublish(text string) {
	w.t.Helper()
	if err := w.publish(text); err != nil {
		var r *refusal.Error
		errors.As(err, &r)
		w.t.Fatalf("the pack is refused: %v, %v", err, r.Violations)
	}
}

// verbs are the audit records.
func (w *world) verbs() (verbs []string) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, store.Prefix(audit.FleetChain), nil, func(_, value []byte) bool {
			r := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(value, r); err != nil {
				w.t.Fatal(err)
			}
			verbs = append(verbs, r.GetVerb()+" "+r.GetObject())
			return true
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return verbs
}

func TestAPackIsInForceOverRestartsUntilItIsRemoved(t *testing.T) {
	w := newWorld(t)
	before, hint := w.Current(), w.Changed()
	w.mustPublish(pack("1.0.0", ""))
	select {
	case <-hint:
	default:
		t.Error("nobody was told that the catalogue has changed")
	}
	if w.Current().Entry("lyon-scanner") == nil || w.Current().Version() == before.Version() || before.Entry("lyon-scanner") != nil {
		t.Errorf("catalogue %s after %s: want another one, with the pack's entry", w.Current().Version(), before.Version())
	}
	w.open()
	got, err := w.Get(t.Context())
	if err != nil || w.Current().Entry("lyon-scanner") == nil || len(got.GetPacks()) != 1 || got.GetPacks()[0].GetPublishedBy() != "ada" || got.GetPacks()[0].GetProblem() != "" {
		t.Errorf("after a restart: %v, %v; want the pack in force, published by ada", got, err)
	}
	if found, err := Verify(t.Context(), w.store); err != nil || found != "1 packs of 1 entries" {
		t.Errorf("the check says %q, %v; want one pack of one entry", found, err)
	}
	if err := w.Remove(t.Context(), ada(), &fleetv1.RemovePackRequest{Name: "lyon", Reason: "moved"}); err != nil {
		t.Fatal(err)
	}
	if w.Current().Entry("lyon-scanner") != nil || w.Current().Version() != before.Version() {
		t.Errorf("after removal it is catalogue %s, want %s again", w.Current().Version(), before.Version())
	}
	if got := strings.Join(w.verbs(), ", "); got != "catalogue.publish pack/lyon, catalogue.remove pack/lyon" {
		t.Errorf("the audit records are %s; want one for each change", got)
	}
}

func TestPublishingTheSameAgainChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(pack("1.0.0", ""))
	hint := w.Changed()
	w.mustPublish(pack("1.0.0", ""))
	select {
	case <-hint:
		t.Error("the same pack again is told as a change")
	default:
	}
	if n := len(w.verbs()); n != 1 {
		t.Errorf("there are %d audit records, want 1", n)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	w := newWorld(t)
	r := w.signed(pack("1.0.0", ""))
	r.DryRun = true
	if made, err := w.Publish(t.Context(), ada(), r); err != nil || made.GetEntries() != 1 {
		t.Fatalf("the dry run says %v, %v; want a pack of one entry", made, err)
	}
	if w.Current() != w.Builtin() || len(w.verbs()) > 0 {
		t.Error("the dry run has changed something")
	}
}

func TestBadPacksAreRefused(t *testing.T) {
	w := newWorld(t)
	w.mustPublish(pack("1.2.0", ""))
	foreign, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("b%d: &b%d [*a,*a,*a,*a,*a,*a,*a,*a]\n", i, i)
	}
	second := func(lines string) string {
		return pack("1.3.0", "  - {id: lyon-x, title: X, symptom: X, chapter: X, target: terminal, verify: X, "+lines+"}\n")
	}
	const guided = "remedy: {kind: guided}, person: {assignee: site-desk, steps: [{do: Look.}]}"
	for name, c := range map[string]struct {
		text     string
		alter    func(*fleetv1.PublishPackRequest)
		kind     refusal.Kind
		reason   string
		violates string
	}{
		"not signed":        {pack("1.3.0", ""), func(r *fleetv1.PublishPackRequest) { r.Signature = nil }, refusal.Denied, "BAD_SIGNATURE", ""},
		"changed after":     {pack("1.3.0", ""), func(r *fleetv1.PublishPackRequest) { r.Content = append(r.Content, '#') }, refusal.Denied, "BAD_SIGNATURE", ""},
		"an unknown key":    {pack("1.3.0", ""), func(r *fleetv1.PublishPackRequest) { r.KeyId = foreign.Public().ID() }, refusal.Denied, "UNTRUSTED_KEY", ""},
		"another's":         {pack("1.3.0", ""), func(r *fleetv1.PublishPackRequest) { r.Signature = foreign.Sign(r.Content).Bytes }, refusal.Denied, "BAD_SIGNATURE", ""},
		"a bad reason":      {pack("1.3.0", ""), func(r *fleetv1.PublishPackRequest) { r.Reason = "a\nb" }, refusal.Invalid, "BAD_REASON", ""},
		"older":             {pack("1.1.9", ""), nil, refusal.Precondition, "OLDER_VERSION", ""},
		"the same version":  {pack("1.2.0", "# more\n"), nil, refusal.Precondition, "SAME_VERSION", ""},
		"10 MB":             {strings.Repeat("#", 10<<20), nil, refusal.Invalid, "TOO_LARGE", ""},
		"a YAML bomb":       {bomb, nil, refusal.Invalid, "BAD_PACK", "an anchor or an alias"},
		"unknown keys":      {second("colour: red, detect: {reported: true}, " + guided), nil, refusal.Invalid, "BAD_PACK", "unknown key colour"},
		"one id twice":      {pack("1.3.0", "  - {id: lyon-scanner}\n"), nil, refusal.Invalid, "BAD_PACK", "is there twice"},
		"an entry of ours":  {pack("1.3.0", "  - {id: nbe-missing}\n"), nil, refusal.Invalid, "BAD_PACK", "replaces: nbe-missing"},
		"an unknown action": {second("detect: {reported: true}, remedy: {kind: auto, steps: [{action: coffee-make}]}"), nil, refusal.Invalid, "BAD_PACK", "which no machine offers"},
		"a regexp":          {second("detect: {logs: [{name: a, file: nem, regexp: 'a*', samples: [a]}]}, " + guided), nil, refusal.Invalid, "BAD_PACK", "regular expressions are not allowed"},
		"no samples":        {second("detect: {logs: [{name: a, file: nem, all: [lyon is silent], confidence: guess}]}, " + guided), nil, refusal.Invalid, "BAD_PACK", "want 1 to 20 lines"},
		"our line":          {second("detect: {logs: [{name: a, file: nem, all: [failed to get], confidence: guess, samples: ['Failed to get NEM certificate']}]}, " + guided), nil, refusal.Invalid, "BAD_PACK", "of another entry"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.signed(c.text)
			if c.alter != nil {
				c.alter(r)
			}
			_, err := w.Publish(t.Context(), ada(), r)
			var no *refusal.Error
			if !errors.As(err, &no) || no.Kind != c.kind || no.Reason != c.reason {
				t.Fatalf("it says %v, want a refusal for %s", err, c.reason)
			}
			if c.violates != "" && !strings.Contains(fmt.Sprint(no.Violations), c.violates) {
				t.Errorf("what is wrong: %v; want %q among it", no.Violations, c.violates)
			}
		})
	}
	if err := w.Remove(t.Context(), ada(), &fleetv1.RemovePackRequest{Name: "paris"}); err == nil {
		t.Error("a pack that is not there was removed")
	}
	got, err := w.Get(t.Context())
	if err != nil || len(got.GetPacks()) != 1 || got.GetPacks()[0].GetVersion() != "1.2.0" || len(w.verbs()) != 1 {
		t.Errorf("after all that: %v, %v, records %v; want version 1.2.0 and its one record", got, err, w.verbs())
	}
}

func TestAPackThatDoesNotFitAnyMoreKeepsNoServerFromStarting(t *testing.T) {
	w := newWorld(t)
	old := &fleetv1.Pack{Name: "old", Version: "1.0.0", Content: []byte("name: old\nversion: 1.0.0\nentries: [{id: nbe-missing}]"), Entries: 1}
	text, err := proto.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Update(t.Context(), func(wr store.Writer) error { return wr.Put(store.TablePacks, store.Key("old"), text) }); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.mustPublish(pack("1.0.0", ""))
	got, err := w.Get(t.Context())
	if err != nil || len(got.GetPacks()) != 2 || w.Current().Entry("lyon-scanner") == nil {
		t.Fatalf("packs are %v, %v; want both, and lyon's in force", got, err)
	}
	for _, p := range got.GetPacks() {
		if (p.GetProblem() != "") != (p.GetName() == "old") {
			t.Errorf("pack %s has the problem %q; want one for old only", p.GetName(), p.GetProblem())
		}
	}
	if !strings.Contains(w.log.String(), "a pack of the catalogue is not in force") {
		t.Errorf("the log says %q, want that a pack is not in force", w.log.String())
	}
	if _, err := Verify(t.Context(), w.store); err == nil {
		t.Error("the check has not seen that a hash is missing")
	}
}
