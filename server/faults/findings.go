package faults

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// byFinding begins the rule of a fault that a job has found: a later job that finds all well ends it, and it ends no other.
	byFinding = "finding "
	// expiresSoon is how long before its end a certificate is a fault, as agents have it, too.
	expiresSoon = 30 * 24 * time.Hour
	// verdictsPerUpdate keeps an update below the store's limit of writes.
	verdictsPerUpdate = newsPerUpdate
	// resultsAtOnce is how many results one look takes.
	resultsAtOnce = 100
)

// meaning is what entry a finding of a diagnosis is of.
type meaning struct {
	entry string
	// ofSubject is true when the finding's subject is the fault's; else there can be one only.
	ofSubject bool
	// value is what the finding must say; empty means anything.
	value string
}

// meanings are by the rule of the finding; the first that fits counts. What agents look for all the time has the same entry and subject
// there, so that it is one fault whoever notices first.
func meanings() map[string][]meaning {
	return map[string][]meaning{
		"service-endpoint":   {{entry: "nbe-not-installed", value: "not installed"}, {entry: "nbe-missing"}},
		"service-nymi-agent": {{entry: "nbe-not-installed", value: "not installed"}, {entry: "nymi-agent-missing"}},
		"service-w3svc":      {{entry: "console-iis-stopped"}},
		"service-certsvc":    {{entry: "ndes-ca-unreachable"}},
		"nbe-file":           {{entry: "nbe-config-invalid"}},
		"nbe-agent-url":      {{entry: "nbe-config-no-agent-url"}},
		"nes-url-form":       {{entry: "nba-nes-url-wrong"}},
		"pool-started":       {{entry: "console-iis-stopped", ofSubject: true}},
		"pool-identity":      {{entry: "nes-install-apppool-localservice", ofSubject: true}},
	}
}

// verdict is what a result says of one entry.
type verdict struct {
	rule, entry, subject string
	bad                  bool
	evidence             []*agentv1.Evidence
}

// TellsFaults reports whether a result holds findings that may be faults.
func TellsFaults(r *actionv1.TaskResult) bool {
	known := meanings()
	return r.GetCertificates() != nil || slices.ContainsFunc(r.GetFindings(), func(f *actionv1.Finding) bool { return known[f.GetRule()] != nil })
}

// FindingWrites is how many keys a result with findings adds to its update.
const FindingWrites = 1

// NoteResult notes within the update of a result that its findings are to be made faults; Run does that soon, once, and goes on with it
// after a restart.
func (d *Desk) NoteResult(w store.Writer, t *fleetv1.Task) error {
	if !TellsFaults(t.GetResult()) {
		return nil
	}
	return w.Put(store.TableFindings, store.FindingKey(t.GetJobId(), t.GetIndex()), nil)
}

// takeFindings makes faults of the findings that were noted, and ends those that are well again.
func (d *Desk) takeFindings(ctx context.Context) error {
	for {
		var keys [][]byte
		err := d.each(ctx, store.TableFindings, nil, func(key, _ []byte) (bool, error) {
			keys = append(keys, key)
			return len(keys) < resultsAtOnce, nil
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			if err := d.takeResult(ctx, key); err != nil {
				return err
			}
		}
	}
}

// takeResult takes one result, some verdicts at a time, and drops the note with the last of them.
func (d *Desk) takeResult(ctx context.Context, key []byte) error {
	var task *fleetv1.Task
	var terminal *fleetv1.Terminal
	err := d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		rec, err := read[storagev1.TaskRecord](v, store.TableTasks, key)
		if err != nil || rec == nil {
			return err
		}
		task = rec.GetTask()
		t, err := terminalOf(v, task.GetTerminalId())
		terminal = t.GetTerminal()
		return err
	})
	if err != nil {
		return err
	}
	var verdicts []verdict
	var p *place
	if terminal != nil && terminal.GetState() != fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED {
		if p, err = d.place(ctx, terminal.GetSite()); err != nil {
			return err
		}
		verdicts = append(verdictsOf(task.GetResult()), p.certificateVerdicts(terminal, task.GetResult().GetCertificates(), d.cfg.Now())...)
	}
	for len(verdicts) > verdictsPerUpdate {
		if err := d.takeVerdicts(ctx, key, task, p, verdicts[:verdictsPerUpdate], false); err != nil {
			return err
		}
		verdicts = verdicts[verdictsPerUpdate:]
	}
	return d.takeVerdicts(ctx, key, task, p, verdicts, true)
}

// verdictsOf are what the findings of a diagnosis say. What could not be looked at says nothing.
func verdictsOf(r *actionv1.TaskResult) (verdicts []verdict) {
	known := meanings()
	for _, f := range r.GetFindings() {
		bad := f.GetLevel() == actionv1.FindingLevel_FINDING_LEVEL_PROBLEM
		if !bad && f.GetLevel() != actionv1.FindingLevel_FINDING_LEVEL_GOOD {
			continue
		}
		for _, m := range known[f.GetRule()] {
			if bad && m.value != "" && m.value != f.GetValue() {
				continue
			}
			v := verdict{rule: byFinding + f.GetRule(), entry: m.entry, bad: bad}
			if m.ofSubject {
				v.subject = f.GetSubject()
			}
			if bad {
				v.evidence = []*agentv1.Evidence{
					{Name: line(f.GetSubject(), maxName), Value: line(f.GetValue(), maxSubject)}, {Name: "expected", Value: line(f.GetExpected(), maxSubject)},
				}
			}
			verdicts = append(verdicts, v)
			if bad {
				break
			}
		}
	}
	return verdicts
}

// certificateVerdicts are what a scan says: of the certificates that a NES host serves, and of the site's approved roots.
func (p *place) certificateVerdicts(t *fleetv1.Terminal, r *actionv1.CertificateReport, now time.Time) (verdicts []verdict) {
	for _, c := range r.GetCertificates() {
		bound := slices.ContainsFunc(r.GetBindings(), func(b *actionv1.Binding) bool { return b.GetCertificateSha256() == c.GetSha256() })
		root := p.roots[c.GetSha256()]
		switch {
		case bound && t.GetRole() == fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST:
			verdicts = append(verdicts, expiry(c, "cert-tls-check", "cert-tls-replace", c.GetSha256(), now)...)
		case t.GetRole() == fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST && len(r.GetBindings()) > 0 && c.GetStore() != "Root":
			verdicts = append(verdicts, notServed(c)...)
		case root != "" && c.GetStore() == "Root":
			verdicts = append(verdicts, expiry(c, "cert-root-check", "cert-root-replace", root, now)...)
		}
	}
	return verdicts
}

// expiry says of a certificate whether it ends soon, and whether it has ended.
func expiry(c *actionv1.Certificate, soon, over, subject string, now time.Time) []verdict {
	left := c.GetNotAfter().AsTime().Sub(now)
	evidence := []*agentv1.Evidence{
		{Name: "certificate", Value: line(c.GetSubject(), maxSubject)}, {Name: "not after", Value: c.GetNotAfter().AsTime().UTC().Format(time.RFC3339)},
		{Name: "store", Value: line(c.GetStore(), maxName)},
	}
	return []verdict{
		{rule: byFinding + "certificate-expiry", entry: soon, subject: subject, bad: left > 0 && left <= expiresSoon, evidence: evidence},
		{rule: byFinding + "certificate-expiry", entry: over, subject: subject, bad: left <= 0, evidence: evidence},
	}
}

// notServed says of a certificate that another one is served in its place, so that nobody minds when it ends.
func notServed(c *actionv1.Certificate) (verdicts []verdict) {
	for _, entry := range []string{"cert-tls-check", "cert-tls-replace"} {
		verdicts = append(verdicts, verdict{rule: byFinding + "certificate-expiry", entry: entry, subject: c.GetSha256()})
	}
	return verdicts
}

// takeVerdicts is one update.
func (d *Desk) takeVerdicts(ctx context.Context, key []byte, task *fleetv1.Task, p *place, verdicts []verdict, last bool) error {
	var t *taking
	err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
		t = &taking{Desk: d, w: w, now: d.cfg.Now(), place: p}
		rec, err := terminalOf(w, task.GetTerminalId())
		if err != nil {
			return err
		}
		if t.terminal = rec.GetTerminal(); t.terminal != nil {
			if err := t.verdicts(verdicts, task); err != nil {
				return err
			}
		}
		if last {
			return w.Delete(store.TableFindings, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(verdicts) > 0 {
		d.hint.give()
		d.follow(ctx, t.after)
	}
	return nil
}

// verdicts opens and ends faults, with one audit record in the name of whoever asked for the job's terminal.
func (t *taking) verdicts(all []verdict, task *fleetv1.Task) error {
	for _, v := range all {
		if t.checkOf(v.entry, v.subject) != "" {
			continue
		}
		if err := t.verdict(v); err != nil {
			return err
		}
	}
	if len(t.changes) > 0 {
		t.others = append(t.others, audit.Entry{
			Actor: identity.Name{Kind: identity.KindAgent, ID: t.terminal.GetId()}, Verb: "fault.find", Object: "task/" + task.GetJobId() + "/" + task.GetTerminalId(),
			Changes: t.changes,
		})
		t.changes = nil
	}
	return t.record()
}

func (t *taking) verdict(v verdict) error {
	if v.bad {
		now := timestamppb.New(t.now)
		return t.fault(&agentv1.FaultReport{
			Entry: v.entry, Subject: v.subject, FirstSeen: now, LastSeen: now, Count: 1, Evidence: v.evidence, Rule: v.rule,
			Confidence: agentv1.Confidence_CONFIDENCE_STATE,
		})
	}
	rec, err := lastOf(t.w, t.terminal.GetId(), v.entry, v.subject)
	if err != nil || rec == nil || !isOpen(rec.GetFault()) || !strings.HasPrefix(rec.GetFault().GetRule(), byFinding) {
		return err
	}
	return t.gone(rec)
}

// rootsOf are the site's approved roots: their names by their hashes.
func rootsOf(s *fleetv1.SiteSettings) map[string]string {
	roots := map[string]string{}
	for _, r := range s.GetApprovedRoots() {
		roots[access.Fold(r.GetSha256())] = r.GetName()
	}
	return roots
}
