package hosttest

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// answer is what a web server does with a connection.
type answer struct {
	addresses []string
	connected bool
	// chain is what is served, leaf first; empty when the handshake fails.
	chain             []*x509.Certificate
	status, substatus uint32
}

// httpPort is where a web server answers without TLS.
const httpPort = 80

// answer is what the machine's web server answers now.
func (m *Memory) answer(target *actionv1.ProbeTarget) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := answer{addresses: slices.Clone(m.state.GetAddresses())}
	site, bound := m.site(target)
	a.connected = site != "" && m.runs(WebService) && m.web.sites[site]
	if !a.connected {
		return a
	}
	if bound != nil {
		a.chain = m.chain(bound)
	}
	a.status = m.status(site, target)
	if a.status >= 400 {
		a.substatus = m.web.substatus[target.GetHttpPath()]
	}
	return a
}

// site finds the site that listens on a port, and its binding when it speaks TLS there. Called with mu held.
func (m *Memory) site(target *actionv1.ProbeTarget) (string, *actionv1.Binding) {
	if m.web == nil {
		return "", nil
	}
	var found *actionv1.Binding
	for _, b := range m.web.bindings {
		if b.GetPort() != target.GetPort() {
			continue
		}
		if b.GetHost() == target.GetHost() {
			return b.GetSite(), b
		}
		if b.GetHost() == "" {
			found = b
		}
	}
	if found == nil && target.GetPort() == httpPort && len(m.web.sites) > 0 {
		return DefaultSite, nil
	}
	return found.GetSite(), found
}

// chain is the certificate that is bound, and the intermediates that the machine has of it. Called with mu held.
func (m *Memory) chain(b *actionv1.Binding) []*x509.Certificate {
	bound, err := m.inStore(b.GetStore(), b.GetCertificateSha256())
	if err != nil || !bound.hasKey {
		return nil
	}
	chain := []*x509.Certificate{bound.certificate}
	for last := bound.certificate; !bytes.Equal(last.RawIssuer, last.RawSubject); last = chain[len(chain)-1] {
		next := slices.IndexFunc(m.stores["CA"], func(h held) bool { return last.CheckSignatureFrom(h.certificate) == nil })
		if next < 0 {
			break
		}
		chain = append(chain, m.stores["CA"][next].certificate)
	}
	return chain
}

// status is the HTTP status of a request. Called with mu held.
func (m *Memory) status(site string, target *actionv1.ProbeTarget) uint32 {
	const ok, forbidden, notFound, unavailable = 200, 403, 404, 503
	path := target.GetHttpPath()
	if status, scripted := m.web.answers[path]; scripted {
		return status
	}
	if !target.GetTls() && m.web.sslRequired(site, strings.TrimSuffix(path, "/")) {
		return forbidden
	}
	for _, a := range m.web.applications {
		if a.GetSite() != site || a.GetPath() == "/" || !strings.HasPrefix(path+"/", a.GetPath()+"/") {
			continue
		}
		if p := m.web.pools[a.GetPool()]; p == nil || !p.started || !m.runs(ProcessService) {
			return unavailable
		}
		return ok
	}
	if path == "/crl/NESL1CA.crl" || path == "/crl/NymiInfraRootCA.crl" {
		return ok
	}
	return notFound
}
