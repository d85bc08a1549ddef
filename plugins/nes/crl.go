package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

const (
	scopeVDir = "crl-vdir"
	scopeSite = "site"

	effectFlags = "allow-http"
	// sslFlag is the flag of "Require SSL"; noFlags is how none are written.
	sslFlag = "Ssl"
	noFlags = "None"
	crlPort = 80
)

// crlPaths are where the revocation lists of the two authorities are served.
func crlPaths() []string { return []string{"/crl/NESL1CA.crl", "/crl/NymiInfraRootCA.crl"} }

// crlHTTPAllow lets the revocation lists be fetched over plain HTTP, which is the only way to fetch them.
//
// An interrupted run is run again: the flags are set only while they have their earlier value.
type crlHTTPAllow struct{}

func (crlHTTPAllow) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "crl-http-allow",
		Version: "1.0.0",
		Summary: "Let the certificate revocation lists be fetched over HTTP",
		Description: "Use it when the certificate authority does not start because revocation could not be checked (403.4). It clears \"Require SSL\" and no other " +
			"flag: of the folder with the lists by default, of the whole site with scope=site. It lowers the protection of what is there, so somebody " +
			"else approves it.",
		Params: []*actionv1.Param{
			sdk.Enum("scope", scopeVDir, "crl-vdir: only the folder with the lists; site: the whole web site, as the guide has it", scopeVDir, scopeSite),
		},
		Capabilities:  []*actionv1.Capability{sdk.ReadIIS(), sdk.WriteIIS(rights.SSLFlags), sdk.ReadSite(), sdk.ProbeInventory()},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"iis"},
		Interrupts:    "Nothing. What is at the location can be fetched without encryption afterwards.",
		Undo:          "Exactly: the flags get their earlier value back.",
		Verifies:      "The flag is gone; both revocation lists answer HTTP 200 on this host's port 80.",
		Source:        "Certificate Authority installation fails with the error \"Revocation Server is offline\"",
		Roles:         []string{neshost.Role},
		Approvals:     1,
		MaxDuration:   durationpb.New(5 * time.Minute),
	}
}

// crlLocation is where the flag is cleared.
func crlLocation(r *sdk.Run) string {
	if r.String("scope") == scopeSite {
		return neshost.DefaultSite
	}
	return neshost.DefaultSite + "/crl"
}

func (crlHTTPAllow) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	flags, refusal, err := readFlags(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	location := crlLocation(r)
	if !slices.Contains(splitFlags(flags), sslFlag) {
		return sdk.NoChange(fmt.Sprintf("%q does not require SSL", location)), nil
	}
	after := without(flags, sslFlag)
	p := sdk.Ready(sdk.Planned(effectFlags, sdk.IISSet(actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, location, flags, after),
		fmt.Sprintf("sslFlags %s at %q", flags, location), "sslFlags "+after))
	note := fmt.Sprintf("what is below %q can be fetched without encryption afterwards", location)
	if r.String("scope") == scopeSite {
		note += "; that is the whole site with sign-ins to the console; scope=crl-vdir is narrower"
	}
	p.Warnings = append(p.Warnings, note)
	return p, nil
}

// readFlags reads the flags of the location, or refuses when there is no such location.
func readFlags(ctx context.Context, r *sdk.Run) (string, *actionv1.Plan, error) {
	location := crlLocation(r)
	inv, err := r.IIS(ctx, location)
	if err != nil {
		return "", nil, err
	}
	if !inv.GetInstalled() {
		return "", noIIS(), nil
	}
	flags, ok := inv.GetSslFlags()[location]
	if !ok {
		return "", sdk.Refuse(fmt.Sprintf("IIS has no %q on this host", location),
			"see where the revocation lists are published on this host; the folder crl of the Default Web Site is expected"), nil
	}
	return flags, nil, nil
}

func splitFlags(flags string) []string {
	var out []string
	for part := range strings.SplitSeq(flags, ",") {
		if part = strings.TrimSpace(part); part != "" && part != noFlags {
			out = append(out, part)
		}
	}
	return out
}

// without drops a flag and keeps the others in their order.
func without(flags, flag string) string {
	kept := slices.DeleteFunc(splitFlags(flags), func(f string) bool { return f == flag })
	if len(kept) == 0 {
		return noFlags
	}
	return strings.Join(kept, ",")
}

func (crlHTTPAllow) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	return r.MustDo(ctx, effectFlags)
}

func (crlHTTPAllow) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	flags, problem, err := readFlags(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		flags = problem.GetReason()
	}
	ok := problem == nil && !slices.Contains(splitFlags(flags), sslFlag)
	checks := []*actionv1.Check{sdk.Check(fmt.Sprintf("%q does not require SSL", crlLocation(&r.Run)), "sslFlags without "+sslFlag, "sslFlags "+flags, ok)}
	for _, path := range crlPaths() {
		p, err := r.ProbeNet(ctx, &actionv1.ProbeTarget{Host: "localhost", Port: crlPort, HttpPath: path}, urlTimeout)
		if err != nil {
			return nil, err
		}
		checks = append(checks, sdk.Check("http://localhost"+path, "HTTP 200", neshost.Words(p), p.GetHttpStatus() == http.StatusOK))
	}
	v := sdk.Verdict(checks...)
	v.NextStep = "start the certificate authority (action adcs-start); if it still says that revocation could not be checked, follow the guide: remove NDES, then AD CS, and install them again"
	if !allHold(checks) {
		v.NextStep = "see that both revocation lists are published in the folder crl of the Default Web Site; if the site is what requires SSL, run this with scope=site"
	}
	return v, nil
}
