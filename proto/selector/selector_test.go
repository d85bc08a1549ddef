package selector

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// fleet is one terminal of each kind.
func fleet() map[string]Subject {
	press := &fleetv1.Terminal{
		Id: "T-0142", Name: "Press-1", Site: "lyon", Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL,
		State:  fleetv1.TerminalState_TERMINAL_STATE_ACTIVE,
		Labels: map[string]string{"line": "3", "hall": "A and B", "spare": ""}, LastSeen: timestamppb.New(now.Add(-48 * time.Hour)),
		Facts: &agentv1.Facts{
			Hostname: "PRESS1", Os: "windows", OsVersion: "10.0.19045", AgentVersion: "v2.0.9-4-gabcdef",
			Adapter: &actionv1.DeviceState{Devices: []*actionv1.Device{{Instance: "usb1"}}},
			Services: []*actionv1.ServiceState{
				{Service: host.EndpointService, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPED},
				{Service: host.AgentService, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING},
			},
		},
	}
	nes := &fleetv1.Terminal{
		Id: "T-0007", Name: "nes", Site: "turin", Role: fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST,
		State:    fleetv1.TerminalState_TERMINAL_STATE_RE_ENROLLING,
		LastSeen: timestamppb.New(now.Add(-90 * time.Minute)),
		Facts: &agentv1.Facts{Os: "linux", OsVersion: "Debian 12", AgentVersion: "2.10", Adapter: &actionv1.DeviceState{},
			Services: []*actionv1.ServiceState{{Service: host.EndpointService}}},
	}
	return map[string]Subject{
		"press": {Terminal: press, Online: true, Now: now},
		"nes":   {Terminal: nes, Now: now},
		"blank": {Terminal: &fleetv1.Terminal{Id: "T-0009", Name: "blank", Site: "lyon"}, Now: now},
	}
}

// matching names the terminals of the fleet for which an expression holds.
func matching(e *Expression) string {
	var names []string
	all := fleet()
	for _, name := range []string{"press", "nes", "blank"} {
		if e.Matches(all[name]) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func TestMeaning(t *testing.T) {
	for _, c := range []struct{ text, want, canonical string }{
		{`site=lyon`, "press blank", ""},
		{`site = LYON`, "press blank", "site=LYON"},
		{`site!=lyon`, "nes", ""},
		{`site in (lyon,turin)`, "press nes blank", "site in (lyon, turin)"},
		{`site notin (lyon)`, "nes", "site!=lyon"},
		{`id=t-0142`, "press", ""},
		{`name="press-1"`, "press", "name=press-1"},
		{`role=nes-host`, "nes", ""},
		{`role!=nes-host`, "press blank", ""},
		{`state=re-enrolling`, "nes", ""},
		{`online`, "press", ""},
		{`!online`, "nes blank", ""},
		{`online=false`, "nes blank", ""},
		{`not online`, "nes blank", "!online"},
		{`hostname`, "press", ""},
		{`hostname=press1`, "press", ""},
		{`os=windows or os=linux`, "press nes", ""},
		{`!os`, "blank", ""},
		{`endpoint=stopped`, "press", ""},
		{`endpoint=missing`, "nes", ""},
		{`endpoint=unknown`, "blank", ""},
		{`endpoint!=running`, "press nes blank", ""},
		{`agent=running`, "press", ""},
		{`adapter=present`, "press", ""},
		{`adapter=absent`, "nes", ""},
		{`adapter notin (present, absent)`, "blank", ""},
		// Versions go by their numbers; what is unknown or no version stands in no order, and != is the opposite of =.
		{`agent_version<2.1`, "press", ""},
		{`agent_version<2.9`, "press", ""},
		{`agent_version>=2.0.9`, "press nes", ""},
		{`agent_version=2.10.0`, "nes", ""},
		{`agent_version!=2.10`, "press blank", ""},
		{`agent_version<=99999999999999999999999999`, "press nes", ""},
		{`os_version>=10`, "press", ""},
		{`os_version<10 or os_version>=10`, "press", ""},
		{`not agent_version<2.1`, "nes blank", ""},
		{`last_seen>1h`, "nes", ""},
		{`last_seen<=1h30m`, "press nes", ""},
		{`last_seen<1d`, "press nes", ""},
		{`!last_seen`, "blank", ""},
		{`label.line=3`, "press", ""},
		{`label.line=3.0`, "", ""},
		{`label.line<10`, "press", ""},
		{`label.line`, "press", ""},
		{`!label.line`, "nes blank", ""},
		{`label.line!=4`, "press nes blank", ""},
		{`label.hall="A and B"`, "press", ""},
		{`label.hall="a and b"`, "", ""},
		{`label.spare`, "press", ""},
		{`site=lyon, online`, "press", "site=lyon and online"},
		// and binds more tightly than or, not more tightly than both.
		{`site=turin or site=lyon and online`, "press nes", ""},
		{`(site=turin or site=lyon) and online`, "press", ""},
		{`NOT site=lyon AND online OR role=nes-host`, "nes", "not site=lyon and online or role=nes-host"},
		{`not (site=lyon and online)`, "nes blank", ""},
		{`((site=lyon)) and ((online and os=windows))`, "press", "site=lyon and online and os=windows"},
		{`not not online`, "press", "not !online"},
		{`not !online`, "press", ""},
		{`name="and"`, "", ""},
		{`name="a\"b\\c"`, "", ""},
		{"\tsite=lyon\r\n and\n online ", "press", "site=lyon and online"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := matching(e); got != c.want {
			t.Errorf("%s matches %q, want %q", c.text, got, c.want)
		}
		if c.canonical == "" {
			c.canonical = c.text
		}
		if got := e.String(); got != c.canonical {
			t.Errorf("%s is written %s, want %s", c.text, got, c.canonical)
		}
	}
}

func TestFaultsPointAtTheirColumn(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		want   string
	}{
		{``, 1, "is empty"},
		{`  `, 3, "is empty"},
		{`lable=3`, 1, `key lable is not known; keys are site, role, id, name, state, online, last_seen, os, os_version, agent_version, hostname, adapter, endpoint, agent and label.KEY; if it is a label, write label.lable`},
		{`site=lyon and Line=3`, 15, "key Line is not known"},
		{`site`, 1, "site alone means every terminal"},
		{`!site`, 2, "site alone means every terminal"},
		{`adapter`, 1, "adapter=present|absent|unknown"},
		{`!endpoint`, 2, "endpoint alone does not say"},
		{`site=`, 6, "the value of site is missing"},
		{`site= and online`, 7, `the value of site is missing; if and is the value, quote it`},
		{`site=""`, 6, "the value of site is empty"},
		{`site in ()`, 10, "the value of site is missing"},
		{`site in lyon`, 9, "in parentheses"},
		{`site in (lyon turin)`, 15, ", or ) is missing before turin"},
		{`site in (lyon`, 14, "missing before the end"},
		{`role=printer`, 6, "role is never printer; it is one of user-terminal, nes-host"},
		{`online=yes`, 8, "one of true, false"},
		{`endpoint in (running, hanging)`, 23, "endpoint is never hanging"},
		{`site<lyon`, 5, "site has no order"},
		{`agent_version<new`, 15, "new is neither a number nor a dotted version"},
		{`agent_version<2.1-rc1`, 15, "neither a number nor"},
		{`label.line>-1`, 12, "neither a number nor"},
		{`last_seen>soon`, 11, "soon is no duration"},
		{`last_seen>-1h`, 11, "no duration"},
		{`last_seen>99999d`, 11, "no duration"},
		{`last_seen=1h`, 11, "is an age"},
		{`label.=3`, 1, `label "" cannot be`},
		{`label.Line=3`, 1, "lower case"},
		{`!site=lyon`, 6, "write site!=value"},
		{`!(site=lyon)`, 2, "write not"},
		{`site==lyon`, 5, "write = once"},
		{`site=lyon && online`, 11, "write and"},
		{`site=lyon || online`, 11, "write or"},
		{`site='lyon'`, 6, "double quotes"},
		{`name=press-*`, 12, "* has no meaning here"},
		{`site=lyon online`, 11, "and, or, or the end is missing before online"},
		{`(site=lyon`, 1, "not closed"},
		{`site=lyon)`, 10, "no ( for this )"},
		{`(site=lyon online)`, 12, "and, or, or ) is missing"},
		{`site=lyon and`, 14, "a key is missing before the end"},
		{`or site=lyon`, 1, "a key is missing before or"},
		{`"site"=lyon`, 1, "a key is missing before site"},
		{`not`, 4, "a key is missing"},
		{`name="lyon`, 6, "the quote is not closed"},
		{`name="a\n"`, 8, `after \ must come`},
		{`name="é\`, 8, `after \ must come`},
		{"name=\"é\x07\"", 8, "cannot be printed (U+0007)"},
		{"name=é\xff", 7, "no UTF-8"},
		{"site=lyon\x00", 10, "cannot be printed (U+0000)"},
		{strings.Repeat("(", 33) + "online" + strings.Repeat(")", 33), 33, "nested more than 32 deep"},
		{strings.Repeat("not ", 33) + "online", 129, "nested more than 32 deep"},
		{"name=" + strings.Repeat("a", MaxBytes), 1, "4101 bytes long, at most 4096"},
		{strings.Repeat("online,", 580) + "online", 1, "at most 4096"},
	} {
		_, err := Parse(c.text)
		var fault *Error
		if !errors.As(err, &fault) {
			t.Errorf("%.60q gives %v, want a fault", c.text, err)
			continue
		}
		if fault.Column != c.column || !strings.Contains(fault.Problem, c.want) {
			t.Errorf("%.60q gives %v, want column %d with %q", c.text, fault, c.column, c.want)
		}
	}
}

func TestBoundsAreReached(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("(", maxDepth) + "online" + strings.Repeat(")", maxDepth),
		strings.Repeat("not ", maxDepth) + "online",
		"name=" + strings.Repeat("a", MaxBytes-len("name=")),
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%.60q: %v, want it read: it is at the bound", text, err)
		}
	}
}

func TestExcerpt(t *testing.T) {
	for _, c := range []struct{ text, line, caret string }{
		{"site=lyon\tund online", "site=lyon und online", "          ^"},
		{"name=é and foo", "name=é and foo", "           ^"},
		{"site=", "site=", "     ^"},
		{
			strings.Repeat("online, ", 20) + "foo" + strings.Repeat(", online", 20),
			"…ne, online, online, online, online, foo, online, online, online, online,…",
			"                                     ^",
		},
	} {
		_, err := Parse(c.text)
		var fault *Error
		if !errors.As(err, &fault) {
			t.Fatalf("%q gives %v, want a fault", c.text, err)
		}
		if line, caret := fault.Excerpt(); line != c.line || caret != c.caret {
			t.Errorf("%q is shown as\n%q\n%q, want\n%q\n%q", c.text, line, caret, c.line, c.caret)
		}
	}
}

// The agent reports services by the host's names, and the keys must ask for the same.
func TestServiceNamesAreTheAgents(t *testing.T) {
	if endpointService != host.EndpointService || agentService != host.AgentService {
		t.Errorf("keys ask for %q and %q, agents report %q and %q", endpointService, agentService, host.EndpointService, host.AgentService)
	}
}

// FuzzParse: no text makes Parse panic, and what it understood it can write out and read back.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`site=lyon and not (endpoint=running or adapter=absent), label.line<10`, `name in (a, "b \"c\\")`, `!online`,
		`not not last_seen>=7d or os_version!=10.0`, `agent_version notin (2.1, v2.1.0-rc1)`, `((((`, `"`, `site=="`, "é\xff", `a=\`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) || fault.Column < 1 || fault.Column > len([]rune(text))+1 {
				t.Fatalf("%q gives %#v, want a fault with a column within it", text, err)
			}
			fault.Excerpt()
			return
		}
		again, err := Parse(e.String())
		if err != nil {
			t.Fatalf("%q is written %q, which is refused: %v", text, e, err)
		}
		if again.String() != e.String() || matching(again) != matching(e) {
			t.Fatalf("%q is written %q and read as %q", text, e, again)
		}
	})
}

// The page that people read names every key and every value.
func TestThePageNamesEveryKey(t *testing.T) {
	page, err := os.ReadFile("../../docs/selecting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		for _, word := range append([]string{"`" + k.Name + "`"}, strings.Join(k.Values, ", ")) {
			if !strings.Contains(string(page), word) {
				t.Errorf("docs/selecting.md does not say %s, which %s is about", word, k.Name)
			}
		}
	}
}
