package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	settings = actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SETTINGS
	// authURLKey is the setting of the console that names the authentication service.
	authURLKey    = "AuthenticationService"
	effectAuthURL = "set-url"
	urlTimeout    = 10 * time.Second
)

// nesAuthURLSet sets the address under which the console finds the authentication service.
//
// An interrupted run is run again: the edit is done only while the setting has its earlier value, and a second plan finds it done.
type nesAuthURLSet struct{}

func (nesAuthURLSet) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "nes-auth-url-set",
		Version: "1.0.0",
		Summary: "Set the address of the authentication service in the NES console's configuration",
		Description: "Use it when System Diagnostics says 404 for the authentication service. The new address is tried first: one that cannot be reached, whose " +
			"certificate this host does not trust, or that answers 404 or 5xx is refused. Only the text of that one setting is changed.",
		Params: []*actionv1.Param{
			sdk.Required(sdk.Text("url", "", "https URL of the authentication service, on a host that the inventory knows of this site", 1024,
				`https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/[A-Za-z0-9._~/-]*`, "an https URL without user, query and fragment")),
			instanceParam(),
		},
		Capabilities: append([]*actionv1.Capability{
			sdk.ReadConfig(neshost.Console, neshost.WebConfig), sdk.EditConfig(neshost.Console, neshost.WebConfig),
			sdk.ReadService(neshost.WebService),
		}, probeCapabilities()...),
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"iis"},
		Disruptive:    true,
		Interrupts:    "The NES console of this host, for 10 to 30 seconds: the web server starts it anew when its web.config changes.",
		Undo:          "Exactly: the file gets its earlier bytes back.",
		Verifies:      "The setting reads back; the new address answers over trusted TLS without 404 and 5xx; W3SVC runs. A person then looks at System Diagnostics.",
		Source:        "Troubleshooting NES Administrator Console connection issues > The remote server returned an error (404) Not Found",
		Roles:         []string{neshost.Role},
		MaxDuration:   durationpb.New(10 * time.Minute),
	}
}

func (nesAuthURLSet) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	t, refusal, err := findInstance(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	now, refusal, err := readAuthURL(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	refusal, err = refuseBadURL(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	url := r.String("url")
	if now == url {
		return sdk.NoChange(fmt.Sprintf("%s is %s already", authURLKey, url)), nil
	}
	edit := sdk.ConfigEdit(neshost.Console, neshost.WebConfig, settings, sdk.Change(authURLKey, &now, &url))
	p := sdk.Ready(sdk.Planned(effectAuthURL, edit, now, url))
	p.Warnings = t.warnings
	return p, nil
}

// readAuthURL reads the setting, or refuses when the file is not what it should be.
func readAuthURL(ctx context.Context, r *sdk.Run) (string, *actionv1.Plan, error) {
	state, err := r.Config(ctx, neshost.Console, neshost.WebConfig, settings)
	if err != nil {
		return "", nil, err
	}
	problem := "has no setting " + authURLKey
	switch {
	case !state.GetExists():
		problem = "does not exist"
	case state.GetMalformed() != "":
		problem = state.GetMalformed()
	}
	for _, v := range state.GetValues() {
		if v.GetKey() == authURLKey && state.GetMalformed() == "" {
			return v.GetValue(), nil, nil
		}
	}
	return "", sdk.Refuse(fmt.Sprintf("file %q: %s; nothing was changed", neshost.Console+"/"+neshost.WebConfig, problem),
		"put the file right by hand, then run this again"), nil
}

// refuseBadURL tries the new address and refuses one that would not work.
func refuseBadURL(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	target, err := neshost.Target(r.String("url"), "")
	if err != nil {
		return sdk.Refuse(err.Error(), "give the https URL of the authentication service"), nil
	}
	site, err := r.Site(ctx)
	if err != nil {
		return nil, err
	}
	if !neshost.Known(site, target) {
		return sdk.Refuse(fmt.Sprintf("%s is not known to the inventory of site %s", neshost.Address(target), r.Terminal().GetSite()),
			"see that the name is right; if it is, add the host to the site's NES hosts or known hosts, then run this again"), nil
	}
	p, err := probeURL(ctx, r)
	if err != nil || urlProblem(p) == "" {
		return nil, err
	}
	return sdk.Refuse(fmt.Sprintf("%s does not work: %s; nothing was changed", r.String("url"), urlProblem(p)),
		"give the address that answers, or put the authentication service right first (net-probe tells network, certificate and application apart)"), nil
}

func probeURL(ctx context.Context, r *sdk.Run) (*actionv1.NetProbeResult, error) {
	target, err := neshost.Target(r.String("url"), neshost.PathOf(r.String("url")))
	if err != nil {
		return nil, err
	}
	return r.ProbeNet(ctx, target, urlTimeout)
}

// urlProblem says why an address is no good, "" when it is good. What a service says to a stranger (401, 403, 405) is an answer.
func urlProblem(p *actionv1.NetProbeResult) string {
	good := p.GetHandshake() && p.GetTrusted() && p.GetHttpStatus() != 0 &&
		p.GetHttpStatus() != http.StatusNotFound && p.GetHttpStatus() < http.StatusInternalServerError
	if good {
		return ""
	}
	return neshost.Words(p)
}

func (nesAuthURLSet) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	return r.MustDo(ctx, effectAuthURL)
}

func (nesAuthURLSet) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	now, problem, err := readAuthURL(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		now = problem.GetReason()
	}
	runs, err := checkRuns(ctx, &r.Run, neshost.WebService, settleFor)
	if err != nil {
		return nil, err
	}
	url := r.String("url")
	p, err := probeURL(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(
		sdk.Check(authURLKey+" reads back", url, now, now == url), runs,
		sdk.Check("the authentication service answers", "trusted TLS, and neither 404 nor 5xx", neshost.Words(p), urlProblem(p) == ""),
	)
	v.NextStep = "open the NES console, refresh System Diagnostics and see that the authentication service passes"
	if !allHold(v.GetChecks()) {
		v.NextStep = "put the authentication service right, or run this again with the address that answers"
	}
	return v, nil
}
