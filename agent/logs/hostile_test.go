package logs

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func TestALineWithoutAnEndIsCut(t *testing.T) {
	m := newMachine(t, otpRule(), timeoutRule())
	m.step()
	m.add(nemLog, otpUsed+strings.Repeat("x", 5<<20)+timeout)
	m.step()
	m.add(nemLog, strings.Repeat("y", 1<<20)+timeout+"\n"+timeout+"\n")
	m.step()
	m.want("enroll-otp-used", 1)
	m.want("band-timeout", 1) // the line after, and nothing of the long one's rest
	if w := m.w.memory.Marks; len(w) == 0 || cap(m.w.reader.raw) != chunk {
		t.Errorf("the buffer has %d bytes, want %d however long a line is", cap(m.w.reader.raw), chunk)
	}
}

func TestALastLineWithoutAnEndCountsAfterAWhile(t *testing.T) {
	m := newMachine(t, timeoutRule())
	m.step()
	m.add(nemLog, timeout)
	m.step()
	m.want("band-timeout", 0)
	m.w.cfg.Timings.Partial = 1
	m.step()
	m.want("band-timeout", 1)
	m.add(nemLog, " and it goes on: "+timeout+"\n")
	m.now = m.now.Add(time.Second)
	m.step()
	m.want("band-timeout", 1) // the rest of a line that was taken
}

func TestEvidenceSteersNoScreen(t *testing.T) {
	m := newMachine(t, timeoutRule())
	m.step()
	m.add(nemLog, "\x1b[2J\x00\u202e\x07ERROR\u2028forged \r 2026 OK\xff\xfe "+timeout+strings.Repeat("ž", 2000)+"\n")
	m.step()
	all := m.sink.all()
	if len(all) != 1 {
		t.Fatalf("told were %v, want one fault", all)
	}
	for _, e := range all[0].GetEvidence() {
		if len(e.GetValue()) > maxEvidence || strings.ContainsFunc(e.GetValue(), func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("evidence %q has %d bytes or steers a screen, want at most %d and nothing that does", e.GetValue(), len(e.GetValue()), maxEvidence)
		}
	}
}

func TestWhatIsTooFarBehindIsSkippedAndTold(t *testing.T) {
	m := newMachine(t, timeoutRule())
	m.w.cfg.Timings.Behind = 1 << 20
	m.step()
	m.add(nemLog, timeout+"\n"+strings.Repeat("noise and noise and noise\n", 100_000)+timeout+"\n")
	m.step()
	m.want("band-timeout", 1)
	told := false
	for _, e := range m.sink.all()[0].GetEvidence() {
		told = told || e.GetName() == "skipped" && strings.Contains(e.GetValue(), "bytes")
	}
	if !told {
		t.Errorf("the evidence %v does not say that bytes were skipped", m.sink.all()[0].GetEvidence())
	}
	if got := m.w.Unmatched().GetTemplates(); len(got) != 1 || got[0].GetTemplate() != skippedTemplate || got[0].GetCount() < 1<<20 {
		t.Errorf("unmatched are %v, want how many bytes were skipped", got)
	}
}

func TestReadingKeepsToItsRate(t *testing.T) {
	m := newMachine(t, timeoutRule())
	m.step()
	m.w.cfg.Timings.Rate, m.w.cfg.Timings.Scan = 64<<10, time.Hour
	m.add(nemLog, strings.Repeat("noise and noise and noise\n", 40_000)+timeout+"\n")
	m.add("profiles/bob/AppData/Roaming/Nymi/NEM/Logs/nem.log", timeout+"\n")
	m.w.scanned = time.Time{}
	m.w.budget = 0
	steps := 0
	for ; m.got()["band-timeout"] < 2 && steps < 1000; steps++ {
		m.w.spent = time.Now().Add(-time.Second) // a second later
		m.step()
		m.now = m.now.Add(time.Second)
		if steps == 8 && m.got()["band-timeout"] != 1 {
			t.Error("the quiet log was not read beside the noisy one, want its turn to come")
		}
	}
	if steps < 10 || steps > 40 {
		t.Errorf("a megabyte took %d seconds, want some 16 at 64 KiB a second", steps)
	}
}

func TestAFileOfAnotherKindInPlaceOfALog(t *testing.T) {
	m := newMachine(t, timeoutRule())
	m.step()
	outside := m.path("secret.log")
	if err := os.WriteFile(outside, []byte(timeout+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.add(nemFolder+"nem.txt", "")
	if err := os.Symlink(outside, m.path(nemLog)); err != nil {
		t.Logf("this machine makes no links, which is as good: %v", err)
	}
	if err := os.Mkdir(m.path(nemFolder+"nem.folder.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.step()
	m.want("band-timeout", 0)
}

func TestADamagedFileOfMarksIsAFirstContact(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "{", "another version": `{"version":9}`, "a mark of no file": `{"version":1,"scanned":{},"marks":{"a":[{"offset":-5}]}}`,
		"no mark": `{"version":1,"scanned":{},"marks":{"a":[null]}}`, "no tally": `{"version":1,"scanned":{},"marks":{},"tallies":{"a":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, timeoutRule())
			m.add(nemLog, timeout+"\n")
			if err := os.WriteFile(m.cfg.Marks, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			m.start()
			m.step()
			if all := m.sink.all(); len(all) != 1 || !all[0].GetHistorical() {
				t.Errorf("told were %v, want a historical line: what was read is not known", all)
			}
		})
	}
}

func TestTheMarksNameNobody(t *testing.T) {
	m := newMachine(t, timeoutRule())
	m.step()
	m.add(nemLog, "user ada: "+timeout+"\n")
	m.step()
	m.w.save()
	text, err := os.ReadFile(m.cfg.Marks)
	if err != nil || strings.Contains(string(text), "ada") {
		t.Errorf("the file of marks is %s (%v), want no name of a user in it", text, err)
	}
}

func TestMasking(t *testing.T) {
	n := newNames()
	n.add(`CORP\ada.lovelace`)
	n.add("Bob Builder")
	for line, want := range map[string]string{
		`user CORP\grace failed`:                           `user *** failed`,
		`file C:\Users\Grace Hopper\AppData\nem.log shut`:  `file C:\Users\***\AppData\nem.log shut`,
		`mail to grace@example.org bounced`:                `mail to *** bounced`,
		`user name: Grace Hopper, status: 3000`:            `user name: ***, status: 3000`,
		`{"username":"grace","status":2200}`:               `{"username":"***","status":2200}`,
		`Login of ADA.LOVELACE and bob refused`:            `Login of *** and *** refused`,
		`user not registered`:                              `user not registered`,
		`Password=hunter2; next`:                           `Password=***; next`,
		`password: hunter2 next`:                           `password: *** next`,
		`url https://svc:hunter2@nes.example/ not reached`: `url https://svc:***`,
		`Authorization: Bearer abcdef0123456789`:           `Authorization: ***`,
		`ERROR - ` + otpUsed:                               `ERROR - ` + otpUsed,
		`HKLM\SOFTWARE`:                                    `HKLM\***`,
		`D:\Nymi\logs\nem.log is full`:                     `D:\Nymi\logs\nem.log is full`,
	} {
		if got := n.mask(line); got != want && !strings.HasPrefix(got, want) {
			t.Errorf("mask(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestTemplates(t *testing.T) {
	n := newNames()
	n.add("ada")
	for line, want := range map[string]string{
		"ERROR 2026-11-24T08:00:00 exchange 42 failed":                 "ERROR # exchange # failed",
		"error in {9f86d081-884c-4d65-9a2f-eaa0c55ad015} deadbeefcafe": "error in {#} #",
		`ERROR user 'grace' unknown, Ada too`:                          `ERROR user '***' unknown, *** too`,
		`ERROR: login: Grace Hopper refused`:                           `ERROR: login: *** *** refused`,
		`ERROR reading C:\Users\grace\x.toml`:                          `ERROR reading C:***`,
		`{"operation":"init","error":"NEA missing certificates."}`:     `{"operation":"***","error":"NEA missing certificates."}`,
		"ERROR user not registered":                                    "ERROR user not registered",
	} {
		if got := template(line, n); got != want {
			t.Errorf("template(%q) = %q, want %q", line, got, want)
		}
	}
}

// FuzzMask: no name of a user of this machine is in what leaves it, whatever the line.
func FuzzMask(f *testing.F) {
	for _, line := range []string{`user: ada`, `CORP\ada logged in`, "a\x00da", "ＡＤＡ", "ada@example.org", `C:\Users\ada\x`, "password=ada", "İada", "a***da"} {
		f.Add([]byte(strings.ReplaceAll(line, "ada", "lovelace")), "Lovelace")
		f.Add([]byte(line), "Žofie Ада")
	}
	f.Fuzz(func(t *testing.T, line []byte, name string) {
		name = clean(name)
		if strings.ContainsAny(name, "*#") || len([]rune(name)) < 4 || isNumber(name) || len(line) > maxMasked {
			return // no name of a profile, or so short that it is looked for by itself only
		}
		n := newNames()
		n.add(name)
		for what, got := range map[string]string{"evidence": n.mask(string(line)), "template": template(string(line), n)} {
			if strings.Contains(fold(got), fold(name)) {
				t.Errorf("the %s %q has the name %q in it", what, got, name)
			}
			if clean(got) != got {
				t.Errorf("the %s %q steers a screen", what, got)
			}
		}
	})
}

// FuzzRead: no bytes bring the reader down, and it gets to their end.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\xff\xfee\x00r\x00"), []byte("\n\x00"))
	f.Add([]byte("\xfe\xff\x00\n"), []byte("\xd8\x00\x00\n"))
	f.Add([]byte("\xef\xbb\xbferror\r\n"), []byte("\x00\x00\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		m := newMachine(t, timeoutRule())
		m.step()
		m.add(nemLog, string(first))
		m.step()
		m.add(nemLog, string(second))
		m.w.cfg.Timings.Partial = 1
		m.step()
		m.step()
		size := int64(len(first) + len(second))
		for _, marks := range m.w.memory.Marks {
			for _, one := range marks {
				if size-one.Offset >= 2 {
					t.Errorf("%d of %d bytes are read, want all", one.Offset, size)
				}
			}
		}
	})
}

func TestOrdersWithoutRules(t *testing.T) {
	m := newMachine(t)
	if err := m.w.Take(&agentv1.Orders{}); err != nil {
		t.Errorf("Take of orders without rules = %v, want success", err)
	}
	m.step()
}
