package explain_test

import (
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/explain"
)

func load(t testing.TB) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ids are the likely entries, or all that fit.
func ids(hits []explain.Hit) string {
	var out []string
	for _, h := range hits {
		out = append(out, h.Entry.ID)
	}
	return strings.Join(out, " ")
}

func TestWhatPeopleSay(t *testing.T) {
	c := load(t)
	for _, u := range []struct {
		words, code string
		// first is the best entry; likely are further ones that must be as likely; sure: there is no other.
		first, likely string
		sure          bool
	}{
		// Word for word.
		{"Nymi Bluetooth Agent is missing", "", "lock-nbe-missing", "", true},
		{"Disconnect from agent", "", "lock-disconnect-from-agent", "", true},
		{"Failed to get NEM certificate", "", "enroll-otp-wrong", "", true},
		{"Failed to get application certificates", "", "enroll-otp-used", "nba-selfsigned-expired", false},
		{"Failed to get the application certificates", "", "nba-selfsigned-expired", "", false},
		{"Nymi Agent is missing", "", "nymi-agent-missing", "", false},
		{"Nymi Bluetooth Endpoint is missing", "", "nbe-missing", "ble-adapter-missing", false},
		{"something went wrong", "", "lock-password-expired", "lock-nes-unreachable", false},
		{"This site can't be reached", "", "console-no-https-binding", "console-iis-stopped", false},
		{"the user is not registered with the nymi enterprise", "", "lock-user-other-domain", "lock-user-association-deleted", false},
		{"Unable to reach NES. Please check your network connection and NES URL.", "", "nba-nes-url-wrong", "nba-nes-network-down", false},
		{"Getting band info failed", "", "lock-status-info-failed", "", false},
		{"Username or password are incorrect", "", "console-bad-credentials", "console-ldap-unavailable", false},
		{"Invalid URI: The format of the URI could not be determined", "", "otp-invalid-uri", "", true},
		{"The LDAP server is unavailable", "", "console-ldap-unavailable", "", true},
		{"Fingerprint creation failed, try again", "", "fingerprint-creation-failed", "", true},
		{"Corrupt Installation Found", "", "nes-install-corrupt-found", "", true},
		// Numbers.
		{"operation timed out", "3000", "band-error-3000", "", true},
		{"operation timed out", "3010", "band-error-3010", "", true},
		{"Band error: (3010) Operation timed out", "", "band-error-3010", "", true},
		{"", "2000", "band-error-2000", "", true},
		{"", "2200", "enroll-otp-used", "", true},
		{"error 9000", "", "band-error-9000", "", false},
		{"HTTP Error 500.19", "", "console-500-19", "", true},
		{"500.19", "", "console-500-19", "", true},
		{"error 26", "", "sql-error-26", "", true},
		// In their own words.
		{"BLE tap", "", "ble-tap-disabled", "", false},
		{"tap ignored, everything is green", "", "ble-tap-disabled", "", false},
		{"band lost", "", "band-lost", "", false},
		{"the band is dead", "", "band-dead", "", false},
		{"screen of the band is broken", "", "band-broken", "", false},
		{"lock icon on the band", "", "band-lockout", "", false},
		{"bluetooth adapter unplugged", "", "ble-adapter-missing", "", false},
		{"usb selective suspend", "", "lock-usb-suspend", "", false},
		{"certificate of nes expires", "", "cert-tls-replace", "", false},
		{"verbose logging", "", "nes-verbose-logging", "", false},
		{"surface tablet hibernate", "", "win7-hibernate-surface", "", false},
		{"two nfc readers", "", "win7-one-nfc-reader", "", false},
		{"iis stopped", "", "console-iis-stopped", "", false},
		{"firmware log of a band", "", "firmware-log-fetch", "", false},
		// With slips.
		{"Nymi Bluetoth Endpont is mising", "", "nbe-missing", "ble-adapter-missing", false},
		{"Nymi Bluetooth Agnet is missing", "", "lock-nbe-missing", "", false},
		{"opperation timed out", "3010", "band-error-3010", "", true},
		{"faild to get NEM certifcate", "", "enroll-otp-wrong", "", false},
		{"Disconect form agent", "", "lock-disconnect-from-agent", "", false},
		{"usename or pasword incorrct", "", "console-bad-credentials", "", false},
		{"corupt installaton found", "", "nes-install-corrupt-found", "", false},
		{"fingerprnt creation faild", "", "fingerprint-creation-failed", "", false},
		{"lost bnad", "", "band-lost", "", false},
	} {
		t.Run(u.words+u.code, func(t *testing.T) {
			a := explain.Find(c, u.words, u.code)
			if len(a.Ranked) == 0 || a.Ranked[0].Entry.ID != u.first {
				t.Fatalf("%q %q is %q, want %s first", u.words, u.code, ids(a.Ranked), u.first)
			}
			for id := range strings.FieldsSeq(u.likely) {
				if !strings.Contains(" "+ids(a.Ranked[:a.Likely])+" ", " "+id+" ") {
					t.Errorf("%q: likely are %q, want %s among them", u.words, ids(a.Ranked[:a.Likely]), id)
				}
			}
			if u.sure && !a.Sure() {
				t.Errorf("%q: likely are %q (numbers %v), want %s alone", u.words, ids(a.Ranked[:a.Likely]), a.AskCode, u.first)
			}
			if u.likely != "" && a.Sure() {
				t.Errorf("%q: %s is told as certain, and the words mean others, too", u.words, u.first)
			}
		})
	}
}

func TestTheSameWordsAskForTheNumber(t *testing.T) {
	c := load(t)
	a := explain.Find(c, "operation timed out", "")
	if strings.Join(a.AskCode, " ") != "3000 3010" || a.Sure() {
		t.Fatalf("numbers asked for are %v, likely are %q; want 3000 and 3010", a.AskCode, ids(a.Ranked[:a.Likely]))
	}
	if got := ids(a.Ranked); !strings.Contains(got, "nes-silent-timeout") {
		t.Errorf("what fits is %q, want the installer's text among them", got)
	}
	terminal := a.For(catalogue.Terminal)
	if got := ids(terminal.Ranked); strings.Contains(got, "nes-silent-timeout") || strings.Join(terminal.AskCode, " ") != "3000 3010" {
		t.Errorf("at a terminal: %q, numbers %v; want no installer's text, and 3000 and 3010", got, terminal.AskCode)
	}
	host := a.For(catalogue.NESHost)
	if len(host.Ranked) == 0 || host.Ranked[0].Entry.ID != "nes-silent-timeout" || len(host.AskCode) > 0 {
		t.Errorf("at an NES host: %q, numbers %v; want the installer's text, and no number", ids(host.Ranked), host.AskCode)
	}
	if got := ids(explain.Find(c, "operation timed out", "3000").Ranked[:1]); got != "band-error-3000" {
		t.Errorf("with 3000 it is %q", got)
	}
}

// TestANumberThatNoEntryHasMakesNothingCertain: the words fit, and it is another number that stands beside them.
func TestANumberThatNoEntryHasMakesNothingCertain(t *testing.T) {
	for _, a := range []*explain.Answer{explain.Find(load(t), "operation timed out", "3999"), explain.Find(load(t), "operation timed out", "3999").For(catalogue.NESHost)} {
		if a.Sure() || a.UnknownCode != "3999" {
			t.Errorf("sure is %v, the unknown number %q, of %q; want 3999 told and nothing certain", a.Sure(), a.UnknownCode, ids(a.Ranked))
		}
	}
}

func TestWhatIsInNoGuideIsNotFound(t *testing.T) {
	c := load(t)
	for _, words := range []string{"", "   ", "xyzzy plugh", "coffee machine broken beans", strings.Repeat("lorem ipsum ", 1000), "\x1b[2J\x00"} {
		if a := explain.Find(c, words, ""); len(a.Ranked) > 0 && a.Ranked[0].Score > 0.6 {
			t.Errorf("%.40q is %q with %.2f, want nothing that is likely", words, ids(a.Ranked[:1]), a.Ranked[0].Score)
		}
	}
	if a := explain.Find(c, "", "4711"); len(a.Ranked) > 0 {
		t.Errorf("the number 4711 is %q, want nothing", ids(a.Ranked))
	}
}

func FuzzFind(f *testing.F) {
	c := load(f)
	f.Add("operation timed out", "3000")
	f.Add("\xff…'", "")
	f.Fuzz(func(t *testing.T, words, code string) {
		a := explain.Find(c, words, code)
		if a.Likely > len(a.Ranked) || a.Sure() && len(a.Ranked) == 0 {
			t.Fatalf("%q %q: %d likely of %d", words, code, a.Likely, len(a.Ranked))
		}
		for _, h := range a.Ranked {
			if h.Why == "" {
				t.Fatalf("%q %q: %s fits and nobody knows why", words, code, h.Entry.ID)
			}
		}
	})
}
