package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// removeLabel is the cell that removes a label. An empty one leaves it.
const removeLabel = "-"

// labelImport sets and removes labels of terminals: one column names the terminal, each other one is a label.
type labelImport struct{ *Inventory }

func (labelImport) word() string                      { return "labels" }
func (labelImport) rowsAtOnce() int                   { return 40 }
func (labelImport) mayImport(*access.Principal) error { return nil }
func (labelImport) keyColumn() string                 { return "terminal" }

func (labelImport) columnProblem(column string) string {
	if !labelKey.MatchString(column) {
		return "is no label; use lower case letters, digits, dots, dashes and underscores, at most 63"
	}
	return ""
}

func (k labelImport) look(l *lookup, cells map[string]string) (s seen, err error) {
	name := cells[k.keyColumn()]
	for _, label := range slices.Sorted(maps.Keys(cells)) {
		if label != k.keyColumn() {
			s.text(label, cells[label], maxLabelValue)
		}
	}
	r, err := findTerminal(l.r, name)
	if isMissing(err) || err == nil && !l.p.May(access.Read, r.GetTerminal().GetSite()) {
		s.problem(k.keyColumn(), name, "not found")
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.object, s.site, s.outcome = r.GetTerminal().GetId(), r.GetTerminal().GetSite(), changed
	after := labelsAfter(r.GetTerminal().GetLabels(), k.labels(cells))
	switch {
	case !l.p.May(access.Admin, s.site):
		s.problem(k.keyColumn(), name, "is at site %q, which you may not administer", s.site)
	case !inUse(r):
		s.problem(k.keyColumn(), name, "is decommissioned")
	case len(after) > maxLabels:
		s.problem(k.keyColumn(), name, "would have %d labels, at most %d are allowed", len(after), maxLabels)
	case maps.Equal(after, r.GetTerminal().GetLabels()):
		s.outcome = unchanged
	}
	return s, nil
}

// carryOut writes one key.
func (k labelImport) carryOut(w store.Writer, o order, row *storagev1.ImportedRow) (outcome, *storagev1.AuditChange, error) {
	r, err := findTerminal(w, row.GetObject())
	if isMissing(err) {
		return moot, nil, nil
	}
	if err != nil {
		return moot, nil, err
	}
	t := r.GetTerminal()
	before, after := t.GetLabels(), labelsAfter(t.GetLabels(), k.labels(row.GetCells()))
	switch {
	case !inUse(r) || t.GetSite() != o.site || len(after) > maxLabels:
		return moot, nil, nil
	case maps.Equal(before, after):
		return unchanged, nil, nil
	}
	t.Labels = after
	return changed, audit.Change("terminal/"+t.GetId(), labelText(before), labelText(after)), keepTerminal(w, r)
}

// labels are the cells of a row but for the terminal's.
func (k labelImport) labels(cells map[string]string) map[string]string {
	out := maps.Clone(cells)
	delete(out, k.keyColumn())
	return out
}

func labelsAfter(before, cells map[string]string) map[string]string {
	after := maps.Clone(before)
	if after == nil {
		after = map[string]string{}
	}
	for label, value := range cells {
		if value == removeLabel {
			delete(after, label)
			continue
		}
		after[label] = value
	}
	return after
}

func labelText(labels map[string]string) string {
	all := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, fmt.Sprintf("%s=%q", key, labels[key]))
	}
	return strings.Join(all, " ")
}
