package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// effectAdd is the one effect of root-cert-install.
const effectAdd = "add"

// rootCertInstall adds a root that is approved for the site to what the machine trusts. A wrong root is the worst thing that could be
// pushed to a fleet, so the certificate comes from the server's list, is named with its hash as well, and two people must approve.
type rootCertInstall struct{}

func (rootCertInstall) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "root-cert-install", Version: "1.0.0",
		Summary: "Add an approved root certificate of the site to what the machine trusts",
		Description: "Use it before the certificate of a NES host is replaced by one of another authority: trust first, then the server. The root must be on the " +
			"site's list of approved roots, with its certificate. Roots that are there already are never removed.",
		Params: []*actionv1.Param{
			sdk.Required(sdk.Text("cert", "", "the name of the root on the site's list of approved roots", 100, "", "")),
			sdk.Required(sdk.Text("sha256", "", "the SHA-256 of the certificate, as approvers have seen it", 64, `[0-9A-Fa-f]{64}`, "64 hexadecimal digits without blanks")),
			sdk.Bool("self_signed_server", false, "allow the self-signed certificate of a server, which is no authority"),
		},
		Capabilities: []*actionv1.Capability{
			sdk.ReadSite(), sdk.ReadMachine(), sdk.ReadCertificates(storeRoot), sdk.AddCertificate(storeRoot), sdk.ProbeInventory(),
		},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"certs"},
		Undo:          "The certificate is removed again if this has added it. One that was there before stays.",
		Verifies:      "The certificate is among the machine's trusted roots.",
		Source:        "Replacing an expired root certificate; Unable to reach NES: the root certificate is missing",
		Roles:         []string{"user-terminal", "nes-host"},
		Approvals:     2,
		MaxDuration:   durationpb.New(5 * time.Minute),
	}
}

func (rootCertInstall) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	site, err := r.Site(ctx)
	if err != nil {
		return unanswered(ctx, err)
	}
	now, err := readTime(ctx, r)
	if err != nil {
		return nil, err
	}
	root, refusal := approvedRoot(site, r.String("cert"), r.String("sha256"))
	if refusal != nil {
		return refusal, nil
	}
	facts, refusal := judgeRoot(root, now, r.Bool("self_signed_server"))
	if refusal != nil {
		return refusal, nil
	}
	there, err := isTrusted(ctx, r, facts.GetSha256())
	if err != nil {
		return nil, err
	}
	if there {
		return sdk.NoChange(fmt.Sprintf("root %q is trusted already", root.GetName())), nil
	}
	r.Evidence("root", "%s, sha256 %s", named(facts), facts.GetSha256())
	return sdk.Ready(sdk.Planned(effectAdd, sdk.CertificateAdd(storeRoot, facts.GetSha256(), root.GetCertificate()), "not trusted", named(facts)+" is trusted")), nil
}

// approvedRoot finds the root on the site's list. Name and hash must be those of one entry.
func approvedRoot(site *actionv1.Surroundings, name, sha256 string) (*actionv1.ApprovedRoot, *actionv1.Plan) {
	const next = "look at the site's list with `fleetctl get trust`, and ask for what is on it"
	at := slices.IndexFunc(site.GetApprovedRoots(), func(a *actionv1.ApprovedRoot) bool { return strings.EqualFold(a.GetName(), name) })
	if at < 0 {
		return nil, sdk.Refuse(fmt.Sprintf("root %q is not on the site's list of approved roots", name), next)
	}
	root := site.GetApprovedRoots()[at]
	switch {
	case !strings.EqualFold(root.GetSha256(), sha256):
		return nil, sdk.Refuse(fmt.Sprintf("root %q is approved with the SHA-256 %s, not with %s", root.GetName(), root.GetSha256(), sha256), next)
	case len(root.GetCertificate()) == 0:
		return nil, sdk.Refuse(fmt.Sprintf("the server has only the hash of root %q", root.GetName()), "put the certificate itself on the site's list, then plan again")
	case certfacts.SHA256(root.GetCertificate()) != strings.ToLower(sha256):
		return nil, sdk.Refuse(fmt.Sprintf("the certificate that the server has as root %q has another SHA-256: %s", root.GetName(), certfacts.SHA256(root.GetCertificate())),
			"find out who changed the site's list, and put the right certificate on it")
	}
	return root, nil
}

// judgeRoot says why a certificate must not be a root.
func judgeRoot(root *actionv1.ApprovedRoot, now time.Time, selfSignedServer bool) (*actionv1.Certificate, *actionv1.Plan) {
	parsed, err := x509.ParseCertificate(root.GetCertificate())
	if err != nil {
		return nil, sdk.Refuse(fmt.Sprintf("root %q cannot be read as a certificate", root.GetName()), "put the right certificate on the site's list")
	}
	facts := certfacts.Of(parsed)
	problem := rootProblem(facts, now, selfSignedServer)
	if problem == "" {
		return facts, nil
	}
	return nil, sdk.Refuse(fmt.Sprintf("root %q, %s, must not be trusted: %s", root.GetName(), named(facts), problem), "put the right certificate on the site's list of approved roots")
}

func rootProblem(c *actionv1.Certificate, now time.Time, selfSignedServer bool) string {
	switch {
	case !now.Before(c.GetNotAfter().AsTime()):
		return "it expired on " + date(c.GetNotAfter().AsTime())
	case now.Before(c.GetNotBefore().AsTime()):
		return "it is not valid before " + date(c.GetNotBefore().AsTime())
	case !c.GetSelfSigned():
		return "it is signed by another authority, whose root belongs there instead"
	case c.GetIsCa():
		return ""
	case !c.GetServerAuth():
		return "it is neither an authority nor a server's certificate"
	case !selfSignedServer:
		return "it is a server's own certificate and no authority; set self_signed_server=true if it is meant"
	}
	return ""
}

func isTrusted(ctx context.Context, r *sdk.Run, sha256 string) (bool, error) {
	roots, err := r.Certificates(ctx, storeRoot)
	return slices.ContainsFunc(roots, func(c *actionv1.Certificate) bool { return c.GetSha256() == sha256 }), err
}

func (rootCertInstall) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	return r.MustDo(ctx, effectAdd)
}

func (rootCertInstall) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	sha256 := strings.ToLower(r.String("sha256"))
	there, err := isTrusted(ctx, &r.Run, sha256)
	if err != nil {
		return nil, err
	}
	if err := showChains(ctx, &r.Run); err != nil {
		return nil, err
	}
	observed := "it is not there"
	if there {
		observed = "it is there"
	}
	v := sdk.Verdict(sdk.Check("the root is trusted", "sha256 "+sha256+" in the store "+storeRoot, observed, there))
	if !there {
		v.NextStep = "look whether a policy of the domain removes it from the store"
	}
	return v, nil
}

// showChains tells whether the NES hosts that this machine uses are trusted now. It decides nothing: a host may still serve a certificate
// of another root, or be out of reach.
func showChains(ctx context.Context, r *sdk.Run) error {
	site, err := r.Site(ctx)
	if err != nil {
		return err
	}
	for _, h := range site.GetNesHosts() {
		target, err := targetOf(h)
		if err != nil || (!h.GetUsed() && !h.GetSelf()) {
			continue
		}
		found, err := r.ProbeNet(ctx, target, probeTimeout)
		if err != nil {
			return err
		}
		r.Evidence("chain of "+target.GetHost(), "%s", orGood(servedProblem(found, anyCertificate), "is trusted"))
	}
	return nil
}

// targetOf is where a NES host is reached.
func targetOf(h *actionv1.NESHost) (*actionv1.ProbeTarget, error) {
	const https = 443
	u, err := url.Parse(h.GetUrl())
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("it has no URL")
	}
	t := &actionv1.ProbeTarget{Host: u.Hostname(), Port: https, Tls: true}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		t.Port = uint32(port)
	}
	return t, nil
}
