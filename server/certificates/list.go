package certificates

import (
	"container/heap"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// serverHolder is whose the certificates of the server and of its authority are.
const serverHolder = "fleetd"

// List returns certificates, the one that ends first at the head. It holds no more than a page of them in memory, and of scans it reads
// only those that can have one for the page.
func (k *Keeper) List(ctx context.Context, p *access.Principal, req *fleetv1.ListCertificatesRequest) (*fleetv1.ListCertificatesResponse, error) {
	l, err := k.lister(ctx, p, req)
	if err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{l.machines, l.agents, l.operators, l.servers} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return l.answer(), nil
}

// lister gathers the certificates of one page.
type lister struct {
	*Keeper
	p    *access.Principal
	req  *fleetv1.ListCertificatesRequest
	size int
	// after is the last of the page before.
	after string
	// until is the latest end that is wanted, in seconds since 1970.
	until int64
	// only are the terminals that are meant; nil means all.
	only map[string]*storagev1.TerminalRecord
	now  time.Time
	// found are the certificates with the first ends so far, one more than the page has: the latest at the head.
	found latest
}

func (k *Keeper) lister(ctx context.Context, p *access.Principal, req *fleetv1.ListCertificatesRequest) (*lister, error) {
	size, err := paging.Size(int32(min(req.GetPageSize(), paging.Most)))
	if err != nil {
		return nil, err
	}
	after, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil || len(after) > 1024 {
		return nil, paging.BadToken()
	}
	if _, known := fleetv1.CertificateOwner_name[int32(req.GetOwner())]; !known {
		return nil, refusal.New(refusal.Invalid, "BAD_OWNER", "owner %d: is not known", req.GetOwner()).At("owner").Then("leave it out, or bring the server up to date")
	}
	l := &lister{Keeper: k, p: p, req: req, size: size, after: string(after), until: never, now: k.cfg.Now()}
	if d := req.GetExpiringWithin(); d != nil {
		if d.CheckValid() != nil || d.AsDuration() < 0 {
			return nil, refusal.New(refusal.Invalid, "BAD_SPAN", "expiring_within: is no span of time").At("expiring_within").Then("give one such as 30d")
		}
		l.until = l.now.Add(d.AsDuration()).Unix()
	}
	l.only, err = k.chosen(ctx, p, req)
	return l, err
}

// chosen are the terminals that a request means; nil when it means all. None of them is no error.
func (k *Keeper) chosen(ctx context.Context, p *access.Principal, req *fleetv1.ListCertificatesRequest) (map[string]*storagev1.TerminalRecord, error) {
	sel := &fleetv1.Selection{Expression: req.GetSelect()}
	if req.GetSite() != "" {
		sel.Sites = []string{req.GetSite()}
	}
	if req.GetTerminal() != "" {
		sel.Terminals = []string{req.GetTerminal()}
	}
	if proto.Size(sel) == 0 {
		return nil, nil
	}
	recs, err := k.cfg.Inventory.Select(ctx, p, access.Read, sel)
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Reason == "NOTHING_MATCHES" {
		err = nil
	}
	only := make(map[string]*storagev1.TerminalRecord, len(recs))
	for _, r := range recs {
		only[r.GetTerminal().GetId()] = r
	}
	return only, err
}

func (l *lister) wants(owner fleetv1.CertificateOwner) bool {
	return l.req.GetOwner() == fleetv1.CertificateOwner_CERTIFICATE_OWNER_UNSPECIFIED || l.req.GetOwner() == owner
}

// wantsOwn reports whether one of Bandfleet's own is wanted, and the caller may know of it.
func (l *lister) wantsOwn(owner fleetv1.CertificateOwner) bool {
	all, _ := l.p.Sites(access.Admin)
	return all && l.wants(owner) && !l.req.GetBoundOnly()
}

// machines adds what scans have found.
func (l *lister) machines(ctx context.Context) error {
	if !l.wants(fleetv1.CertificateOwner_CERTIFICATE_OWNER_MACHINE) {
		return nil
	}
	return l.eachEnd(ctx, func(v store.Snapshot, end int64, id string) (bool, error) {
		// Those that follow end later still.
		if end > l.until || l.found.full(l.size) && end > l.found.last() {
			return false, nil
		}
		if l.only != nil && l.only[id] == nil {
			return true, nil
		}
		t, err := terminal(v, id)
		if err != nil || !inService(t) || !l.p.May(access.Read, t.GetTerminal().GetSite()) {
			return true, err
		}
		rec, err := read(v, id)
		if err == nil {
			l.addScan(t.GetTerminal(), rec)
		}
		return true, err
	})
}

func (l *lister) addScan(t *fleetv1.Terminal, rec *storagev1.CertificatesRecord) {
	for _, c := range rec.GetReport().GetCertificates() {
		bound := bindingsOf(rec.GetReport(), c)
		if l.req.GetBoundOnly() && len(bound) == 0 {
			continue
		}
		l.add(&fleetv1.FleetCertificate{
			Owner: fleetv1.CertificateOwner_CERTIFICATE_OWNER_MACHINE, TerminalId: t.GetId(), Holder: t.GetName(), Site: t.GetSite(),
			Certificate: c, Bindings: bound, Scanned: rec.GetReport().GetScanned(), JobId: rec.GetJobId(),
		})
	}
}

// bindingsOf are the bindings that serve a certificate out of the store that it is in.
func bindingsOf(report *actionv1.CertificateReport, c *actionv1.Certificate) (found []*actionv1.Binding) {
	for _, b := range report.GetBindings() {
		if b.GetCertificateSha256() == c.GetSha256() && (b.GetStore() == "" || b.GetStore() == c.GetStore()) {
			found = append(found, b)
		}
	}
	return found
}

// lateShare of an agent's certificate's life is left when its renewal is late: agents renew when two thirds are over.
const lateShare = 4

// renewing reports whether an agent is expected to renew its certificate in time, and whoever looks for what ends soon has not asked for
// agents.
func (l *lister) renewing(t *fleetv1.Terminal) bool {
	asked := l.req.GetOwner() == fleetv1.CertificateOwner_CERTIFICATE_OWNER_AGENT || l.req.GetExpiringWithin() == nil
	return !asked && t.GetCertificateExpires().AsTime().Sub(l.now) > l.cfg.AgentLife/lateShare
}

// agents adds the certificates by which agents speak to this server. Of these no more is kept than their end.
func (l *lister) agents(ctx context.Context) error {
	if !l.wantsOwn(fleetv1.CertificateOwner_CERTIFICATE_OWNER_AGENT) {
		return nil
	}
	return l.each(ctx, store.TableTerminals, func(value []byte) error {
		r := &storagev1.TerminalRecord{}
		if err := proto.Unmarshal(value, r); err != nil {
			return err
		}
		t := r.GetTerminal()
		if inService(r) && t.GetCertificateExpires() != nil && !l.renewing(t) && (l.only == nil || l.only[t.GetId()] != nil) {
			l.add(&fleetv1.FleetCertificate{
				Owner: fleetv1.CertificateOwner_CERTIFICATE_OWNER_AGENT, TerminalId: t.GetId(), Holder: t.GetName(), Site: t.GetSite(),
				Certificate: &actionv1.Certificate{Subject: "agent/" + t.GetId(), NotAfter: t.GetCertificateExpires()},
			})
		}
		return nil
	})
}

func (l *lister) operators(ctx context.Context) error {
	if !l.wantsOwn(fleetv1.CertificateOwner_CERTIFICATE_OWNER_OPERATOR) || l.only != nil {
		return nil
	}
	return l.each(ctx, store.TableOperators, func(value []byte) error {
		r := &storagev1.OperatorRecord{}
		if err := proto.Unmarshal(value, r); err != nil {
			return err
		}
		if o := r.GetOperator(); !o.GetRevoked() && o.GetCertificateExpires() != nil {
			l.add(&fleetv1.FleetCertificate{
				Owner: fleetv1.CertificateOwner_CERTIFICATE_OWNER_OPERATOR, Holder: o.GetName(),
				Certificate: &actionv1.Certificate{Subject: "operator/" + o.GetName(), NotAfter: o.GetCertificateExpires()},
			})
		}
		return nil
	})
}

// servers adds the server's own certificate and its authority's.
func (l *lister) servers(context.Context) error {
	if l.only != nil {
		return nil
	}
	own, err := l.cfg.Own()
	if err != nil {
		return err
	}
	for owner, c := range map[fleetv1.CertificateOwner]*x509.Certificate{
		fleetv1.CertificateOwner_CERTIFICATE_OWNER_SERVER: own.Server, fleetv1.CertificateOwner_CERTIFICATE_OWNER_AUTHORITY: own.Authority,
	} {
		if c != nil && l.wantsOwn(owner) {
			l.add(&fleetv1.FleetCertificate{Owner: owner, Holder: serverHolder, Certificate: certfacts.Of(c)})
		}
	}
	return nil
}

// each reads every record of a table, in several short views.
func (l *lister) each(ctx context.Context, table store.Table, fn func(value []byte) error) error {
	var from []byte
	for {
		seen := 0
		var bad error
		err := l.cfg.Store.View(ctx, func(v store.Snapshot) error {
			return v.Scan(table, nil, from, func(key, value []byte) bool {
				seen++
				from = append(append([]byte(nil), key...), 0)
				bad = fn(value)
				return bad == nil && seen < scanChunk
			})
		})
		if err = errors.Join(err, bad); err != nil || seen < scanChunk {
			return err
		}
	}
}

// add takes a certificate that is wanted and may be on the page.
func (l *lister) add(c *fleetv1.FleetCertificate) {
	place := placeOf(c)
	if c.GetCertificate().GetNotAfter().GetSeconds() > l.until || place <= l.after {
		return
	}
	if l.found.full(l.size) && place >= l.found[0].place {
		return
	}
	c.Level = levelOf(c.GetCertificate(), l.now)
	heap.Push(&l.found, placed{place, c})
	if len(l.found) > l.size+1 {
		heap.Pop(&l.found)
	}
}

// answer is the page.
func (l *lister) answer() *fleetv1.ListCertificatesResponse {
	more := l.found.full(l.size)
	if more {
		heap.Pop(&l.found)
	}
	page := make([]*fleetv1.FleetCertificate, len(l.found))
	last := ""
	for n := len(page) - 1; n >= 0; n-- {
		one, _ := heap.Pop(&l.found).(placed)
		page[n], last = one.certificate, max(last, one.place)
	}
	answer := &fleetv1.ListCertificatesResponse{Certificates: page}
	if more {
		answer.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(last))
	}
	return answer
}
