package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// defaultCertLimit is how many certificates a list shows unless told otherwise.
const defaultCertLimit = 500

type getCertsOptions struct {
	expiring                   time.Duration
	site, terminal, expression string
	owner                      string
	bound                      bool
	limit                      int
}

func newGetCerts(a *app) *cobra.Command {
	c := certsCommand(a, "get certs")
	c.Aliases = []string{"cert", "certificates"}
	return c
}

// newCerts is the short way to write what is asked for every day.
func newCerts(a *app) *cobra.Command { return certsCommand(a, "certs") }

func certsCommand(a *app, path string) *cobra.Command {
	o := &getCertsOptions{}
	c := &cobra.Command{
		Use:   "certs",
		Short: "List certificates, the one that ends first at the head",
		Long: `Lists the certificates that the last scan found on your sites' terminals, and, for an administrator of all sites, those of
Bandfleet itself: of the server, its authority, operators and agents. An agent renews its own by itself; with --expiring only agents
that are late with it are listed, unless --owner agent asks for them.`,
		Example: "  fleetctl " + path + " --expiring 30d\n  fleetctl " + path + " --site lyon --bound\n  fleetctl " + path + " --select 'role=nes-host' -o wide",
		Args:    takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := o.request(cmd)
			if err != nil {
				return err
			}
			return runGetCerts(cmd.Context(), a, req, o.limit)
		},
	}
	f := c.Flags()
	spanVar(f, &o.expiring, "expiring", 0, "only those that end within this time, expired ones included (30d)")
	f.StringVar(&o.site, "site", "", "of terminals of this `site` only")
	f.StringVar(&o.terminal, "terminal", "", "of this `terminal` only")
	f.StringVar(&o.expression, "select", "", "of terminals for which an `expression` holds; see `fleetctl help expressions`")
	f.BoolVar(&o.bound, "bound", false, "only those that an https binding serves")
	f.StringVar(&o.owner, "owner", "", "only those of this `owner`: "+strings.Join(words(fleetv1.CertificateOwner(0)), ", "))
	f.IntVar(&o.limit, "limit", defaultCertLimit, "most certificates to list; 0 means all")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "terminal", a.completeTerminals)
	mustComplete(c, "owner", fixedCompletion(words(fleetv1.CertificateOwner(0))...))
	return c
}

func (o *getCertsOptions) request(cmd *cobra.Command) (*fleetv1.ListCertificatesRequest, error) {
	req := &fleetv1.ListCertificatesRequest{Site: o.site, Terminal: o.terminal, Select: o.expression, BoundOnly: o.bound}
	if cmd.Flags().Changed("expiring") {
		req.ExpiringWithin = durationpb.New(o.expiring)
	}
	if o.owner == "" {
		return req, nil
	}
	owner, err := parseWord[fleetv1.CertificateOwner]("--owner", o.owner)
	req.Owner = owner
	return req, err
}

func runGetCerts(ctx context.Context, a *app, req *fleetv1.ListCertificatesRequest, limit int) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.ListCertificates(ctx, req, limit)
	if err != nil {
		return err
	}
	err = printList(a, listing[*fleetv1.FleetCertificate]{
		noun: "certificates", document: resp, rows: resp.GetCertificates(), columns: certColumns(a), name: certName,
	})
	if err == nil && resp.GetNextPageToken() != "" {
		a.info.Line("there are more, which end later; --limit 0 lists all")
	}
	return err
}

// certName is what a certificate is known by; of those of agents and operators no hash is kept.
func certName(c *fleetv1.FleetCertificate) string {
	return cmp.Or(c.GetCertificate().GetSha256(), c.GetCertificate().GetSubject())
}

func certColumns(a *app) []output.Column[*fleetv1.FleetCertificate] {
	of := func(text func(*actionv1.Certificate) string) func(*fleetv1.FleetCertificate) string {
		return func(c *fleetv1.FleetCertificate) string { return text(c.GetCertificate()) }
	}
	return []output.Column[*fleetv1.FleetCertificate]{
		{Title: "ENDS", Text: func(c *fleetv1.FleetCertificate) string { return output.Ago(c.GetCertificate().GetNotAfter(), a.now()) }, Style: expiryStyle},
		{Title: "LEVEL", Text: func(c *fleetv1.FleetCertificate) string { return word(c.GetLevel()) }, Style: expiryStyle},
		{Title: "HOLDER", Text: (*fleetv1.FleetCertificate).GetHolder},
		{Title: "SITE", Text: (*fleetv1.FleetCertificate).GetSite},
		{Title: "STORE", Text: func(c *fleetv1.FleetCertificate) string {
			return cmp.Or(c.GetCertificate().GetStore(), word(c.GetOwner()))
		}},
		{Title: "BOUND", Text: servedWord},
		{Title: "SUBJECT", Text: of((*actionv1.Certificate).GetSubject)},
		{Title: "NOT-AFTER", Wide: true, Text: func(c *fleetv1.FleetCertificate) string { return output.UTC(c.GetCertificate().GetNotAfter()) }},
		{Title: "ISSUER", Wide: true, Text: of((*actionv1.Certificate).GetIssuer)},
		{Title: "SHA256", Wide: true, Text: of((*actionv1.Certificate).GetSha256)},
		{Title: "SHA1", Wide: true, Text: of((*actionv1.Certificate).GetSha1)},
		{Title: "SCANNED", Wide: true, Text: func(c *fleetv1.FleetCertificate) string { return output.UTC(c.GetScanned()) }},
		{Title: "JOB", Wide: true, Text: (*fleetv1.FleetCertificate).GetJobId},
	}
}

// servedWord names the bindings that serve a certificate.
func servedWord(c *fleetv1.FleetCertificate) string {
	var all []string
	for _, b := range c.GetBindings() {
		all = append(all, fmt.Sprintf("%s:%d", b.GetSite(), b.GetPort()))
	}
	return strings.Join(all, ", ")
}

func expiryStyle(c *fleetv1.FleetCertificate) output.Style {
	switch c.GetLevel() {
	case fleetv1.ExpiryLevel_EXPIRY_LEVEL_GOOD, fleetv1.ExpiryLevel_EXPIRY_LEVEL_UNSPECIFIED:
		return output.Plain
	case fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_60_DAYS, fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_30_DAYS:
		return output.Doubt
	default:
		return output.Bad
	}
}
