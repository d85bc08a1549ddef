package hosttest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Keys of a NES host's services, which Services knows as well as their display names.
const (
	WebService     = "W3SVC"
	ProcessService = "WAS"
	CertService    = "CertSvc"
)

// web is a machine's web server. Guarded by Memory.mu.
type web struct {
	bindings     []*actionv1.Binding
	sites        map[string]bool // by name: is it to run
	pools        map[string]*pool
	applications []*actionv1.IISApplication
	flags        map[string]string
	// answers are the HTTP statuses by path; a path that is not here has 200 below an application and 404 elsewhere.
	answers map[string]uint32
	// substatus is what the page of an error says besides, by path.
	substatus map[string]uint32
}

type pool struct {
	started  bool
	identity string
	recycled int
}

// lacksWeb is what a machine without a web server answers.
func lacksWeb() error { return fmt.Errorf("a web server: %w", host.ErrNotSupported) }

// SetBinding makes or changes an https binding; without b.Exists it is taken away. It is not among Calls.
func (m *Memory) SetBinding(b *actionv1.Binding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.web.unbind(b)
	if b.GetExists() {
		m.web.bind(b)
	}
}

// Answer has the web server answer requests of a path with an HTTP status.
func (m *Memory) Answer(path string, status uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.web.answers[path] = status
}

// AnswerSub has a request for a path be answered with a status and the substatus that the page of the error shows ("500.19").
func (m *Memory) AnswerSub(path string, status, substatus uint32) {
	m.Answer(path, status)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.web.substatus[path] = substatus
}

// SetSSLFlags sets the flags of a location, which is made if needed. It is not among Calls.
func (m *Memory) SetSSLFlags(location, flags string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.web.flags[location] = flags
}

// SetPool sets an application pool, which is made if needed. It is not among Calls.
func (m *Memory) SetPool(name, identity string, started bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.web.pools[name] = &pool{started: started, identity: identity}
}

// SetSite sets whether a site is started; it is made if needed. It is not among Calls.
func (m *Memory) SetSite(name string, started bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.web.sites[name] = started
}

// SetApplications has the web server have these applications alone. It is not among Calls.
func (m *Memory) SetApplications(applications ...*actionv1.IISApplication) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.web.applications = applications
}

// Recycled counts how often a pool was recycled.
func (m *Memory) Recycled(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.web.pools[name]; p != nil {
		return p.recycled
	}
	return 0
}

// bindingName is what a binding is known by.
func bindingName(b *actionv1.Binding) string {
	return fmt.Sprintf("%s %s:%d:%s", b.GetSite(), b.GetAddress(), b.GetPort(), b.GetHost())
}

func (w *web) unbind(b *actionv1.Binding) {
	w.bindings = slices.DeleteFunc(w.bindings, func(x *actionv1.Binding) bool { return bindingName(x) == bindingName(b) })
}

// bind replaces a binding.
func (w *web) bind(b *actionv1.Binding) {
	w.unbind(b)
	bound := proto.CloneOf(b)
	bound.Exists = true
	w.bindings = append(w.bindings, bound)
	slices.SortFunc(w.bindings, func(a, b *actionv1.Binding) int {
		return cmp.Or(cmp.Compare(a.GetSite(), b.GetSite()), cmp.Compare(a.GetPort(), b.GetPort()),
			cmp.Compare(a.GetAddress(), b.GetAddress()), cmp.Compare(a.GetHost(), b.GetHost()))
	})
}

// memoryBindings is Memory's host.Bindings.
type memoryBindings struct{ m *Memory }

// List implements host.Bindings.
func (v memoryBindings) List(context.Context) ([]*actionv1.Binding, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.m.web == nil {
		return nil, lacksWeb()
	}
	var list []*actionv1.Binding
	for _, b := range v.m.web.bindings {
		list = append(list, proto.CloneOf(b))
	}
	return list, nil
}

// Set implements host.Bindings. As in Windows, what is bound must be in the store with its key.
func (v memoryBindings) Set(_ context.Context, b *actionv1.Binding) error {
	if err := v.m.mutating("bind", bindingName(b)+" "+b.GetCertificateSha256()); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.m.web == nil {
		return lacksWeb()
	}
	if _, ok := v.m.web.sites[b.GetSite()]; !ok {
		return fmt.Errorf("binding %q: site %q: %w", bindingName(b), b.GetSite(), host.ErrNotExist)
	}
	if b.GetCertificateSha256() != "" {
		h, err := v.m.inStore(b.GetStore(), b.GetCertificateSha256())
		if err != nil {
			return fmt.Errorf("binding %q: %w", bindingName(b), err)
		}
		if !h.hasKey {
			return fmt.Errorf("binding %q: certificate %s of store %q has no private key", bindingName(b), h.sha256(), b.GetStore())
		}
	}
	v.m.web.bind(b)
	return nil
}

// Remove implements host.Bindings.
func (v memoryBindings) Remove(_ context.Context, b *actionv1.Binding) error {
	if err := v.m.mutating("unbind", bindingName(b)); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.m.web == nil {
		return lacksWeb()
	}
	before := len(v.m.web.bindings)
	if v.m.web.unbind(b); len(v.m.web.bindings) == before {
		return fmt.Errorf("binding %q: %w", bindingName(b), host.ErrNotExist)
	}
	return nil
}

// sslRequired says whether a path of a site is only for TLS: by the flags of the longest location that holds it.
func (w *web) sslRequired(site, path string) bool {
	flags, longest := "", -1
	for location, f := range w.flags {
		if (strings.HasPrefix(site+path+"/", location+"/")) && len(location) > longest {
			flags, longest = f, len(location)
		}
	}
	return slices.Contains(strings.Split(flags, ","), "Ssl")
}
