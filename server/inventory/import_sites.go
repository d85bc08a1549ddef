package inventory

import (
	"cmp"
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/calendar"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// siteImport adds sites and changes those that are there. An empty cell leaves what is there.
type siteImport struct {
	*Inventory
	// zones are time zones that were looked up, with what is wrong with them: a zone is a file.
	zones map[string]string
}

func (siteImport) word() string { return "sites" }

// rowsAtOnce: a site writes three keys, for each has a chain of its own.
func (siteImport) rowsAtOnce() int { return 30 }

func (siteImport) keyColumn() string { return "name" }

func (siteImport) mayImport(p *access.Principal) error {
	if all, _ := p.Sites(access.Admin); all {
		return nil
	}
	return refusal.New(refusal.Denied, "RIGHT_MISSING", "operator %q: may not administer all sites, which an import of sites needs", p.Name.ID).
		Then("ask an administrator of all sites")
}

func (siteImport) columnProblem(column string) string {
	switch column {
	case "name", "description", "time_zone":
		return ""
	}
	return "is not known; sites have name, description and time_zone"
}

func (k siteImport) look(l *lookup, cells map[string]string) (s seen, err error) {
	s.object = access.Fold(cells["name"])
	if !siteName.MatchString(s.object) {
		s.problem("name", cells["name"], "is no valid name; use letters, digits and dashes, at most 63")
		return s, nil
	}
	s.text("description", cells["description"], maxDescription)
	if problem := k.zoneProblem(cells["time_zone"]); problem != "" {
		s.problem("time_zone", cells["time_zone"], "%s", problem)
	}
	old, err := readSite(l.r, s.object, nil)
	switch {
	case isMissing(err):
		s.outcome = created
	case err != nil:
		return s, err
	case len(siteChanges(old, siteAfter(old, cells))) > 0:
		s.outcome = changed
	default:
		s.outcome = unchanged
	}
	return s, nil
}

func (k siteImport) zoneProblem(zone string) string {
	problem, known := k.zones[zone]
	if !known {
		_, err := calendar.New(&fleetv1.SiteSettings{TimeZone: zone})
		if found, bad := errors.AsType[calendar.Problems](err); bad {
			problem = found[0].Text
		}
		k.zones[zone] = problem
	}
	return problem
}

// carryOut writes three keys. Its record lies in the site's own chain.
func (k siteImport) carryOut(w store.Writer, o order, row *storagev1.ImportedRow) (outcome, *storagev1.AuditChange, error) {
	old, err := readSite(w, row.GetObject(), nil)
	if isMissing(err) {
		s := siteAfter(&fleetv1.Site{Name: row.GetObject(), Etag: "1", Created: timestamppb.New(k.now())}, row.GetCells())
		return created, nil, k.addSite(w, o.by, &requests.Request{}, s)
	}
	if err != nil {
		return moot, nil, err
	}
	s := siteAfter(old, row.GetCells())
	diff := siteChanges(old, s)
	if len(diff) == 0 {
		return unchanged, nil, nil
	}
	return changed, nil, k.commitSite(w, s, audit.Entry{Actor: o.by, Verb: "site.set", Reason: o.reason, Changes: diff})
}

// siteAfter is what a row makes of a site.
func siteAfter(old *fleetv1.Site, cells map[string]string) *fleetv1.Site {
	s := proto.CloneOf(old)
	s.Description = cmp.Or(cells["description"], old.GetDescription())
	if zone := cells["time_zone"]; zone != "" {
		if s.Settings == nil {
			s.Settings = &fleetv1.SiteSettings{}
		}
		s.Settings.TimeZone = zone
	}
	return s
}
