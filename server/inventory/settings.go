package inventory

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// fieldDescription is the one field of a site that can be set and is no setting.
const fieldDescription = "description"

// SetSite changes the fields of a site that the request names, and leaves the others. Nothing is changed when one is at fault.
func (i *Inventory) SetSite(ctx context.Context, by identity.Name, req *fleetv1.SetSiteRequest) (s *fleetv1.Site, err error) {
	given, err := checkSetSite(req)
	if err != nil {
		return nil, err
	}
	err = i.store.Update(ctx, func(w store.Writer) error {
		if s, err = readSite(w, req.GetName(), nil); err != nil {
			return err
		}
		return i.setSite(w, by, s, given, req)
	})
	if err != nil {
		return nil, err
	}
	return tagged(s), nil
}

// setSite changes s and stores it. It writes three keys.
func (i *Inventory) setSite(w store.Writer, by identity.Name, s *fleetv1.Site, given *fleetv1.SiteSettings, req *fleetv1.SetSiteRequest) error {
	if req.GetEtag() != "" && req.GetEtag() != etagOf(s) {
		return refusal.New(refusal.Conflict, "ETAG_MISMATCH", "site %q: was changed meanwhile", s.GetName()).
			At("etag").Then("read it again and decide again")
	}
	old := proto.CloneOf(s)
	merge(s, given, req)
	if err := checkTogether(s.GetSettings()); err != nil {
		return err
	}
	diff := siteChanges(old, s)
	if len(diff) == 0 {
		return nil
	}
	return i.commitSite(w, s, audit.Entry{Actor: by, Verb: "site.set", Reason: req.GetReason(), Changes: diff})
}

// commitSite stores a site under a new etag, with its audit record. It writes three keys.
func (i *Inventory) commitSite(w store.Writer, s *fleetv1.Site, e audit.Entry) error {
	revision, _ := strconv.ParseUint(s.GetEtag(), 10, 64)
	s.Etag = strconv.FormatUint(revision+1, 10)
	if err := write(w, store.TableSites, store.Key(s.GetName()), s); err != nil {
		return err
	}
	e.Site, e.Object = s.GetName(), "site/"+s.GetName()
	return audit.Append(w, i.now(), e)
}

// etagOf is the etag of a site; one that was stored before sites had any has the first.
func etagOf(s *fleetv1.Site) string {
	if s.GetEtag() == "" {
		return "0"
	}
	return s.GetEtag()
}

// tagged is a site as callers see it.
func tagged(s *fleetv1.Site) *fleetv1.Site {
	s.Etag = etagOf(s)
	return s
}

// settingNamed finds a setting by its name in the contract; nil when there is none.
func settingNamed(name string) protoreflect.FieldDescriptor {
	return (*fleetv1.SiteSettings)(nil).ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
}

// merge takes over the fields that the request names.
func merge(s *fleetv1.Site, given *fleetv1.SiteSettings, req *fleetv1.SetSiteRequest) {
	if s.Settings == nil {
		s.Settings = &fleetv1.SiteSettings{}
	}
	for _, name := range req.GetFields() {
		if name == fieldDescription {
			s.Description = req.GetDescription()
			continue
		}
		take(s.GetSettings(), given, settingNamed(name))
	}
}

func take(to, from *fleetv1.SiteSettings, field protoreflect.FieldDescriptor) {
	if from.ProtoReflect().Has(field) {
		to.ProtoReflect().Set(field, from.ProtoReflect().Get(field))
		return
	}
	to.ProtoReflect().Clear(field)
}

// checkSetSite checks a request and returns the settings that it means, in the form in which they are kept.
func checkSetSite(req *fleetv1.SetSiteRequest) (*fleetv1.SiteSettings, error) {
	if err := checkFields(req); err != nil {
		return nil, err
	}
	given := &fleetv1.SiteSettings{}
	for _, name := range req.GetFields() {
		if name != fieldDescription {
			take(given, proto.CloneOf(req.GetSettings()), settingNamed(name))
		}
	}
	v := &violations{}
	v.settings(given)
	v.text("description", req.GetDescription(), maxDescription)
	v.text("reason", req.GetReason(), maxReason)
	return given, v.refusal("site " + strconv.Quote(clipped(req.GetName())))
}

// checkFields checks which fields are meant. What this server does not know must not be dropped in silence.
func checkFields(req *fleetv1.SetSiteRequest) error {
	if len(req.GetFields()) == 0 {
		return refusal.New(refusal.Invalid, "NOTHING_TO_DO", "site %q: no setting is named", clipped(req.GetName())).At("fields")
	}
	if len(req.GetSettings().ProtoReflect().GetUnknown()) > 0 {
		return refusal.New(refusal.Invalid, "UNKNOWN_FIELD", "settings: have a field that this server does not know").At("settings").
			Then("set the others, or bring the server up to date")
	}
	for n, name := range req.GetFields() {
		field := fmt.Sprintf("fields[%d]", n)
		if name != fieldDescription && settingNamed(name) == nil {
			return refusal.New(refusal.Invalid, "UNKNOWN_FIELD", "setting %q: does not exist", clipped(name)).At(field).
				Then("see `fleetctl site set --help` for those that do")
		}
		if slices.Index(req.GetFields(), name) != n {
			return refusal.New(refusal.Invalid, "UNKNOWN_FIELD", "setting %q: is named twice", name).At(field)
		}
	}
	return nil
}

// siteChanges compares two sites, field by field.
func siteChanges(old, now *fleetv1.Site) []*storagev1.AuditChange {
	triples := []string{fieldDescription, old.GetDescription(), now.GetDescription()}
	fields := (*fleetv1.SiteSettings)(nil).ProtoReflect().Descriptor().Fields()
	for n := range fields.Len() {
		name := string(fields.Get(n).Name())
		triples = append(triples, name, settingText(old.GetSettings(), name), settingText(now.GetSettings(), name))
	}
	return changes(triples...)
}
