package bands_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/bands"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	fault     = fleetv1.BandReport_BAND_REPORT_FAULT
	dead      = fleetv1.BandReport_BAND_REPORT_DEAD
	broken    = fleetv1.BandReport_BAND_REPORT_BROKEN
	lost      = fleetv1.BandReport_BAND_REPORT_LOST
	found     = fleetv1.BandReport_BAND_REPORT_FOUND
	temporary = fleetv1.BandReport_BAND_REPORT_TEMPORARY
	returned  = fleetv1.BandReport_BAND_REPORT_RETURNED
	lockout   = fleetv1.BandReport_BAND_REPORT_LOCKOUT
	firmware  = fleetv1.BandReport_BAND_REPORT_FIRMWARE
	wiped     = fleetv1.BandReport_BAND_REPORT_WIPED
	works     = fleetv1.BandReport_BAND_REPORT_WORKS
)

var (
	ada  = operator("ada", "lyon")
	both = operator("both", "lyon", "turin")
)

func operator(name string, sites ...string) *access.Principal {
	return &access.Principal{
		Name:     identity.Name{Kind: identity.KindOperator, ID: name},
		Operator: &fleetv1.Operator{Name: name, Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: sites}}},
	}
}

// shop is a register over the real inventory, the real desk and the catalogue that comes with the product.
type shop struct {
	*bands.Register
	t     *testing.T
	store *store.Bolt
	inv   *inventory.Inventory
	desk  *guided.Desk
	now   time.Time
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, store: storetest.New(t), now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return s.now }
	s.inv = inventory.New(inventory.Config{Store: s.store, Now: clock})
	all, err := catalogue.Load()
	must(t, err)
	s.desk = guided.New(guided.Config{
		Store: s.store, Inventory: s.inv, Catalogue: func() guided.Catalogue { return all }, Now: clock, Log: slog.New(slog.DiscardHandler),
		TellBand: func(w store.Writer, serial, by, note string) error {
			return inventory.NoteBand(w, s.now, serial, by, note)
		},
	})
	s.Register = bands.New(bands.Config{Store: s.store, Inventory: s.inv, Tasks: s.desk, Now: clock})
	for _, site := range []string{"lyon", "turin"} {
		_, err := s.inv.CreateSite(t.Context(), ada.Name, &fleetv1.CreateSiteRequest{Name: site})
		must(t, err)
	}
	s.add("AAAH-00077", "lyon", "jane.doe", fleetv1.BandStatus_BAND_STATUS_ASSIGNED)
	s.add("AAAH-00078", "lyon", "", fleetv1.BandStatus_BAND_STATUS_IN_STOCK)
	s.add("AAAT-00001", "turin", "", fleetv1.BandStatus_BAND_STATUS_IN_STOCK)
	return s
}

func (s *shop) add(serial, site, wearer string, status fleetv1.BandStatus) {
	s.t.Helper()
	_, err := s.inv.CreateBand(s.t.Context(), ada.Name, &fleetv1.CreateBandRequest{Serial: serial, Site: site, Wearer: wearer, Status: status})
	must(s.t, err)
}

func (s *shop) say(r *fleetv1.ReportBandRequest) (*fleetv1.ReportBandResponse, error) {
	if r.GetSerial() == "" {
		r.Serial = "AAAH-00077"
	}
	return s.Report(s.t.Context(), ada, r)
}

func (s *shop) mustSay(r *fleetv1.ReportBandRequest) *fleetv1.ReportBandResponse {
	s.t.Helper()
	resp, err := s.say(r)
	if err != nil {
		s.t.Fatalf("%s: %v", bands.Word(r.GetReport()), err)
	}
	return resp
}

func (s *shop) task(id string) *fleetv1.GuidedTask {
	s.t.Helper()
	task, err := s.desk.Get(s.t.Context(), id)
	must(s.t, err)
	return task
}

// audit lists the audit records of a band, as text.
func (s *shop) audit() (texts []string) {
	s.t.Helper()
	must(s.t, s.store.View(s.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, text []byte) bool {
			r := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(text, r); err != nil {
				s.t.Error(err)
			}
			if r.GetVerb() == "band.report" {
				texts = append(texts, r.String())
			}
			return true
		})
	}))
	return texts
}

func (s *shop) sound() {
	s.t.Helper()
	_, a := inventory.Verify(s.t.Context(), s.store)
	_, b := guided.Verify(s.t.Context(), s.store)
	must(s.t, errors.Join(a, b))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	no, ok := errors.AsType[*refusal.Error](err)
	if !ok || no.Reason != reason {
		t.Errorf("error %v, want a refusal with reason %s", err, reason)
	}
}

// TestEachReport: what becomes of the band, and which task follows.
func TestEachReport(t *testing.T) {
	const inStock, assigned = fleetv1.BandStatus_BAND_STATUS_IN_STOCK, fleetv1.BandStatus_BAND_STATUS_ASSIGNED
	for _, c := range []struct {
		before []*fleetv1.ReportBandRequest
		report *fleetv1.ReportBandRequest
		status fleetv1.BandStatus
		entry  string
	}{
		{nil, &fleetv1.ReportBandRequest{Report: fault, Code: "E12"}, fleetv1.BandStatus_BAND_STATUS_FAULT, "band-fault-code"},
		{nil, &fleetv1.ReportBandRequest{Report: dead}, fleetv1.BandStatus_BAND_STATUS_DEAD, "band-dead"},
		{nil, &fleetv1.ReportBandRequest{Report: broken}, fleetv1.BandStatus_BAND_STATUS_BROKEN, "band-broken"},
		{nil, &fleetv1.ReportBandRequest{Report: lost}, fleetv1.BandStatus_BAND_STATUS_LOST, "band-lost"},
		{nil, &fleetv1.ReportBandRequest{Report: lockout, Failures: 6}, assigned, "band-lockout"},
		{nil, &fleetv1.ReportBandRequest{Report: firmware, FirmwareVersion: "4.1.0"}, assigned, ""},
		{nil, &fleetv1.ReportBandRequest{Report: returned}, inStock, ""},
		{[]*fleetv1.ReportBandRequest{{Report: dead}}, &fleetv1.ReportBandRequest{Report: works}, assigned, ""},
		{[]*fleetv1.ReportBandRequest{{Report: lost}}, &fleetv1.ReportBandRequest{Report: found}, inStock, ""},
		{[]*fleetv1.ReportBandRequest{{Report: lost}, {Report: found}}, &fleetv1.ReportBandRequest{Report: wiped}, inStock, ""},
	} {
		t.Run(bands.Word(c.report.GetReport()), func(t *testing.T) {
			s := newShop(t)
			for _, r := range c.before {
				s.mustSay(r)
			}
			records := len(s.audit())
			resp := s.mustSay(c.report)
			b := resp.GetBand()
			last := b.GetHistory()[len(b.GetHistory())-1]
			if b.GetStatus() != c.status || last.GetReport() != c.report.GetReport() || last.GetActor() != "operator/ada" {
				t.Errorf("the band is %v, its last event %v; want %v and the report", b.GetStatus(), last, c.status)
			}
			switch {
			case c.entry == "" && resp.GetGuidedTask() != "":
				t.Errorf("task %s was made, want none", resp.GetGuidedTask())
			case c.entry != "" && (s.task(resp.GetGuidedTask()).GetEntry() != c.entry || s.task(resp.GetGuidedTask()).GetCreatedBy() != "ada"):
				t.Errorf("task %v, want one of %s, made by ada", s.task(resp.GetGuidedTask()), c.entry)
			}
			if n := len(s.audit()) - records; n != 1 {
				t.Errorf("%d audit records, want one", n)
			}
			s.sound()
		})
	}
}

func TestReportsThatAreRefusedChangeNothing(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct {
		reason string
		r      *fleetv1.ReportBandRequest
	}{
		{"NO_REPORT", &fleetv1.ReportBandRequest{}},
		{"NO_REPORT", &fleetv1.ReportBandRequest{Report: 99}},
		{"NOT_FOUND", &fleetv1.ReportBandRequest{Serial: "AAAH-1", Report: lost}},
		{"NOT_FOUND", &fleetv1.ReportBandRequest{Serial: "../x", Report: lost}},
		{"MISSING", &fleetv1.ReportBandRequest{Report: fault}},
		{"MISSING", &fleetv1.ReportBandRequest{Report: lockout}},
		{"MISSING", &fleetv1.ReportBandRequest{Report: firmware}},
		{"MISSING", &fleetv1.ReportBandRequest{Serial: "AAAH-00078", Report: temporary}},
		{"BAD_VALUE", &fleetv1.ReportBandRequest{Report: fault, Code: "E\x1b[31m"}},
		{"BAD_VALUE", &fleetv1.ReportBandRequest{Report: lockout, Failures: 4}},
		{"BAD_VALUE", &fleetv1.ReportBandRequest{Report: lockout, Failures: 1001}},
		{"BAD_VALUE", &fleetv1.ReportBandRequest{Report: firmware, FirmwareVersion: "new"}},
		{"BAD_VALUE", &fleetv1.ReportBandRequest{Report: lost, Wearer: "a\nb"}},
		{"BAD_VALUE", &fleetv1.ReportBandRequest{Serial: "AAAH-00078", Report: temporary, StandsInFor: "aaah-00078"}},
		{"NOT_OF_REPORT", &fleetv1.ReportBandRequest{Report: dead, Code: "E1"}},
		{"BAD_REASON", &fleetv1.ReportBandRequest{Report: dead, Note: "a\x07"}},
		{"DOES_NOT_FIT", &fleetv1.ReportBandRequest{Report: found}},
		{"DOES_NOT_FIT", &fleetv1.ReportBandRequest{Report: works}},
		{"DOES_NOT_FIT", &fleetv1.ReportBandRequest{Report: temporary, Wearer: "x"}},
		{"DOES_NOT_FIT", &fleetv1.ReportBandRequest{Serial: "AAAH-00078", Report: returned}},
		{"NOT_FOUND", &fleetv1.ReportBandRequest{Serial: "AAAH-00078", Report: temporary, StandsInFor: "AAAT-00001"}},
	} {
		_, err := s.say(c.r)
		wantRefusal(t, err, c.reason)
	}
	if b, err := s.Band(t.Context(), "AAAH-00077"); err != nil || len(b.GetHistory()) != 1 || len(s.audit()) != 0 {
		t.Errorf("history %v, audit %v, %v: what is refused changes nothing", b.GetHistory(), s.audit(), err)
	}
}

// A band that was lost is given to nobody before somebody says that it was wiped, by whatever way.
func TestALostBandIsWipedFirst(t *testing.T) {
	s := newShop(t)
	assign := func() error {
		_, err := s.inv.SetBandStatus(t.Context(), ada.Name, &fleetv1.SetBandStatusRequest{Serial: "AAAH-00077", Status: fleetv1.BandStatus_BAND_STATUS_ASSIGNED})
		return err
	}
	table := func() error {
		_, _, err := s.inv.Import(t.Context(), both, &fleetv1.ImportRequest{
			Kind: fleetv1.ImportKind_IMPORT_KIND_BANDS, Columns: []string{"serial", "status"}, Rows: []*fleetv1.ImportRow{{Line: 2, Cells: []string{"AAAH-00077", "assigned"}}},
		})
		return err
	}
	s.mustSay(&fleetv1.ReportBandRequest{Report: lost})
	wantRefusal(t, assign(), "NOT_WIPED")
	if err := table(); err == nil {
		t.Error("a table assigns a lost band")
	}
	_, err := s.say(&fleetv1.ReportBandRequest{Report: wiped})
	wantRefusal(t, err, "DOES_NOT_FIT")
	b := s.mustSay(&fleetv1.ReportBandRequest{Report: found}).GetBand()
	if b.GetWearer() != "" || !b.GetWipeBeforeUse() {
		t.Errorf("found: %v, want it without a wearer and to be wiped", b)
	}
	wantRefusal(t, assign(), "NOT_WIPED")
	if err := table(); err == nil {
		t.Error("a table assigns a band that was found and not wiped")
	}
	_, err = s.say(&fleetv1.ReportBandRequest{Report: temporary, Wearer: "x"})
	wantRefusal(t, err, "NOT_WIPED")
	s.mustSay(&fleetv1.ReportBandRequest{Report: wiped})
	must(t, assign())
	// Lost by a plain change of status is lost all the same.
	_, err = s.inv.SetBandStatus(t.Context(), ada.Name, &fleetv1.SetBandStatusRequest{Serial: "AAAH-00077", Status: fleetv1.BandStatus_BAND_STATUS_LOST})
	must(t, err)
	wantRefusal(t, assign(), "NOT_WIPED")
}

func TestATemporaryBandAndItsReturn(t *testing.T) {
	s := newShop(t)
	s.mustSay(&fleetv1.ReportBandRequest{Report: dead})
	b := s.mustSay(&fleetv1.ReportBandRequest{Serial: "aaah-00078", Report: temporary, StandsInFor: "aaah-00077"}).GetBand()
	if b.GetStandsInFor() != "AAAH-00077" || b.GetWearer() != "jane.doe" || b.GetHistory()[1].GetWearer() != "jane.doe" {
		t.Errorf("the temporary band is %v, want it to stand in for the other and be worn by the same", b)
	}
	other, err := s.Band(t.Context(), "AAAH-00077")
	must(t, err)
	if other.GetReplacedBy() != "AAAH-00078" {
		t.Errorf("the other says that %q stands in for it", other.GetReplacedBy())
	}
	s.add("AAAH-00079", "lyon", "", fleetv1.BandStatus_BAND_STATUS_IN_STOCK)
	_, err = s.say(&fleetv1.ReportBandRequest{Serial: "AAAH-00079", Report: temporary, StandsInFor: "AAAH-00077"})
	wantRefusal(t, err, "REPLACED")
	b = s.mustSay(&fleetv1.ReportBandRequest{Serial: "AAAH-00078", Report: returned}).GetBand()
	other, err = s.Band(t.Context(), "AAAH-00077")
	must(t, err)
	if b.GetStandsInFor() != "" || b.GetWearer() != "" || other.GetReplacedBy() != "" || other.GetWearer() != "jane.doe" {
		t.Errorf("after the return: %v and %v, want no trace but in their histories", b, other)
	}
	// The other site's chain has its own record.
	if _, err := s.Report(t.Context(), both, &fleetv1.ReportBandRequest{Serial: "AAAT-00001", Report: temporary, StandsInFor: "AAAH-00077"}); err != nil {
		t.Error(err)
	}
	if n := len(s.audit()); n != 5 {
		t.Errorf("%d audit records, want one for each report and one for the other site", n)
	}
	s.sound()
}

func TestLockouts(t *testing.T) {
	s := newShop(t)
	resp := s.mustSay(&fleetv1.ReportBandRequest{Report: lockout, Failures: 7})
	if resp.GetLockedUntil().AsTime() != s.now.Add(4*time.Minute) {
		t.Errorf("locked until %s, want four minutes from now", resp.GetLockedUntil().AsTime())
	}
	if r := s.task(resp.GetGuidedTask()).GetReason(); r != "locked for 4 min after 7 failed matches in a row" {
		t.Errorf("the reason is %q", r)
	}
	first := resp.GetGuidedTask()
	s.now = s.now.Add(time.Hour)
	resp = s.mustSay(&fleetv1.ReportBandRequest{Report: lockout, Failures: 11})
	if s.task(first).GetState() != fleetv1.GuidedState_GUIDED_STATE_MOOT || s.task(resp.GetGuidedTask()).GetSteps()[1].GetTimerEnds() != nil {
		// The countdown is its own step, after those of the entry.
		t.Errorf("the first task is %v, the second %v", s.task(first).GetState(), s.task(resp.GetGuidedTask()).GetSteps())
	}
	steps := s.task(resp.GetGuidedTask()).GetSteps()
	if steps[len(steps)-1].GetTimerEnds().AsTime() != s.now.Add(time.Hour) {
		t.Errorf("steps %v, want one that waits for an hour", steps)
	}
	s.now = s.now.Add(13*24*time.Hour + 22*time.Hour)
	resp = s.mustSay(&fleetv1.ReportBandRequest{Report: lockout, Failures: 5})
	entries := map[string]bool{}
	for _, id := range resp.GetBand().GetGuidedTasks() {
		entries[s.task(id).GetEntry()] = true
	}
	if !entries["band-lockout"] || !entries["band-lockout-repeated"] {
		t.Errorf("open for the band: %v, want the third lockout in 14 days to call for another finger", entries)
	}
	s.sound()
}

func TestTheSameCodeTwiceMeansReplacement(t *testing.T) {
	s := newShop(t)
	s.mustSay(&fleetv1.ReportBandRequest{Report: fault, Code: "E12"})
	for _, c := range []struct {
		code  string
		wait  time.Duration
		twice bool
	}{{"E13", time.Hour, false}, {"E12", 29 * 24 * time.Hour, true}, {"E12", 31 * 24 * time.Hour, false}} {
		s.mustSay(&fleetv1.ReportBandRequest{Report: works})
		s.now = s.now.Add(c.wait)
		reason := s.task(s.mustSay(&fleetv1.ReportBandRequest{Report: fault, Code: c.code}).GetGuidedTask()).GetReason()
		if strings.Contains(reason, "replace the band") != c.twice {
			t.Errorf("code %s after %s: %q, replacement = %v is wanted", c.code, c.wait, reason, c.twice)
		}
	}
}

func TestFirmwareBelowTheSitesMinimum(t *testing.T) {
	s := newShop(t)
	_, err := s.inv.SetSite(t.Context(), ada.Name, &fleetv1.SetSiteRequest{
		Name: "lyon", Settings: &fleetv1.SiteSettings{MinimumBandFirmware: "4.10.0"}, Fields: []string{"minimum_band_firmware"},
	})
	must(t, err)
	old := s.mustSay(&fleetv1.ReportBandRequest{Report: firmware, FirmwareVersion: "4.9.7"})
	if got := s.task(old.GetGuidedTask()).GetEntry(); got != "band-firmware-no-lockout" || old.GetBand().GetFirmwareReadBy() != "ada" {
		t.Errorf("4.9.7 leads to %q, read by %q", got, old.GetBand().GetFirmwareReadBy())
	}
	now := s.mustSay(&fleetv1.ReportBandRequest{Report: firmware, FirmwareVersion: "4.10.0-rc1"})
	if now.GetGuidedTask() != "" || len(now.GetBand().GetGuidedTasks()) != 0 {
		t.Errorf("at the minimum: task %q, open %v; want none", now.GetGuidedTask(), now.GetBand().GetGuidedTasks())
	}
}

func TestTheSameRequestIsRecordedOnce(t *testing.T) {
	s := newShop(t)
	r := &fleetv1.ReportBandRequest{Report: lost, RequestId: "r-1", Wearer: "DOM\\jane"}
	one, two := s.mustSay(r), s.mustSay(r)
	if one.GetGuidedTask() == "" || one.GetGuidedTask() != two.GetGuidedTask() || len(two.GetBand().GetHistory()) != 2 || len(s.audit()) != 1 {
		t.Errorf("tasks %q and %q, history %v: want it once", one.GetGuidedTask(), two.GetGuidedTask(), two.GetBand().GetHistory())
	}
}

// TestNothingIsSaidOfNES: neither a report nor its task says that anything was done in NES, and no wearer is named outside of the band; only
// who was named is quoted.
func TestNothingIsSaidOfNES(t *testing.T) {
	s := newShop(t)
	id := s.mustSay(&fleetv1.ReportBandRequest{Report: lost, Wearer: "DOM\\jane"}).GetGuidedTask()
	b, err := s.Band(t.Context(), "AAAH-00077")
	must(t, err)
	for _, e := range b.GetHistory() {
		if strings.Contains(e.GetNote(), "deactivated") {
			t.Errorf("the history says %q after a mere report", e.GetNote())
		}
	}
	task := s.task(id)
	if strings.Contains(task.String(), "jane") || strings.Contains(task.GetReason(), "deactivated") || task.GetReason() != "reported lost" {
		t.Errorf("the task is %v, want it to say that the band was reported lost, and no wearer", task)
	}
	other := operator("bob", "lyon")
	for _, step := range task.GetSteps() {
		_, err := s.desk.Tick(t.Context(), other, &fleetv1.TickStepRequest{Id: id, Step: step.GetNumber()})
		must(t, err)
	}
	_, err = s.desk.Close(t.Context(), ada, &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED, Named: "root.admin"})
	wantRefusal(t, err, "OTHER_PERSON")
	_, err = s.desk.Close(t.Context(), other, &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED, Named: "root.admin"})
	must(t, err)
	if b, err = s.Band(t.Context(), "AAAH-00077"); err != nil || !strings.HasSuffix(b.GetHistory()[len(b.GetHistory())-1].GetNote(), "root.admin says that it was deactivated in NES") {
		t.Errorf("the history ends with %v, %v", b.GetHistory()[len(b.GetHistory())-1], err)
	}
	if len(b.GetGuidedTasks()) != 0 || b.GetStatus() != fleetv1.BandStatus_BAND_STATUS_LOST {
		t.Errorf("the band is %v with tasks %v, want it lost still, and nothing open", b.GetStatus(), b.GetGuidedTasks())
	}
	s.sound()
}
