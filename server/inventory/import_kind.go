package inventory

import (
	"errors"
	"fmt"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// importKind is what sets tables of bands, labels and sites apart.
type importKind interface {
	// word is what the rows are ("bands").
	word() string
	// rowsAtOnce is how many rows one update may carry out; it writes three keys more than they do.
	rowsAtOnce() int
	// mayImport refuses those who may import no row of this kind.
	mayImport(p *access.Principal) error
	// keyColumn is the column that names the object of a row.
	keyColumn() string
	// columnProblem says what is wrong with a column's name, or "".
	columnProblem(column string) string
	// look says what a row would come to, and changes nothing.
	look(l *lookup, cells map[string]string) (seen, error)
	// carryOut does what a row says, unless things have changed meanwhile so that it is moot. It returns what the audit record of
	// its site tells of it; nil when nothing was changed or its own record tells.
	carryOut(w store.Writer, o order, row *storagev1.ImportedRow) (outcome, *storagev1.AuditChange, error)
}

// kindOfImport returns nil for a kind that does not exist.
func (i *Inventory) kindOfImport(k fleetv1.ImportKind) importKind {
	switch k {
	case fleetv1.ImportKind_IMPORT_KIND_BANDS:
		return bandImport{i}
	case fleetv1.ImportKind_IMPORT_KIND_LABELS:
		return labelImport{i}
	case fleetv1.ImportKind_IMPORT_KIND_SITES:
		return siteImport{i, map[string]string{}}
	default:
		return nil
	}
}

// order is who asked for an import, why, and at which site a row belongs.
type order struct {
	by     identity.Name
	reason string
	site   string
}

// outcome is what a row comes to.
type outcome int

const (
	moot outcome = iota
	unchanged
	changed
	created
)

func tally(counts *fleetv1.ImportResponse, o outcome) {
	switch o {
	case created:
		counts.Created++
	case changed:
		counts.Changed++
	case unchanged:
		counts.Unchanged++
	default:
		counts.Moot++
	}
}

func addCounts(to, from *fleetv1.ImportResponse) *fleetv1.ImportResponse {
	return &fleetv1.ImportResponse{
		Created: to.GetCreated() + from.GetCreated(), Changed: to.GetChanged() + from.GetChanged(),
		Unchanged: to.GetUnchanged() + from.GetUnchanged(), Moot: to.GetMoot() + from.GetMoot(),
	}
}

// seen is what a look has found.
type seen struct {
	// object and site are set when there is no problem, and object also when it is known what the row is about.
	object, site string
	outcome      outcome
	problems     []string
}

func (s *seen) problem(column, cell, format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf("column %s: %q: %s", column, clipped(cell), fmt.Sprintf(format, args...)))
}

func (s *seen) text(column, cell string, most int) {
	if problem := textProblem(cell, most); problem != "" {
		s.problem(column, cell, "%s", problem)
	}
}

// lookup is the store as one caller may see it.
type lookup struct {
	r store.Reader
	p *access.Principal
	// sites are those that were looked for, folded, with what stands in the way of importing there.
	sites map[string]string
}

// site says why the caller cannot import at a site, or "". One of others is not found, like one that is not there.
func (l *lookup) site(name string) (problem string, err error) {
	name = access.Fold(name)
	if problem, known := l.sites[name]; known {
		return problem, nil
	}
	there, err := false, error(nil)
	if siteName.MatchString(name) {
		there, err = has(l.r, store.TableSites, store.Key(name))
	}
	switch {
	case err != nil:
		return "", err
	case !there || !l.p.May(access.Read, name):
		problem = "not found"
	case !l.p.May(access.Admin, name):
		problem = "you may not administer this site"
	}
	l.sites[name] = problem
	return problem, nil
}

// isMissing tells a refusal of kind NotFound from what went wrong.
func isMissing(err error) bool {
	r, ok := errors.AsType[*refusal.Error](err)
	return ok && r.Kind == refusal.NotFound
}
