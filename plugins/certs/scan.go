package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// certScan reports the certificates of a machine. It reads in the apply phase, so that a dry run costs nothing; it has no effects.
type certScan struct{}

func (certScan) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "cert-scan", Version: "1.0.0",
		Summary: "Report the certificates of a machine, what serves them and how near their end is",
		Description: "Use it as a nightly sweep, and after a root was installed. It reads the machine's certificate stores, https bindings and clock, and says which " +
			"certificates end within 60, 30, 14, 7 or 1 days, have expired or are not valid yet, lack their key or are bound nowhere, and which of the site's " +
			"approved roots the machine trusts.",
		Params: []*actionv1.Param{
			sdk.List(sdk.Enum("stores", strings.Join(allStores(), ","), "the stores that are read", allStores()...)),
			sdk.Bool("chains", true, "connect to the NES hosts that this machine uses, or is, and say whether their chain is trusted here"),
		},
		Capabilities: []*actionv1.Capability{
			sdk.ReadSite(), sdk.ReadMachine(), sdk.ReadBindings(), sdk.ProbeInventory(),
			sdk.ReadCertificates(storeMy), sdk.ReadCertificates(storeWebHosting), sdk.ReadCertificates(storeRoot), sdk.ReadCertificates(storeCA),
		},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		ReadOnly:      true,
		Undo:          "It only reads, so there is nothing to put back.",
		Verifies:      "At least one certificate store could be read.",
		Source:        "Server Certificates; Replacing an expired root certificate; Replacing an expired TLS certificate",
		Roles:         []string{"user-terminal", "nes-host"},
		MaxDuration:   durationpb.New(5 * time.Minute),
	}
}

func allStores() []string { return []string{storeMy, storeWebHosting, storeRoot, storeCA} }

func (certScan) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) { return sdk.Ready(), nil }

func (certScan) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	s := &scan{r: &r.Run, report: &actionv1.CertificateReport{}, stores: map[string][]*actionv1.Certificate{}}
	for _, step := range []func(context.Context) error{s.readClock, s.readStores, s.readBindings, s.readRoots, s.readChains} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.judgeCertificates()
	s.list()
	s.tell()
	r.ReportCertificates(s.report)
	return nil
}

func (certScan) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	var read, not []string
	for _, store := range list(&r.Run, "stores") {
		if _, err := r.Certificates(ctx, store); err != nil {
			not = append(not, store)
			continue
		}
		read = append(read, store)
	}
	observed := "read: " + orGood(some(read), "none")
	if len(not) > 0 {
		observed += "; not: " + some(not)
	}
	v := sdk.Verdict(sdk.Check("the certificate stores can be read", "at least one of "+some(list(&r.Run, "stores")), observed, len(read) > 0))
	if len(read) == 0 {
		v.NextStep = "look at the agent's log on the machine"
	}
	return v, ctx.Err()
}

// scan is one scan under way.
type scan struct {
	r      *sdk.Run
	now    time.Time
	report *actionv1.CertificateReport
	stores map[string][]*actionv1.Certificate
	site   *actionv1.Surroundings
	// web says that the machine has a web server whose bindings could be read.
	web bool
	// needed are the certificates of Root and CA that something here depends on, by SHA-256.
	needed map[string]bool
	found  []*actionv1.Finding
	// unlisted is how many certificates there is no room for in the report.
	unlisted int
}

// unknown records what could not be looked at. A context that is over is no finding.
func (s *scan) unknown(ctx context.Context, rule, subject string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.find(rule, levelUnknown, subject, err.Error(), "", "it could not be looked at here")
	return nil
}

func (s *scan) readClock(ctx context.Context) error {
	m, err := s.r.MachineState(ctx)
	s.now = serverTime(m)
	s.report.Scanned = timestamppb.New(s.now)
	switch {
	case err != nil:
		return s.unknown(ctx, ruleClock, "clock", err)
	case m.GetClockOffset() == nil:
		s.find(ruleClock, levelUnknown, "clock", "", "at most 5m from the server's", "how far the clock is from the server's is not known")
		return nil
	}
	s.judgeClock(m.GetClockOffset().AsDuration())
	return nil
}

func (s *scan) readStores(ctx context.Context) error {
	for _, store := range list(s.r, "stores") {
		there, err := s.r.Certificates(ctx, store)
		if err != nil {
			if err := s.unknown(ctx, ruleStore, store, err); err != nil {
				return err
			}
			continue
		}
		s.report.Stores = append(s.report.Stores, store)
		s.stores[store] = there
	}
	return nil
}

// readBindings is content with a machine that has no web server: only a NES host must have one.
func (s *scan) readBindings(ctx context.Context) error {
	all, err := s.r.Bindings(ctx)
	switch {
	case err == nil:
		s.web, s.report.Bindings = true, all
	case s.r.Terminal().GetRole() == "nes-host":
		return s.unknown(ctx, ruleBinding, "bindings", err)
	}
	return ctx.Err()
}

func (s *scan) readRoots(ctx context.Context) error {
	var err error
	s.needed = map[string]bool{}
	if s.site, err = s.r.Site(ctx); err != nil {
		return s.unknown(ctx, ruleRoot, "approved roots", err)
	}
	if _, read := s.stores[storeRoot]; !read {
		return nil
	}
	s.report.Roots = map[string]bool{}
	for _, root := range s.site.GetApprovedRoots() {
		sha256 := strings.ToLower(root.GetSha256())
		s.needed[sha256] = true
		s.report.Roots[sha256] = slices.ContainsFunc(s.stores[storeRoot], func(c *actionv1.Certificate) bool { return c.GetSha256() == sha256 })
		s.judgeRoot(root, s.report.GetRoots()[sha256])
	}
	return nil
}

// readChains connects to the NES hosts that concern this machine, and notes which roots and authorities their chains need.
func (s *scan) readChains(ctx context.Context) error {
	if !s.r.Bool("chains") {
		return nil
	}
	for _, h := range s.site.GetNesHosts() {
		target, err := targetOf(h)
		if err != nil || (!h.GetUsed() && !h.GetSelf()) {
			continue
		}
		found, err := s.r.ProbeNet(ctx, target, probeTimeout)
		if err != nil {
			if err := s.unknown(ctx, ruleChain, target.GetHost(), err); err != nil {
				return err
			}
			continue
		}
		s.judgeChain(fmt.Sprintf("%s:%d", target.GetHost(), target.GetPort()), found)
		s.need(found.GetChain())
	}
	return nil
}

// need notes the issuers of a chain.
func (s *scan) need(chain []*actionv1.Certificate) {
	for _, c := range chain {
		for _, store := range []string{storeRoot, storeCA} {
			for _, issuer := range s.stores[store] {
				if issuer.GetSubject() == c.GetIssuer() {
					s.needed[issuer.GetSha256()] = true
				}
			}
		}
	}
}
