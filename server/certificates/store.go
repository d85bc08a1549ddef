package certificates

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// maxNoted is how many certificates one audit record names; the others are counted.
	maxNoted = 20
	// maxSubject is how much of a subject the audit record has, in bytes.
	maxSubject = 200
	// clockSlack is how far a machine's clock may be ahead before its word is not taken.
	clockSlack = 5 * time.Minute
)

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Store takes over what a task's scan found, within the update of its result. It writes at most five keys. A scan that is older than the
// last one is left out.
func (k *Keeper) Store(w store.Writer, t *fleetv1.Task, report *actionv1.CertificateReport, now time.Time) error {
	before, err := read(w, t.GetTerminalId())
	if err != nil {
		return err
	}
	rec := &storagev1.CertificatesRecord{Report: tidy(report, now), JobId: t.GetJobId()}
	if before != nil && rec.GetReport().GetScanned().AsTime().Before(before.GetReport().GetScanned().AsTime()) {
		return nil
	}
	entry := note(t, before, rec, now)
	text, err := proto.Marshal(rec)
	if err != nil {
		return err
	}
	id := t.GetTerminalId()
	err = w.Put(store.TableCertificates, store.TerminalKey(id), text)
	if before == nil || firstEnd(before) != firstEnd(rec) {
		if before != nil {
			err = errors.Join(err, w.Delete(store.TableCertificateEnds, store.CertificateEndKey(firstEnd(before), id)))
		}
		err = errors.Join(err, w.Put(store.TableCertificateEnds, store.CertificateEndKey(firstEnd(rec), id), nil))
	}
	if err == nil && entry != nil {
		err = errors.Join(audit.Append(w, now, *entry), k.tell(w, t, entry))
	}
	return err
}

// tell posts a notice of what an audit record says.
func (k *Keeper) tell(w store.Writer, t *fleetv1.Task, entry *audit.Entry) error {
	if k.cfg.Notices == nil {
		return nil
	}
	n := &fleetv1.Notice{
		Event: "certificate.expiring", Site: t.GetSite(), Object: t.GetTerminalId(), TerminalName: t.GetTerminalName(),
		Summary: "certificates on " + t.GetTerminalName() + " have come closer to their end",
	}
	for _, c := range entry.Changes {
		n.Details = append(n.Details, c.GetName()+": "+c.GetNew())
	}
	return k.cfg.Notices.Post(w, n)
}

// tidy leaves out what is no certificate, and has the scan's time be no later than now.
func tidy(report *actionv1.CertificateReport, now time.Time) *actionv1.CertificateReport {
	kept := proto.CloneOf(report)
	kept.Certificates = nil
	for _, c := range report.GetCertificates() {
		if sha256Hex.MatchString(c.GetSha256()) && c.GetNotAfter().CheckValid() == nil {
			kept.Certificates = append(kept.Certificates, c)
		}
	}
	if s := report.GetScanned(); s.CheckValid() != nil || s.AsTime().After(now.Add(clockSlack)) {
		kept.Scanned = timestamppb.New(now)
	}
	return kept
}

// never is the end of a terminal that has no certificate.
const never = math.MaxInt64

// firstEnd is when the first of a terminal's certificates ends, in seconds since 1970.
func firstEnd(rec *storagev1.CertificatesRecord) int64 {
	first := int64(never)
	for _, c := range rec.GetReport().GetCertificates() {
		first = min(first, max(0, c.GetNotAfter().GetSeconds()))
	}
	return first
}

// levelKey names a certificate in one place.
func levelKey(c *actionv1.Certificate) string { return c.GetSha256() + " " + c.GetStore() }

// note fills in which level each certificate has come to, and tells of those that have come to another; nil when none has.
func note(t *fleetv1.Task, before, rec *storagev1.CertificatesRecord, now time.Time) *audit.Entry {
	rec.Levels = map[string]fleetv1.ExpiryLevel{}
	var changes []*storagev1.AuditChange
	more := 0
	for _, c := range rec.GetReport().GetCertificates() {
		noted, level := before.GetLevels()[levelKey(c)], levelOf(c, now)
		if !crossed(noted, level) {
			rec.Levels[levelKey(c)] = max(noted, min(level, fleetv1.ExpiryLevel_EXPIRY_LEVEL_GOOD))
			continue
		}
		rec.Levels[levelKey(c)] = level
		if len(changes) == maxNoted {
			more++
			continue
		}
		changes = append(changes, audit.Change(certificateWords(c), levelWord(noted), levelWord(level)))
	}
	if len(changes) == 0 {
		return nil
	}
	if more > 0 {
		changes = append(changes, audit.Change("others", "", fmt.Sprint(more)))
	}
	return &audit.Entry{
		Site: t.GetSite(), Actor: identity.Name{Kind: identity.KindAgent, ID: t.GetTerminalId()}, Verb: "certificate.expiring",
		Object: "terminal/" + t.GetTerminalId(), Changes: changes,
	}
}

// certificateWords name a certificate in the audit record.
func certificateWords(c *actionv1.Certificate) string {
	subject := c.GetSubject()
	if len(subject) > maxSubject {
		subject = subject[:maxSubject]
	}
	printable := func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}
	return strings.Map(printable, strings.ToValidUTF8(fmt.Sprintf("%s %s %s", subject, c.GetStore(), c.GetSha256()), "?"))
}
