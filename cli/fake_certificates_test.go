package cli

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func fakeCertificates() []*fleetv1.FleetCertificate {
	one := func(word, holder, site string, days int, level fleetv1.ExpiryLevel) *fleetv1.FleetCertificate {
		return &fleetv1.FleetCertificate{
			Owner: fleetv1.CertificateOwner_CERTIFICATE_OWNER_MACHINE, Holder: holder, Site: site, Level: level, Scanned: at(-time.Hour), JobId: "job-1",
			Certificate: &actionv1.Certificate{
				Sha256: strings.Repeat(word, 32), Sha1: strings.Repeat(word, 20), Subject: "CN=" + holder, Issuer: "CN=Plant root 2024", Store: "My",
				NotAfter: timestamppb.New(testNow.AddDate(0, 0, days)),
			},
		}
	}
	gone := one("aa", "basel-nes", "basel", -3, fleetv1.ExpiryLevel_EXPIRY_LEVEL_EXPIRED)
	gone.Bindings = []*actionv1.Binding{{Site: "Default Web Site", Port: 443}}
	own := one("cc", "fleetd", "", 80, fleetv1.ExpiryLevel_EXPIRY_LEVEL_GOOD)
	own.Owner, own.Certificate.Store, own.JobId, own.Scanned = fleetv1.CertificateOwner_CERTIFICATE_OWNER_SERVER, "", "", nil
	return []*fleetv1.FleetCertificate{gone, one("bb", "lyon-01", "lyon", 20, fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_30_DAYS), own}
}

// ListCertificates has pages of one.
func (f *fakeFleet) ListCertificates(_ context.Context, r *fleetv1.ListCertificatesRequest) (*fleetv1.ListCertificatesResponse, error) {
	var found []*fleetv1.FleetCertificate
	for _, c := range fakeCertificates() {
		soon := r.GetExpiringWithin() == nil || c.GetCertificate().GetNotAfter().AsTime().Before(testNow.Add(r.GetExpiringWithin().AsDuration()))
		if soon && (r.GetSite() == "" || r.GetSite() == c.GetSite()) && (!r.GetBoundOnly() || len(c.GetBindings()) > 0) &&
			(r.GetOwner() == 0 || r.GetOwner() == c.GetOwner()) && (r.GetTerminal() == "" || r.GetTerminal() == c.GetHolder()) {
			found = append(found, c)
		}
	}
	place := len(r.GetPageToken())
	if place >= len(found) {
		return &fleetv1.ListCertificatesResponse{}, nil
	}
	resp := &fleetv1.ListCertificatesResponse{Certificates: found[place : place+1]}
	if place+1 < len(found) {
		resp.NextPageToken = strings.Repeat("x", place+1)
	}
	return resp, nil
}

func (f *fakeFleet) ListTrust(_ context.Context, r *fleetv1.ListTrustRequest) (*fleetv1.ListTrustResponse, error) {
	all := []*fleetv1.RootTrust{
		{Site: "basel", Name: "Plant root 2024", Sha256: strings.Repeat("ab", 32), Trusting: 2},
		{Site: "lyon", Name: "Plant root 2024", Sha256: strings.Repeat("ab", 32), Trusting: 1, Missing: []string{"lyon-02"}, MissingTotal: 4, Unknown: []string{"lyon-03"}, UnknownTotal: 1},
	}
	resp := &fleetv1.ListTrustResponse{}
	for _, root := range all {
		if (r.GetSite() == "" || r.GetSite() == root.GetSite()) && (r.GetRoot() == "" || r.GetRoot() == root.GetName()) {
			resp.Roots = append(resp.Roots, root)
		}
	}
	if r.GetRoot() != "" && len(resp.GetRoots()) == 0 {
		return nil, notFound("root", r.GetRoot())
	}
	return resp, nil
}
