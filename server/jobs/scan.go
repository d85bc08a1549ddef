package jobs

import (
	"iter"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Scans keeps what results tell of certificates.
type Scans interface {
	// Store takes over what a task's scan found, within the update of its result. It writes at most ScanWrites keys.
	Store(w store.Writer, t *fleetv1.Task, r *actionv1.CertificateReport, now time.Time) error
}

// Findings is told of results that hold findings.
type Findings interface {
	// NoteResult notes a task's result, within its update. It writes one key at most.
	NoteResult(w store.Writer, t *fleetv1.Task) error
}

// ScanWrites is how many keys a scan may add to the update of its result.
const ScanWrites = 5

// Bounds of what a result tells beside its plan, in pieces. Agents keep to less; what is beyond is left out, for a result is never
// refused because of what it tells.
const (
	maxFindings     = 500
	maxCertificates = 500
	maxBindings     = 200
	maxRoots        = 200
	maxLeases       = 64
	// maxFinding is the longest text of a finding, in bytes.
	maxFinding = 4 << 10
)

// boundResult leaves out of a result what is beyond all bounds.
func boundResult(r *actionv1.TaskResult) {
	if r == nil {
		return
	}
	r.Findings, r.Leases = first(r.GetFindings(), maxFindings), first(r.GetLeases(), maxLeases)
	for _, f := range r.GetFindings() {
		for _, text := range []*string{&f.Rule, &f.Subject, &f.Value, &f.Expected, &f.Message} {
			*text = clip(*text, maxFinding)
		}
	}
	if c := r.GetCertificates(); c != nil {
		c.Certificates, c.Bindings = first(c.GetCertificates(), maxCertificates), first(c.GetBindings(), maxBindings)
		if len(c.GetRoots()) > maxRoots {
			c.Roots = nil
		}
	}
}

func first[T any](list []T, most int) []T { return list[:min(len(list), most)] }

// weight is what a result counts for in an update: one that brings a scan writes more.
func (s *settlement) weight() int {
	weight := 1
	if s.byServer {
		return weight
	}
	if s.result.GetCertificates() != nil {
		weight += ScanWrites
	}
	if s.tellsFindings() {
		weight++
	}
	return weight
}

func (s *settlement) tellsFindings() bool {
	return !s.byServer && (len(s.result.GetFindings()) > 0 || s.result.GetCertificates() != nil)
}

// updatesOf cuts results into what is written in one update each.
func updatesOf(all []*settlement) iter.Seq[[]*settlement] {
	return func(yield func([]*settlement) bool) {
		begin, weight := 0, 0
		for i, s := range all {
			if weight += s.weight(); weight > resultsPerUpdate && i > begin {
				if !yield(all[begin:i]) {
					return
				}
				begin, weight = i, s.weight()
			}
		}
		if begin < len(all) {
			yield(all[begin:])
		}
	}
}
