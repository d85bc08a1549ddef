package hosttest

import (
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Names of a Memory that is a NES host.
const (
	NESHostname = "nes-lyon-1.example"
	DefaultSite = "Default Web Site"
	// NESPool is the application pool of the three applications.
	NESPool = "NES"
	// CRLLocation is where the lists of revoked certificates are served.
	CRLLocation = DefaultSite + "/crl"
	// ClassicPool is a pool that is not NES's.
	ClassicPool = ".NET v4.5 Classic"
)

// NewNESHost returns a healthy NES host: W3SVC, WAS and CertSvc run, the three applications answer, their web.config files (as Visual
// Studio writes them) are below roots of their names, and the https binding of the default site serves a certificate of NESAuthority. It
// is no user terminal: the services of a terminal and the adapter are not there.
func NewNESHost() *Memory {
	m := newMachine(NESHostname)
	m.authority = must(sample.NewAuthority("Lyon Root CA"))
	m.InstallAs(ProcessService, "Windows Process Activation Service", Script{})
	m.InstallAs(WebService, "World Wide Web Publishing Service", Script{})
	m.InstallAs(CertService, "Active Directory Certificate Services", Script{})
	for _, name := range []string{ProcessService, WebService, CertService} {
		m.startNow(name)
	}
	m.SetHost(func(s *actionv1.HostState) { s.OsVersion = "10.0.17763" })
	m.SetDetail(func(s *actionv1.MachineState) { s.Domain, s.DomainRole = "lyon.example", proto.Uint32(memberServer) })
	m.fillWeb()
	for _, application := range sample.Applications() {
		m.SetFile(application, "web.config", sample.WebConfig(application, sample.Windows()))
	}
	for _, name := range []string{"NetFx4Extended-ASPNET45", "IIS-ASPNET45", "IIS-ISAPIExtensions", "IIS-ISAPIFilter"} {
		m.SetFeature(name, true)
	}
	return m
}

// memberServer is the domain role of a server that belongs to a domain.
const memberServer = 3

// fillWeb gives the machine its web server, and binds a certificate that is valid for a year.
func (m *Memory) fillWeb() {
	m.web = &web{sites: map[string]bool{}, pools: map[string]*pool{}, flags: map[string]string{}, answers: map[string]uint32{}, substatus: map[string]uint32{}}
	m.SetSite(DefaultSite, true)
	m.SetPool(NESPool, "LocalSystem", true)
	m.SetPool(ClassicPool, "ApplicationPoolIdentity", true)
	var applications []*actionv1.IISApplication
	for _, name := range sample.Applications() {
		applications = append(applications, &actionv1.IISApplication{
			Site: DefaultSite, Path: "/" + name, Pool: NESPool, Folder: `C:\inetpub\wwwroot\nes_lyon\` + name,
		})
	}
	m.SetApplications(applications...)
	m.SetSSLFlags(DefaultSite, "Ssl")
	m.SetSSLFlags(CRLLocation, "None")
	m.Trust(m.authority.Certificate)
	m.Bind(m.Issue(sample.Wanted{Names: []string{NESHostname}}))
}

// Authority is what a NES host's certificates are issued by; it is in its store of roots, and in that of a terminal after
// terminal.Trust(nes.Authority().Certificate).
func (m *Memory) Authority() *sample.Authority { return m.authority }

// Issue makes a certificate of the host's authority. It is in no store.
func (m *Memory) Issue(w sample.Wanted) *sample.Identity { return must(m.authority.Issue(w)) }

// Bind puts a certificate with its key into the store WebHosting and has the default site serve it on port 443. It is not among Calls.
func (m *Memory) Bind(i *sample.Identity) {
	m.Hold("WebHosting", i.Certificate, true)
	m.SetBinding(m.NESBinding(i.SHA256()))
}

// NESBinding is the https binding of the default site with a certificate of the store WebHosting.
func (m *Memory) NESBinding(sha256 string) *actionv1.Binding {
	return &actionv1.Binding{Site: DefaultSite, Address: "*", Port: 443, CertificateSha256: sha256, Store: "WebHosting", Exists: true}
}

// Bound is the SHA-256 of what the default site serves on port 443; empty for nothing.
func (m *Memory) Bound() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.web.bindings {
		if bindingName(b) == bindingName(m.NESBinding("")) {
			return b.GetCertificateSha256()
		}
	}
	return ""
}

// must returns a value that only a lack of random numbers could deny.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
