package inventory_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// full has every setting there is.
func full() *fleetv1.SiteSettings {
	return &fleetv1.SiteSettings{
		TimeZone:      "Europe/Paris",
		Windows:       []*fleetv1.Window{{Days: []uint32{1, 2}, Start: "22:00", End: "04:00"}},
		Blackouts:     []*fleetv1.Blackout{{Start: "2026-12-24T00:00", End: "2026-12-27T06:00", Reason: "stock-taking"}},
		NesHosts:      []*fleetv1.NESHost{{Host: "nes-lyon-1", Url: "https://nes-lyon-1.example/nes", UsedBy: "label.hall=3"}},
		ApprovedRoots: []*fleetv1.ApprovedRoot{{Name: "Plant root 2024", Sha256: strings.Repeat("ab", 32)}},
		KnownHosts:    []*fleetv1.KnownHost{{Label: "ad", Address: "dc1.lyon.example:636"}},
		NbeProfile: map[string]string{
			"rssi_tap_threshold": "-42", "rssi_cutoff_close": "-70", "rssi_cutoff_far": "-75", "rssi_window_tap": "10", "rssi_window_long": "10000",
			"agent_url": `"wss://agent.lyon.example:9120/socket/websocket"`,
		},
		NymiAgent: fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_CENTRAL, NymiAgentUrl: "wss://agent.lyon.example:9120/socket/websocket",
		Approvals: 1, MinimumBandFirmware: "4.1.0",
	}
}

// everyField lists the settings by the names of the contract.
func everyField() (names []string) {
	fields := (*fleetv1.SiteSettings)(nil).ProtoReflect().Descriptor().Fields()
	for n := range fields.Len() {
		names = append(names, string(fields.Get(n).Name()))
	}
	return names
}

func (f *fixture) set(s *fleetv1.SiteSettings, fields ...string) (*fleetv1.Site, error) {
	return f.SetSite(f.t.Context(), ada, &fleetv1.SetSiteRequest{Name: "Lyon", Settings: s, Fields: fields, Reason: "INC-1"})
}

func (f *fixture) mustSet(s *fleetv1.SiteSettings, fields ...string) *fleetv1.Site {
	f.t.Helper()
	site, err := f.set(s, fields...)
	if err != nil {
		f.t.Fatal(err, refusalOf(f.t, err, "BAD_SETTING").Violations)
	}
	return site
}

// last is the last record of a chain.
func (f *fixture) last(chain string) (r *storagev1.AuditRecord) {
	f.t.Helper()
	err := f.store.View(f.t.Context(), func(v store.Snapshot) error {
		return v.ScanBack(store.TableAudit, store.Prefix(chain), nil, func(_, value []byte) bool {
			r = &storagev1.AuditRecord{}
			if err := proto.Unmarshal(value, r); err != nil {
				f.t.Error(err)
			}
			return false
		})
	})
	if err != nil || r == nil {
		f.t.Fatalf("no audit record of %s: %v", chain, err)
	}
	return r
}

// TestEverySettingIsKeptAndAudited: a setting that the audit record leaves out could be changed without a trace.
func TestEverySettingIsKeptAndAudited(t *testing.T) {
	f := newFixture(t)
	f.mustSet(full(), everyField()...)
	site, err := f.Site(t.Context(), "lyon")
	if err != nil || !proto.Equal(site.GetSettings(), full()) {
		t.Fatalf("kept %v, %v, want all that was set", site.GetSettings(), err)
	}
	audited := map[string]string{}
	r := f.last("lyon")
	for _, c := range r.GetChanges() {
		audited[c.GetName()] = c.GetOld() + " -> " + c.GetNew()
	}
	for _, name := range everyField() {
		if audited[name] == "" {
			t.Errorf("setting %q: its change is not in the audit record", name)
		}
	}
	if r.GetVerb() != "site.set" || r.GetReason() != "INC-1" || audited["approvals"] != "0 -> 1" ||
		audited["windows"] != " -> days 1 2 22:00 to 04:00" {
		t.Errorf("audit record %v", r)
	}
	before := f.records()
	if again := f.mustSet(full(), everyField()...); again.GetEtag() != site.GetEtag() || f.records() != before {
		t.Errorf("the same settings again made etag %q and %d records, want nothing new", again.GetEtag(), f.records()-before)
	}
}

func TestOnlyNamedSettingsChange(t *testing.T) {
	f := newFixture(t)
	f.mustSet(full(), everyField()...)
	site := f.mustSet(&fleetv1.SiteSettings{TimeZone: "UTC", Approvals: 2}, "time_zone", "windows")
	want := full()
	want.TimeZone, want.Windows = "UTC", nil
	if !proto.Equal(site.GetSettings(), want) {
		t.Errorf("settings are %v, want %v: only the named ones change, and a named one that is empty is cleared", site.GetSettings(), want)
	}
	_, err := f.SetSite(t.Context(), ada, &fleetv1.SetSiteRequest{Name: "lyon", Fields: []string{"description"}, Description: "Lyon, hall 3", Etag: site.GetEtag()})
	if got, _ := f.Site(t.Context(), "lyon"); err != nil || got.GetDescription() != "Lyon, hall 3" {
		t.Errorf("description %q, %v", got.GetDescription(), err)
	}
}

func TestAStaleEtagIsRefused(t *testing.T) {
	f := newFixture(t)
	first, err := f.Site(t.Context(), "lyon")
	if err != nil {
		t.Fatal(err)
	}
	f.mustSet(&fleetv1.SiteSettings{Approvals: 1}, "approvals")
	_, err = f.SetSite(t.Context(), ada, &fleetv1.SetSiteRequest{
		Name: "lyon", Settings: &fleetv1.SiteSettings{Approvals: 2}, Fields: []string{"approvals"}, Etag: first.GetEtag(),
	})
	wantRefusal(t, err, "ETAG_MISMATCH")
	if got, _ := f.Site(t.Context(), "lyon"); got.GetSettings().GetApprovals() != 1 {
		t.Errorf("approvals %d: a write over somebody else's was let through", got.GetSettings().GetApprovals())
	}
}

func TestEnrolmentLeavesTheEtagOfASite(t *testing.T) {
	f := newFixture(t)
	before, _ := f.Site(t.Context(), "lyon")
	f.enrol("lyon", "press-1")
	if after, err := f.Site(t.Context(), "lyon"); err != nil || after.GetEtag() != before.GetEtag() || after.GetTerminals() != 1 {
		t.Errorf("site %v, %v: a machine that comes in must not foil somebody who is changing the settings", after, err)
	}
}

func TestBadSettingsAreRefusedTogether(t *testing.T) {
	f := newFixture(t)
	before := f.records()
	bad := full()
	bad.TimeZone, bad.Windows[0].Start, bad.Blackouts[0].End = "Mars", "25:00", "never"
	bad.NesHosts = []*fleetv1.NESHost{{Url: "http://x"}, {Host: "a", Url: "https://u:secret@a", UsedBy: "label.hall="}, {Host: "A", Url: "https://a/x?y=1"}}
	bad.ApprovedRoots = append(bad.ApprovedRoots, &fleetv1.ApprovedRoot{Sha256: "AB"}, proto.CloneOf(bad.ApprovedRoots[0]))
	bad.KnownHosts = []*fleetv1.KnownHost{{Label: "AD!", Address: "dc1"}, {Label: "sql", Address: "[fe80::1]:1433"}, {Label: "sql", Address: "[FE80::1]:1433"}}
	bad.NbeProfile = map[string]string{"rssi_tap_treshold": "-42", "rssi_cutoff_far": "0", "rssi_window_tap": "ten", "agent_url": `"http://x"`, "rssi_cutoff_close": "1\nx = 2"}
	bad.NymiAgentUrl, bad.Approvals, bad.NymiAgent = "https://agent", 3, 9
	_, err := f.set(bad, everyField()...)
	r := refusalOf(t, err, "BAD_SETTING")
	got := map[string]string{}
	for _, v := range r.Violations {
		got[v.Field] = v.Text
	}
	for field, want := range map[string]string{
		"settings.time_zone": "no IANA time zone", "settings.windows[0].start": "no time of day", "settings.blackouts[0].end": "no date and time",
		"settings.nes_hosts[0].host": "is missing", "settings.nes_hosts[0].url": "https://", "settings.nes_hosts[1].url": "no place for a password",
		"settings.nes_hosts[1].used_by": "column", "settings.nes_hosts[2].host": "named twice", "settings.nes_hosts[2].url": "scheme, host and path alone",
		"settings.approved_roots[1].name": "is missing", "settings.approved_roots[1].sha256": "64 lower case", "settings.approved_roots[2].name": "named twice",
		"settings.approved_roots[2].sha256": "named twice", "settings.nbe_profile[rssi_tap_treshold]": "it has agent_url, rssi_cutoff_close",
		"settings.nbe_profile[rssi_cutoff_far]": "from -127 to -1", "settings.nbe_profile[rssi_window_tap]": "no value in TOML",
		"settings.nbe_profile[agent_url]": "ws://", "settings.nbe_profile[rssi_cutoff_close]": "no value in TOML",
		"settings.known_hosts[0].label": "is no label", "settings.known_hosts[0].address": "no host and port", "settings.known_hosts[2].address": "named twice",
		"settings.nymi_agent_url": "wss://", "settings.approvals": "want 0 to 2", "settings.nymi_agent": "does not exist",
	} {
		if !strings.Contains(got[field], want) {
			t.Errorf("%s: told %q, want %q", field, got[field], want)
		}
		delete(got, field)
	}
	if len(got) > 0 {
		t.Errorf("also told %v", got)
	}
	if site, _ := f.Site(t.Context(), "lyon"); site.GetSettings() != nil || f.records() != before {
		t.Errorf("refused settings left %v and %d records", site.GetSettings(), f.records()-before)
	}
}

func TestSettingsThatDoNotGoTogether(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		s     *fleetv1.SiteSettings
		field string
		names []string
	}{
		{&fleetv1.SiteSettings{NymiAgent: fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_CENTRAL}, "settings.nymi_agent_url", []string{"nymi_agent"}},
		{&fleetv1.SiteSettings{NymiAgentUrl: "wss://a/x"}, "settings.nymi_agent_url", []string{"nymi_agent_url"}},
		{&fleetv1.SiteSettings{NbeProfile: map[string]string{"rssi_cutoff_close": "-75", "rssi_cutoff_far": "-70"}}, "settings.nbe_profile[rssi_cutoff_far]", []string{"nbe_profile"}},
	} {
		_, err := f.set(c.s, c.names...)
		if r := refusalOf(t, err, "BAD_SETTING"); len(r.Violations) != 1 || r.Violations[0].Field != c.field {
			t.Errorf("%v: violations %v, want one at %s", c.s, r.Violations, c.field)
		}
	}
	// 0 switches proximity off, whatever far says.
	f.mustSet(&fleetv1.SiteSettings{NbeProfile: map[string]string{"rssi_cutoff_close": "0", "rssi_cutoff_far": "-70"}}, "nbe_profile")
}

func TestSettingsAreBounded(t *testing.T) {
	f := newFixture(t)
	many := &fleetv1.SiteSettings{}
	for n := range 201 {
		many.Windows = append(many.Windows, &fleetv1.Window{Start: "00:00", End: "00:01"})
		many.Blackouts = append(many.Blackouts, &fleetv1.Blackout{Start: "2026-12-24T00:00", End: "2026-12-27T06:00"})
		many.NesHosts = append(many.NesHosts, &fleetv1.NESHost{Host: fmt.Sprint(n), Url: "https://a"})
		many.KnownHosts = append(many.KnownHosts, &fleetv1.KnownHost{Label: "ad", Address: fmt.Sprintf("dc%d:636", n)})
		many.ApprovedRoots = append(many.ApprovedRoots, &fleetv1.ApprovedRoot{Name: fmt.Sprint(n), Sha256: fmt.Sprintf("%064x", n)})
	}
	for _, name := range []string{"windows", "blackouts", "nes_hosts", "approved_roots", "known_hosts"} {
		_, err := f.set(many, name)
		if r := refusalOf(t, err, "BAD_SETTING"); len(r.Violations) != 1 || r.Violations[0].Field != "settings."+name {
			t.Errorf("201 %s: violations %v, want that they are too many", name, r.Violations)
		}
	}
	long := &fleetv1.SiteSettings{}
	for n := range 50 {
		long.NesHosts = append(long.NesHosts, &fleetv1.NESHost{Host: fmt.Sprint(n), Url: "https://a", UsedBy: "label.hall=" + strings.Repeat("3", 4000)})
	}
	_, err := f.set(long, "nes_hosts")
	if r := refusalOf(t, err, "BAD_SETTING"); len(r.Violations) != 1 || r.Violations[0].Field != "settings" {
		t.Errorf("200 kB: violations %v, want that they are too large", r.Violations)
	}
}

func TestBadSetRequests(t *testing.T) {
	f := newFixture(t)
	for reason, fields := range map[string][]string{"NOTHING_TO_DO": nil, "UNKNOWN_FIELD": {"colour"}, "BAD_SETTING": {"description"}} {
		_, err := f.SetSite(t.Context(), ada, &fleetv1.SetSiteRequest{Name: "lyon", Fields: fields, Description: "a\nb"})
		wantRefusal(t, err, reason)
	}
	_, err := f.set(&fleetv1.SiteSettings{}, "windows", "windows")
	wantRefusal(t, err, "UNKNOWN_FIELD")
	newer := &fleetv1.SiteSettings{}
	newer.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1})
	_, err = f.set(newer, "windows")
	wantRefusal(t, err, "UNKNOWN_FIELD")
	_, err = f.SetSite(t.Context(), ada, &fleetv1.SetSiteRequest{Name: "nowhere", Fields: []string{"windows"}})
	wantRefusal(t, err, "NOT_FOUND")
}
