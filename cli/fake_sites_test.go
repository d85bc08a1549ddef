package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func violation(field, text string) *errdetails.BadRequest_FieldViolation {
	return &errdetails.BadRequest_FieldViolation{Field: field, Description: text}
}

// SetSite knows one bad time zone and one bad window, and counts the etag up.
func (f *fakeFleet) SetSite(_ context.Context, r *fleetv1.SetSiteRequest) (*fleetv1.SetSiteResponse, error) {
	s := f.site(r.GetName())
	if s == nil {
		return nil, notFound("site", r.GetName())
	}
	if r.GetEtag() != "" && r.GetEtag() != s.GetEtag() {
		return nil, refuse(codes.Aborted, "site \""+r.GetName()+"\": was changed meanwhile", "ETAG_MISMATCH")
	}
	bad := &errdetails.BadRequest{}
	if r.GetSettings().GetTimeZone() == "Mars" {
		bad.FieldViolations = append(bad.FieldViolations, violation("settings.time_zone", `"Mars" is no IANA time zone`))
	}
	for n, w := range r.GetSettings().GetWindows() {
		if w.GetStart() > "24" {
			bad.FieldViolations = append(bad.FieldViolations, violation(fmt.Sprintf("settings.windows[%d].start", n), strconv.Quote(w.GetStart())+" is no time of day"))
		}
	}
	if len(bad.GetFieldViolations()) > 0 {
		return nil, refuse(codes.InvalidArgument, "site \""+r.GetName()+"\": nothing was changed", "BAD_SETTING", bad)
	}
	setFields(s, r)
	revision, _ := strconv.Atoi(s.GetEtag())
	s.Etag = strconv.Itoa(revision + 1)
	return &fleetv1.SetSiteResponse{Site: proto.CloneOf(s)}, nil
}

func setFields(s *fleetv1.Site, r *fleetv1.SetSiteRequest) {
	if s.Settings == nil {
		s.Settings = &fleetv1.SiteSettings{}
	}
	to, from := s.GetSettings().ProtoReflect(), proto.CloneOf(r.GetSettings()).ProtoReflect()
	for _, name := range r.GetFields() {
		if name == "description" {
			s.Description = r.GetDescription()
			continue
		}
		field := to.Descriptor().Fields().ByName(protoreflect.Name(name))
		to.Clear(field)
		if from.Has(field) {
			to.Set(field, from.Get(field))
		}
	}
}

// Import takes each row as a new object; a cell "bad" is a bad row.
func (f *fakeFleet) Import(_ context.Context, r *fleetv1.ImportRequest) (*fleetv1.ImportResponse, error) {
	bad := &errdetails.BadRequest{}
	for n, row := range r.GetRows() {
		for c, cell := range row.GetCells() {
			if cell == "bad" {
				bad.FieldViolations = append(bad.FieldViolations,
					violation(fmt.Sprintf("rows[%d]", n), fmt.Sprintf("line %d: column %s: %q: not found", row.GetLine(), r.GetColumns()[c], cell)))
			}
		}
	}
	if n := len(bad.GetFieldViolations()); n > 0 {
		return nil, refuse(codes.InvalidArgument, fmt.Sprintf("import: bad rows: %d of %d; nothing was imported", n, len(r.GetRows())), "BAD_ROWS", bad,
			&errdetails.LocalizedMessage{Locale: "en", Message: "correct these lines, and import the table again"})
	}
	if !r.GetDryRun() {
		f.imported = importedText(r)
	}
	counts := &fleetv1.ImportResponse{Created: uint32(len(r.GetRows()))}
	if f.has("moot") {
		counts.Created, counts.Moot = counts.GetCreated()-1, 1
	}
	return counts, nil
}

// importedText is an import as scripts compare it.
func importedText(r *fleetv1.ImportRequest) string {
	lines := []string{r.GetKind().String(), strings.Join(r.GetColumns(), "|")}
	for _, row := range r.GetRows() {
		lines = append(lines, fmt.Sprintf("%d: %s", row.GetLine(), strings.Join(row.GetCells(), "|")))
	}
	return strings.Join(lines, "\n") + "\n"
}
