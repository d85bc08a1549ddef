package fleet

import (
	"context"
	"path/filepath"

	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/link"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// identity loads an agent's identity; one that has none is enrolled. As on a machine, keys and journal are on disk before the
// server hears of them, so an enrolment whose answer was lost is repeated and yields the same terminal.
func (f *Fleet) identity(ctx context.Context, name string, token *fleetid.Token, journalID string, first *agentv1.Facts) (*identity.Identity, error) {
	dir := identity.Dir(filepath.Join(f.config.Dir, name))
	enrolled, err := dir.Enrolled()
	if err != nil {
		return nil, err
	}
	if !enrolled {
		if token == nil {
			return nil, errNoToken
		}
		if err := f.enrol(ctx, dir, *token, &agentv1.EnrollRequest{
			TokenId: token.ID, TokenSecret: token.Secret, Name: name, Facts: first, Plugins: f.plugins.report(), JournalId: journalID,
		}); err != nil {
			return nil, err
		}
	}
	return identity.Load(dir)
}

func (f *Fleet) enrol(ctx context.Context, dir identity.Dir, token fleetid.Token, request *agentv1.EnrollRequest) error {
	if err := dir.Make(); err != nil {
		return err
	}
	keys, err := dir.MakeKeys()
	if err != nil {
		return err
	}
	if request.Csr, err = fleetid.NewCSR(keys.TLS); err != nil {
		return err
	}
	request.SealingKey = keys.Sealing.PublicKey().Bytes()
	answer, err := link.Enroll(ctx, f.config.Server, token.CA, request)
	if err != nil {
		return err
	}
	record := identity.Record{
		Server: f.config.Server, TerminalID: answer.GetTerminalId(), Name: answer.GetName(), Site: answer.GetSite(), Role: answer.GetRole(),
	}
	f.counts.add(func(c *Count) { c.Enrolled++ })
	return dir.Complete(record, keys, identity.Grant{Chain: answer.GetCertificateChain(), Bundle: answer.GetTrustBundle()}, token.CA)
}
