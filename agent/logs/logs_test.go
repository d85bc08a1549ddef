package logs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// nemFolder is the folder of ada's logs, below the machine's.
const nemFolder = "profiles/ada/AppData/Roaming/Nymi/NEM/Logs/"

// machine is a folder for each root, and a Watcher of it.
type machine struct {
	t     testing.TB
	dir   string
	files host.Files
	sink  *sink
	cfg   Config
	w     *Watcher
	now   time.Time
	rules []*agentv1.LogRule
}

// sink keeps what it is told.
type sink struct {
	mu     sync.Mutex
	faults []*agentv1.FaultReport
	refuse bool
}

func (s *sink) Fault(f *agentv1.FaultReport) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		return errors.New("the journal is full")
	}
	s.faults = append(s.faults, f)
	return nil
}

func (s *sink) all() []*agentv1.FaultReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

func newMachine(t testing.TB, rules ...*agentv1.LogRule) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), sink: &sink{}, rules: rules, now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)}
	roots := map[string]string{}
	for _, root := range []string{"profiles", "programdata", "public"} {
		roots[root] = filepath.Join(m.dir, root)
		if err := os.MkdirAll(roots[root], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	local, err := host.Local(host.LocalConfig{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	m.files = local.Files
	m.cfg = Config{
		Files: m.files, Sink: m.sink, Marks: filepath.Join(m.dir, "marks.json"), Now: func() time.Time { return m.now },
		// Every step looks everywhere, and nothing is too much for it.
		Timings: Timings{Look: 1, Scan: 1, Save: time.Hour, Rate: 1 << 40, Partial: time.Hour},
	}
	m.start()
	return m
}

// start begins with what an earlier Watcher has kept.
func (m *machine) start() {
	m.t.Helper()
	m.w = New(m.cfg)
	m.w.load()
	m.take(m.rules...)
}

// restart ends the Watcher in good order and begins with another.
func (m *machine) restart() {
	m.t.Helper()
	m.w.save()
	m.start()
}

func (m *machine) take(rules ...*agentv1.LogRule) {
	m.t.Helper()
	if err := m.w.Take(&agentv1.Orders{Version: "v1", Logs: rules}); err != nil {
		m.t.Fatalf("Take = %v, want success", err)
	}
}

func (m *machine) step() { m.w.step(m.t.Context()) }

func (m *machine) path(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

// add writes at the end of a file, which is made if need be.
func (m *machine) add(name, text string) {
	m.t.Helper()
	path := m.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) rename(from, to string) {
	m.t.Helper()
	if err := os.Rename(m.path(from), m.path(to)); err != nil {
		m.t.Fatal(err)
	}
}

// got is how often each entry was reported in all, and takes it.
func (m *machine) got() map[string]uint64 {
	counts := map[string]uint64{}
	for _, f := range m.sink.all() {
		counts[f.GetEntry()] += f.GetCount()
	}
	return counts
}

func (m *machine) want(entry string, lines uint64) {
	m.t.Helper()
	if got := m.got()[entry]; got != lines {
		m.t.Errorf("%s was counted %d times, want %d; told were %v", entry, got, lines, m.sink.all())
	}
}

// rule asks for a text in nem.log. Reports of it are not held back.
func rule(entry string, texts ...string) *agentv1.LogRule {
	return &agentv1.LogRule{
		Entry: entry, Id: entry + "/nem", FileClass: "nem", All: texts, Confidence: agentv1.Confidence_CONFIDENCE_GUIDE, Cooldown: durationpb.New(1),
	}
}

const (
	otpUsed = "Band message read error, status: 2200: Problem occurred while communicating with server. Could not get NEA certificate from server."
	timeout = "Band error: (3010) Operation timed out"
)

func otpRule() *agentv1.LogRule {
	r := rule("enroll-otp-used", "Could not get NEA certificate from server")
	r.Code = "2200"
	return r
}

func timeoutRule() *agentv1.LogRule {
	r := rule("band-timeout", "operation timed out")
	r.Code = "3010"
	return r
}

func TestALineIsReported(t *testing.T) {
	m := newMachine(t, otpRule())
	m.step()
	m.add(nemFolder+"nem.log", "2026-11-24 08:00:00 INFO - started by CORP\\ada\r\n2026-11-24 08:00:01 ERROR - "+otpUsed+"\r\n")
	m.step()
	all := m.sink.all()
	if len(all) != 1 {
		t.Fatalf("told were %v, want one fault", all)
	}
	f := all[0]
	if f.GetEntry() != "enroll-otp-used" || f.GetRule() != "enroll-otp-used/nem" || f.GetCount() != 1 || f.GetHistorical() || f.GetGone() ||
		f.GetOrdersVersion() != "v1" || f.GetConfidence() != agentv1.Confidence_CONFIDENCE_GUIDE || !f.GetFirstSeen().AsTime().Equal(m.now) {
		t.Errorf("told was %v, want one line of the rule, now", f)
	}
	want := map[string]string{
		"line": "2026-11-24 08:00:01 ERROR - " + otpUsed, "file": "profiles/***/AppData/Roaming/Nymi/NEM/Logs/nem.log", "position": "byte 48",
	}
	for _, e := range f.GetEvidence() {
		if want[e.GetName()] != e.GetValue() {
			t.Errorf("evidence %s is %q, want %q", e.GetName(), e.GetValue(), want[e.GetName()])
		}
		delete(want, e.GetName())
	}
	if len(want) != 0 {
		t.Errorf("there is no evidence of %v", want)
	}
}

func TestFirstContactReadsTheEndAndSaysSo(t *testing.T) {
	m := newMachine(t, otpRule(), timeoutRule())
	m.add(nemFolder+"nem.log", otpUsed+"\n"+strings.Repeat("noise\n", 20_000)+timeout+"\n")
	m.step()
	m.want("enroll-otp-used", 0) // more than 64 KiB before the end
	m.want("band-timeout", 1)
	if f := m.sink.all()[0]; !f.GetHistorical() {
		t.Errorf("told was %v, want that it is historical: it stood there before", f)
	}
	m.now = m.now.Add(time.Second)
	m.add(nemFolder+"nem.log", timeout+"\n")
	m.step()
	if all := m.sink.all(); len(all) != 2 || all[1].GetHistorical() {
		t.Errorf("told were %v, want a second report, of now, at once", all)
	}
}

func TestALogThatAppearsLaterIsReadFromItsBeginning(t *testing.T) {
	m := newMachine(t, otpRule())
	m.step()
	m.add("profiles/bob/AppData/Roaming/Nymi/NEM/Logs/nem.log", otpUsed+"\n")
	m.step()
	m.want("enroll-otp-used", 1)
	if m.sink.all()[0].GetHistorical() {
		t.Error("a log of a user who signs in for the first time is historical, want it new")
	}
	// A profile that roams brings old logs with it.
	m.add("profiles/eve/AppData/Roaming/Nymi/NEM/Logs/nem.log", otpUsed+"\n")
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(m.path("profiles/eve/AppData/Roaming/Nymi/NEM/Logs/nem.log"), old, old); err != nil {
		t.Fatal(err)
	}
	m.now = m.now.Add(time.Hour)
	m.step()
	if all := m.sink.all(); len(all) != 2 || !all[1].GetHistorical() {
		t.Errorf("told were %v, want a second report that is historical: the file is older than the last look", all)
	}
}

func TestEveryClassHasItsFiles(t *testing.T) {
	files := map[string]string{
		"nem":                 nemFolder + "nem.log",
		"nymi-api":            nemFolder + "nymi_api.log",
		"credential-provider": "public/unlock/Log/credential-provider.log",
		"nes-install":         "programdata/NESg2.install/log/install.txt",
		"nes-service":         "programdata/NEnrollment/Default_Web_Site/lyon_ES/log/service.log",
		"authentication":      "programdata/AuthenticationService/Default_Web_Site/AuthenticationService/log/as.log",
	}
	for class, file := range files {
		t.Run(class, func(t *testing.T) {
			r := rule("fault", "the very text")
			r.FileClass = class
			m := newMachine(t, r)
			m.step()
			for _, other := range files {
				m.add(other, "nothing here\n")
			}
			m.add(file, "the very text\n")
			m.step()
			m.want("fault", 1)
		})
	}
}

func TestTheInstallersLogMayBeAFile(t *testing.T) {
	r := rule("fault", "the very text")
	r.FileClass = "nes-install"
	m := newMachine(t, r)
	m.step()
	m.add("programdata/NESg2.install/log", "the very text\n")
	m.step()
	m.want("fault", 1)
}

func TestOrdersAreRefusedWhole(t *testing.T) {
	m := newMachine(t, otpRule())
	for name, spoil := range map[string]func(*agentv1.LogRule){
		`class of files "printer"`: func(r *agentv1.LogRule) { r.FileClass = "printer" },
		"no entry":                 func(r *agentv1.LogRule) { r.Entry = "" },
		"count is 5000":            func(r *agentv1.LogRule) { r.Count = 5000 },
		"window or cooldown":       func(r *agentv1.LogRule) { r.Window = durationpb.New(-1) },
		"no text":                  func(r *agentv1.LogRule) { r.All = nil },
	} {
		bad := timeoutRule()
		spoil(bad)
		err := m.w.Take(&agentv1.Orders{Version: "v2", Logs: []*agentv1.LogRule{otpRule(), bad}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Take = %v, want an error that says %q", err, name)
		}
	}
	m.step()
	m.add(nemFolder+"nem.log", otpUsed+"\n")
	m.step()
	m.want("enroll-otp-used", 1) // by the orders before
}

func TestOrdersChangeWithoutLosingAPlace(t *testing.T) {
	m := newMachine(t, otpRule())
	m.step()
	m.add(nemFolder+"nem.log", otpUsed+"\n")
	m.step()
	m.take(timeoutRule())
	m.add(nemFolder+"nem.log", timeout+"\n"+otpUsed+"\n")
	m.step()
	m.want("enroll-otp-used", 1)
	m.want("band-timeout", 1)
	m.take(otpRule(), timeoutRule())
	m.add(nemFolder+"nem.log", timeout+"\n")
	m.now = m.now.Add(time.Second)
	m.step()
	m.want("enroll-otp-used", 1) // what was read under other orders is not read again
	m.want("band-timeout", 2)
}

func TestNothingIsReadWithoutOrders(t *testing.T) {
	m := newMachine(t)
	m.w = New(m.cfg)
	m.add(nemFolder+"nem.log", "ERROR - "+otpUsed+"\n")
	m.step()
	if len(m.sink.all()) != 0 || m.w.Unmatched() != nil {
		t.Errorf("without orders %v was told, want nothing", m.sink.all())
	}
}
