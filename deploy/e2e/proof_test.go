package e2e

import (
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/bandfleet/bandfleet/deploy/proof/record"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/explain"
)

// proofResults is where the page of the proofs has them from.
const proofResults = "../proof/results.json"

// provedAlways are the entries that are proved each time: some of each way in which faults are found, and of each way in which they end. All of
// them take a quarter of an hour; PROOF=all proves them, and PROOF=write notes what it saw, too.
func provedAlways() []string {
	return []string{
		"nbe-missing", "lock-nbe-missing", "ble-tap-disabled", "ble-adapter-missing", "nba-nes-url-wrong", "console-untrusted-https", "console-iis-stopped",
		"cert-tls-replace", "enroll-otp-used", "band-error-3010", "log-nba-save", "band-lost", "win7-user-tile",
	}
}

// TestProof proves entries of the catalogue on a fleet: see deploy/proof for what the classes mean. What it sees must be what is committed
// in deploy/proof/results.json, of which the page docs/guide/proof.md is made; `make proof` writes both.
func TestProof(t *testing.T) {
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	h := newHall(t)
	var mu sync.Mutex
	var saw []record.Proof
	t.Run("entries", func(t *testing.T) {
		for _, e := range c.Entries() {
			if os.Getenv("PROOF") == "" && !slices.Contains(provedAlways(), e.ID) {
				continue
			}
			t.Run(e.ID, func(t *testing.T) {
				t.Parallel()
				p := prove(t, h, c, e)
				t.Logf("proved: %+v", p)
				mu.Lock()
				defer mu.Unlock()
				saw = append(saw, p)
			})
		}
	})
	if t.Failed() {
		return
	}
	if os.Getenv("PROOF") == "write" {
		if err := record.Update(proofResults, saw); err != nil {
			t.Fatal(err)
		}
		return
	}
	wantAsCommitted(t, saw)
}

// wantAsCommitted wants what was seen to be what the page says.
func wantAsCommitted(t *testing.T, saw []record.Proof) {
	t.Helper()
	committed, err := record.Read(proofResults)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range saw {
		at := slices.IndexFunc(committed, func(o record.Proof) bool { return o.Entry == p.Entry })
		if at < 0 || committed[at].Class != p.Class || committed[at].Found != p.Found || !slices.Equal(committed[at].Actions, p.Actions) {
			t.Errorf("entry %q is proved as %+v, and the page says otherwise: run `make proof` and look at what has changed", p.Entry, p)
		}
	}
}

// prove proves an entry as its kind allows.
func prove(t *testing.T, h *hall, c *catalogue.Catalogue, e *catalogue.Entry) record.Proof {
	wantExplained(t, c, e)
	if e.Target == catalogue.Band && len(e.Detect.Logs) == 0 {
		return (&course{world: &world{t: t, hall: h, site: h.newSite()}, entry: e}).ofBand()
	}
	if e.Procedure && e.Remedy.Kind == catalogue.Guided {
		return newCourse(t, h, e, reported(e), record.ByPerson).handled()
	}
	if e.Procedure {
		return newCourse(t, h, e, reported(e), record.ByPerson).procedure()
	}
	if p, ok := byState()[e.ID]; ok {
		return newCourse(t, h, e, p, record.ByState).run()
	}
	if len(e.Detect.Logs) > 0 {
		return newCourse(t, h, e, lineOf(e), record.ByLog).run()
	}
	return newCourse(t, h, e, reported(e), record.ByPerson).run()
}

// wantExplained wants the entry to be among those that its own words stand for.
func wantExplained(t *testing.T, c *catalogue.Catalogue, e *catalogue.Entry) {
	t.Helper()
	words := append(slices.Clone(e.Says), e.Title)
	for _, text := range words {
		if slices.ContainsFunc(explain.Find(c, text, "").Ranked, func(h explain.Hit) bool { return h.Entry.ID == e.ID }) {
			return
		}
	}
	t.Errorf("entry %q is not found by any of %q, want that `fleetctl explain` finds it by what a screen says", e.ID, words)
}

// lineOf has a program write what the entry's first rule is for.
func lineOf(e *catalogue.Entry) proof {
	rule := e.Detect.Logs[0]
	p := proof{stage: settingOf(e), cause: rule.Samples[0] + " (" + rule.Confidence + ")"}
	switch {
	case classTarget(rule.File) == catalogue.NESHost:
		p.stage, p.at = nesOnly, "nes"
	case !p.terminal:
		p.terminal = true
	}
	p.do = func(w *world) {
		for range max(1, rule.Count) {
			w.says(rule.File, rule.Samples[0])
		}
	}
	p.params = paramsOf(e.ID)
	return p
}

// reported has a person say so.
func reported(e *catalogue.Entry) proof {
	p := proof{stage: settingOf(e), params: paramsOf(e.ID)}
	if e.Target == catalogue.NESHost {
		p.at = "nes"
	}
	if e.ID == "firmware-log-fetch" {
		p.meanwhile = (*world).confirm
	}
	return p
}

// settingOf is which machines an entry needs: its own, and the NES host where a step goes there.
func settingOf(e *catalogue.Entry) stage {
	s := stage{terminal: e.Target != catalogue.NESHost, nes: e.Target == catalogue.NESHost}
	for _, step := range e.Remedy.Steps {
		s.nes = s.nes || step.On != "" || step.Action == "net-probe"
	}
	return s
}

// paramsOf is what only a person can say, for the entries that no state finds.
func paramsOf(entry string) func(*world) map[string]string {
	switch entry {
	case "firmware-log-fetch":
		return func(*world) map[string]string { return map[string]string{"band_serial": "AAAH-00125"} }
	case "nba-selfsigned-expired":
		return (*world).successor
	}
	return nil
}
