package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Where applications read the URL of NES (guide: Unable to reach NES), and what is below the keys of group policies.
const (
	nesKey      = `SOFTWARE\Nymi\NES`
	nesValue    = "URL"
	policyBelow = `SOFTWARE\Policies`
)

const (
	viewBoth = "both"
	// nesProbeTimeout is how long NES may take to answer.
	nesProbeTimeout = 10 * time.Second
	// serverError is the least HTTP status that says that NES itself does not work.
	serverError = 500
	notFound    = 404
	httpsPort   = 443
)

// nesURLSet sets the URL of NES that the applications of the terminal use.
type nesURLSet struct{}

func (nesURLSet) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "nes-url-set",
		Version: "1.0.0",
		Summary: "Set the URL of NES that the Nymi applications of the terminal use",
		Description: "Use it when the applications cannot reach NES and the URL in the registry is missing or another one than the site's. It writes the " +
			"registry value and proves that NES answers there. A group policy that sets the URL wins: name its registry value with policy_value, and this " +
			"refuses while it is set. The user must close the Nymi Band Application and open it again.",
		Params: []*actionv1.Param{
			sdk.Required(sdk.Text("url", "", "where NES is, such as https://nes.example/nes/", 200,
				`https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~-]+)+/`, "an https URL with a path and a / at its end, such as https://nes.example/nes/")),
			sdk.Enum("view", "64", "which view of the registry: 64-bit, or 64-bit and 32-bit", "64", viewBoth),
			sdk.Bool("respect_gpo", true, "refuse while a group policy sets the URL"),
			sdk.Text("policy_value", "", `the registry value by which a group policy sets the URL, such as SOFTWARE\Policies\Nymi\NES\URL`, 255,
				`SOFTWARE\\Policies(\\[A-Za-z0-9 ._-]+)+\\[A-Za-z0-9 ._-]+`, `a registry value below SOFTWARE\Policies`),
			sdk.Bool("probe", true, "prove that NES answers at the URL before success is claimed"),
		},
		Capabilities: []*actionv1.Capability{
			sdk.ReadRegistry(nesKey, nesValue),
			sdk.WriteRegistry(nesKey, nesValue),
			sdk.ReadRegistry(policyBelow, "*"),
			sdk.ReadSite(),
			sdk.ProbeInventory(),
		},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"nes-url"},
		Undo:          "The earlier value comes back exactly, or value and keys that were made are removed. What somebody else changed meanwhile is left alone.",
		Verifies:      "The value reads back; NES answers at the URL with a certificate that this terminal trusts (when the server knows the host as one of the site's).",
		Source:        "Troubleshooting Nymi Band Application Errors > Unable to reach NES",
		Roles:         []string{"user-terminal"},
		MaxDuration:   durationpb.New(5 * time.Minute),
	}
}

// views are the views of the registry to write: false is the 64-bit one.
func views(r *sdk.Run) []bool {
	if r.String("view") == viewBoth {
		return []bool{false, true}
	}
	return []bool{false}
}

func viewText(view32 bool) string {
	if view32 {
		return "32-bit view"
	}
	return "64-bit view"
}

// effectSet is the id of the planned effect on a view.
func effectSet(view32 bool) string {
	if view32 {
		return "set-32"
	}
	return "set-64"
}

func (nesURLSet) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	warnings, refusal, err := policy(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	var effects []*actionv1.PlannedEffect
	for _, view32 := range views(r) {
		now, err := r.Registry(ctx, nesKey, nesValue, view32)
		if err != nil {
			return nil, err
		}
		if effect := planURL(now, r.String("url"), view32); effect != nil {
			effects = append(effects, effect)
		}
	}
	warning, err := probeWarning(ctx, r)
	if err != nil {
		return nil, err
	}
	p := sdk.NoChange("the URL of NES is set so already")
	if len(effects) > 0 {
		p = sdk.Ready(effects...)
	}
	p.Warnings = append(warnings, warning...)
	return p, nil
}

// policy refuses when a group policy sets the URL, or warns when that is not to be respected.
func policy(ctx context.Context, r *sdk.Run) (warnings []string, refusal *actionv1.Plan, err error) {
	named := r.String("policy_value")
	if named == "" {
		return nil, nil, nil
	}
	at := strings.LastIndex(named, `\`)
	set, err := r.Registry(ctx, named[:at], named[at+1:], false)
	if err != nil || !set.GetExists() {
		return nil, nil, err
	}
	reason := fmt.Sprintf("a group policy sets the URL of NES to %q", set.GetData())
	if r.Bool("respect_gpo") {
		return nil, sdk.Refuse(reason, "change the policy: it wins over the value that this would set"), nil
	}
	return []string{reason + ", which wins over the value that this sets"}, nil, nil
}

// planURL plans the value of one view; nil when it has it.
func planURL(now *actionv1.RegistryState, want string, view32 bool) *actionv1.PlannedEffect {
	if now.GetExists() && now.GetData() == want {
		return nil
	}
	var before *string
	text := "not set"
	if now.GetExists() {
		data := now.GetData()
		before, text = &data, data
	}
	return sdk.Planned(effectSet(view32), sdk.RegistrySet(nesKey, nesValue, view32, before, &want),
		text+" ("+viewText(view32)+")", want+" ("+viewText(view32)+")")
}

// probeWarning says beforehand what will keep the proof from succeeding.
func probeWarning(ctx context.Context, r *sdk.Run) ([]string, error) {
	answer, known, err := probeNES(ctx, r)
	if err != nil || !r.Bool("probe") {
		return nil, err
	}
	if !known {
		return []string{"the server does not know this host as a NES host of the site, so it cannot be proven that NES answers there"}, nil
	}
	if problem := answerProblem(answer); problem != "" {
		return []string{"NES does not answer there now: " + problem}, nil
	}
	return nil, nil
}

// probeNES asks NES at the URL, if it is to be asked and the server knows the host as one of the site's: others may not be probed.
func probeNES(ctx context.Context, r *sdk.Run) (answer *actionv1.NetProbeResult, known bool, err error) {
	if !r.Bool("probe") {
		return nil, false, nil
	}
	target, err := targetOf(r.String("url"))
	if err != nil {
		return nil, false, err
	}
	site, err := r.Site(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, h := range site.GetNesHosts() {
		if hostOf(h) == strings.ToLower(target.GetHost()) {
			answer, err := r.ProbeNet(ctx, target, nesProbeTimeout)
			return answer, true, err
		}
	}
	return nil, false, nil
}

// hostOf is the host name by which a NES host is reached.
func hostOf(h *actionv1.NESHost) string {
	if u, err := url.Parse(h.GetUrl()); err == nil && u.Hostname() != "" {
		return strings.ToLower(u.Hostname())
	}
	return strings.ToLower(h.GetHost())
}

func targetOf(text string) (*actionv1.ProbeTarget, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("url %q: %w", text, err)
	}
	port := uint64(httpsPort)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return nil, fmt.Errorf("url %q: port: %w", text, err)
		}
	}
	return &actionv1.ProbeTarget{Host: u.Hostname(), Port: uint32(port), Tls: true, HttpPath: u.Path}, nil
}

// answerProblem says what is wrong with an answer, network before trust before application; "" when nothing is.
func answerProblem(a *actionv1.NetProbeResult) string {
	switch {
	case a.GetNameProblem() != "":
		return "its name: " + a.GetNameProblem()
	case !a.GetConnected():
		return "the connection: " + a.GetConnectProblem()
	case !a.GetHandshake():
		return "TLS: " + a.GetTlsProblem()
	case !a.GetTrusted():
		return "its certificate is not trusted: " + a.GetTrustProblem()
	case a.GetHttpStatus() == 0:
		return "HTTP: " + a.GetHttpProblem()
	case a.GetHttpStatus() >= serverError || a.GetHttpStatus() == notFound:
		return fmt.Sprintf("HTTP status %d", a.GetHttpStatus())
	}
	return ""
}

func (nesURLSet) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	for _, view32 := range views(&r.Run) {
		if err := doPlanned(ctx, r, effectSet(view32)); err != nil {
			return err
		}
	}
	return nil
}

func (nesURLSet) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	var checks []*actionv1.Check
	for _, view32 := range views(&r.Run) {
		now, err := r.Registry(ctx, nesKey, nesValue, view32)
		if err != nil {
			return nil, err
		}
		observed := now.GetData()
		if !now.GetExists() {
			observed = "not set"
		}
		checks = append(checks, sdk.Check("URL reads back ("+viewText(view32)+")", r.String("url"), observed, now.GetExists() && now.GetData() == r.String("url")))
	}
	answer, known, err := probeNES(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(checks...)
	if len(r.Effects()) > 0 {
		v.NextStep = "the user must close the Nymi Band Application and open it again"
	}
	if !known {
		r.Evidence("NES", "not asked: the server does not know its host, or probe=false")
		return v, nil
	}
	problem := answerProblem(answer)
	if problem != "" {
		v.NextStep = "run net-probe on this terminal and see to what it finds, or set the URL with probe=false while NES is away"
	}
	v.Checks = append(v.Checks, sdk.Check("NES answers at the URL", "reachable, trusted, no error", orGood(problem, answer), problem == ""))
	return v, nil
}

func orGood(problem string, a *actionv1.NetProbeResult) string {
	if problem != "" {
		return problem
	}
	return fmt.Sprintf("HTTP status %d", a.GetHttpStatus())
}
