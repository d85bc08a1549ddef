package notify

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// posted is what a webhook got.
type posted struct {
	Payload
	signature, id, body string
}

// hook is a webhook's server; answer says what it answers to each message, nil for 200.
func hook(t *testing.T, answer func(Payload) int) (cfg ReceiverConfig, got <-chan posted) {
	t.Helper()
	messages := make(chan posted, 1000)
	cert, ca := certificate(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		p := posted{signature: r.Header.Get(HeaderSignature), id: r.Header.Get(HeaderID), body: string(body)}
		if bad := json.Unmarshal(body, &p.Payload); err != nil || bad != nil {
			t.Errorf("a webhook got %q: %v %v", body, err, bad)
		}
		if answer != nil {
			if code := answer(p.Payload); code != http.StatusOK {
				http.Error(w, "not now", code)
				return
			}
		}
		messages <- p
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return ReceiverConfig{Name: "chat", Kind: Webhook, URL: server.URL + "/hook/secret-path", SecretFile: written(t, "key of the hook\n"), CAFile: ca}, messages
}

func TestAWebhookIsTold(t *testing.T) {
	cfg, got := hook(t, nil)
	b := newBench(t, cfg)
	b.route(&fleetv1.Route{Name: "all", Receiver: "chat", Template: "{{.Terminal}}: {{.Summary}}"})
	defer b.run()()
	b.post(fault("lyon", "it is stopped"))
	p := next(t, got)
	if p.Summary != "it is stopped" || p.Site != "lyon" || p.Object != "F-1" || p.Text != "press-4: it is stopped" || p.ID == "" || p.ID != p.id {
		t.Errorf("the webhook got %+v, want the notice, its text by the template and its id", p)
	}
	var seconds int64
	if _, err := fmt.Sscanf(p.signature, "t=%d,", &seconds); err != nil || p.signature != Sign([]byte("key of the hook"), time.Unix(seconds, 0), []byte(p.body)) {
		t.Errorf("its signature is %q (%v), want that of its body with the receiver's secret", p.signature, err)
	}
}

func TestSyslogIsTold(t *testing.T) {
	cfg, got := syslogReceiver(t)
	b := newBench(t, cfg)
	b.route(&fleetv1.Route{Name: "all", Receiver: "siem"})
	defer b.run()()
	b.post(fault("lyon", "forged\n<34>1 2026-01-01T00:00:00Z x y - - - \x1b[2Jline"), fault("ly]\"on", "next"))
	message := next(t, got)
	want := regexp.MustCompile(`^<132>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z fleetd-1 fleetd \d+ fault\.opened ` +
		`\[bandfleet@32473 id="N-000000000001" site="lyon" terminal="press-4" object="F-1" entry="nbe-missing"\] ` + "\ufeff" + `forged <34>1 .*line$`)
	if !want.MatchString(message) || strings.ContainsAny(message, "\n\x1b") {
		t.Errorf("syslog got %q, want one RFC 5424 line like %s", message, want)
	}
	if message := next(t, got); !strings.Contains(message, `site="ly\]\"on"`) {
		t.Errorf("syslog got %q, want the value escaped", message)
	}
}

func TestAMailboxIsTold(t *testing.T) {
	cfg, got := mailServer(t)
	b := newBench(t, cfg)
	b.route(&fleetv1.Route{Name: "all", Receiver: "desk-mail"})
	defer b.run()()
	b.post(fault("lyon", "it is\r\nBcc: everybody@example.com stopped"))
	letter := next(t, got)
	for _, want := range []string{
		"from fleetd@lyon.example to desk@lyon.example to night@lyon.example\n", "Subject: [lyon] it is  Bcc: everybody@example.com stopped\r\n", "N-000000000001", "service: stopped", "Terminal: press-4",
	} {
		if !strings.Contains(letter, want) {
			t.Errorf("the mail is %q, want %q in it", letter, want)
		}
	}
	if strings.Contains(letter, "\nBcc:") {
		t.Errorf("the mail is %q, want no header of the summary's making", letter)
	}
}

func TestAFileIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notices.jsonl")
	b := newBench(t, ReceiverConfig{Name: "book", Kind: File, Path: path})
	b.route(&fleetv1.Route{Name: "lyon", Receiver: "book", Sites: []string{"LYON"}, Events: []string{FaultOpened}})
	stop := b.run()
	b.post(fault("turin", "other site"), &fleetv1.Notice{Event: FaultResolved, Site: "lyon"}, fault("lyon", "first"), fault("lyon", "second"))
	b.wantDone("book", 4)
	stop()
	text, err := os.ReadFile(path)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"first"`) || !strings.Contains(lines[1], `"second"`) {
		t.Errorf("the file holds %q, want the two faults of lyon in their order", text)
	}
}

// wantDone waits until a receiver is done with the notice in this place.
func (b *bench) wantDone(name string, place uint64) {
	b.t.Helper()
	var at uint64
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(time.Millisecond) {
		must(b.t, b.st.View(b.t.Context(), func(v store.Snapshot) error {
			text, err := v.Get(store.TableNoticeCursors, store.Key(name))
			at = store.ParseNumber(text)
			return err
		}))
		if at >= place {
			return
		}
	}
	b.t.Fatalf("receiver %s is done with %d after %s, want %d", name, at, patience, place)
}

// TestADeadReceiverLosesNothing: it is down, the server is started anew, it comes back: all that waited comes, in its order, and meanwhile
// others are told.
func TestADeadReceiverLosesNothing(t *testing.T) {
	var up atomic.Bool
	dead, got := hook(t, func(Payload) int {
		if up.Load() {
			return http.StatusOK
		}
		return http.StatusServiceUnavailable
	})
	path := filepath.Join(t.TempDir(), "notices.jsonl")
	receivers := []ReceiverConfig{dead, {Name: "book", Kind: File, Path: path}}
	b := newBench(t, receivers...)
	b.route(&fleetv1.Route{Name: "a", Receiver: "chat"})
	b.route(&fleetv1.Route{Name: "b", Receiver: "book"})
	stop := b.run()
	for i := range 5 {
		b.post(fault("lyon", fmt.Sprint("fault ", i)))
	}
	b.wantDone("book", 5)
	shown := b.wantProblem("chat", "503")
	if shown.GetWaiting() != 5 || shown.GetOldest() == nil {
		t.Errorf("the dead receiver is shown as %v, want 5 that wait and since when", shown)
	}
	if strings.Contains(shown.String(), "secret-path") {
		t.Errorf("the dead receiver is shown as %v, and its path may be a secret", shown)
	}
	stop()
	b.begin(receivers...)
	up.Store(true)
	defer b.run()()
	for i := range 5 {
		if p := next(t, got); p.Summary != fmt.Sprint("fault ", i) {
			t.Fatalf("in place %d came %q, want the notices in their order", i, p.Summary)
		}
	}
}

func (b *bench) wantProblem(name, part string) *fleetv1.Receiver {
	b.t.Helper()
	var last []*fleetv1.Receiver
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(time.Millisecond) {
		shown, err := b.Receivers(b.t.Context())
		must(b.t, err)
		last = shown
		for _, r := range shown {
			if r.GetName() == name && strings.Contains(r.GetProblem(), part) {
				return r
			}
		}
	}
	b.t.Fatalf("the receivers are %v, want that %s has a problem with %q", last, name, part)
	return nil
}

// TestWhatIsNeverTakenHoldsNothingUp: a message that the receiver refuses for good, and one that has become too old, are given up, and said to be.
func TestWhatIsNeverTakenHoldsNothingUp(t *testing.T) {
	cfg, got := hook(t, func(p Payload) int {
		if p.Summary == "bad" {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	b := newBench(t, cfg)
	b.route(&fleetv1.Route{Name: "all", Receiver: "chat"})
	b.post(fault("lyon", "old"))
	b.now = b.now.Add(giveUpAfter + time.Hour)
	b.post(fault("lyon", "bad"), fault("lyon", "good"))
	defer b.run()()
	if p := next(t, got); p.Summary != "good" {
		t.Errorf("first came %q, want the one that is neither old nor refused", p.Summary)
	}
	b.wantDone("chat", 3)
	shown, err := b.Receivers(t.Context())
	must(t, err)
	if shown[0].GetGivenUp() != 2 || shown[0].GetWaiting() != 0 {
		t.Errorf("the receiver is %v, want two that were given up and none that waits", shown[0])
	}
}

func TestSweepKeepsWhatSomebodyWaitsFor(t *testing.T) {
	cfg, _ := hook(t, func(Payload) int { return http.StatusServiceUnavailable })
	b := newBench(t, cfg, ReceiverConfig{Name: "book", Kind: File, Path: filepath.Join(t.TempDir(), "book")})
	b.route(&fleetv1.Route{Name: "a", Receiver: "chat"})
	b.post(fault("lyon", "one"), fault("lyon", "two"))
	must(t, b.Sweep(t.Context()))
	if some, err := store.Any(t.Context(), b.st, store.TableNotices); err != nil || !some {
		t.Fatalf("after a sweep there are no notices (%v), want those that the webhook has not taken", err)
	}
	b.now = b.now.Add(giveUpAfter + time.Hour)
	must(t, b.Sweep(t.Context()))
	if some, err := store.Any(t.Context(), b.st, store.TableNotices); err != nil || some {
		t.Errorf("days later there are notices (%v), want none: they are too old for anybody", err)
	}
}

func TestANewReceiverBeginsWithWhatIsNew(t *testing.T) {
	b := newBench(t, ReceiverConfig{Name: "book", Kind: File, Path: filepath.Join(t.TempDir(), "book")})
	b.post(fault("lyon", "old"))
	cfg, got := hook(t, nil)
	b.begin(cfg)
	b.route(&fleetv1.Route{Name: "all", Receiver: "chat"})
	defer b.run()()
	b.post(fault("lyon", "new"))
	if p := next(t, got); p.Summary != "new" {
		t.Errorf("a new receiver got %q first, want what came after it", p.Summary)
	}
}

func TestWithoutReceiversNothingIsKept(t *testing.T) {
	b := newBench(t)
	b.post(fault("lyon", "one"))
	if some, err := store.Any(t.Context(), b.st, store.TableNotices); err != nil || some {
		t.Errorf("notices are kept (%v), and nobody will ever be told", err)
	}
}
