package sdktest

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

const (
	exact = actionv1.Inverse_INVERSE_EXACT
	none  = actionv1.Inverse_INVERSE_NONE
)

// effectOnModel carries out an effect that is not about a service and returns its record.
func (m *Machine) effectOnModel(id string, e *actionv1.Effect) (*actionv1.RecordedEffect, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := &actionv1.RecordedEffect{PlanId: id, Effect: proto.CloneOf(e)}
	read, do, inverse := m.deed(e)
	if read == nil {
		return nil, fmt.Errorf("this machine does not know the effect %T", e.GetEffect())
	}
	m.changes++
	rec.Inverse, rec.Before = inverse, proto.CloneOf(read())
	if rec.Error = m.Fail[id]; rec.Error == "" {
		rec.Error = do()
	}
	rec.After = proto.CloneOf(read())
	rec.Changed = !proto.Equal(rec.GetBefore(), rec.GetAfter())
	if rec.GetError() == "" && e.GetLease() != nil {
		m.Leases = append(m.Leases, &actionv1.LeaseState{Id: "lease-" + id, Resources: []string{id}, Until: timestamppb.Now()})
	}
	return rec, nil
}

// deed returns how an effect's resource is read, how it is done (the text is why not), and its inverse.
func (m *Machine) deed(e *actionv1.Effect) (read func() *actionv1.State, do func() string, inverse actionv1.Inverse) {
	switch k := e.GetEffect().(type) {
	case *actionv1.Effect_ConfigEdit:
		edit := k.ConfigEdit
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Config{Config: m.config(edit.GetRoot(), edit.GetPath())}}
		}, func() string { return m.editConfig(edit) }, exact
	case *actionv1.Effect_FileCopy:
		f := k.FileCopy
		return m.readFile(f.GetRoot(), f.GetTo()), func() string { return m.copyFile(f) }, exact
	case *actionv1.Effect_FileRemove:
		f := k.FileRemove
		return m.readFile(f.GetRoot(), f.GetPath()), func() string {
			delete(m.Files, rights.File(f.GetRoot(), f.GetPath()))
			delete(m.Configs, rights.File(f.GetRoot(), f.GetPath()))
			return ""
		}, exact
	case *actionv1.Effect_RegistrySet:
		set := k.RegistrySet
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Registry{Registry: m.registry(set.GetKey(), set.GetValue(), set.GetView32())}}
		}, func() string { return m.setRegistry(set) }, exact
	default:
		return m.machineDeed(e)
	}
}

func (m *Machine) machineDeed(e *actionv1.Effect) (read func() *actionv1.State, do func() string, inverse actionv1.Inverse) {
	switch k := e.GetEffect().(type) {
	case *actionv1.Effect_PowerSet:
		set := k.PowerSet
		return func() *actionv1.State {
				return &actionv1.State{State: &actionv1.State_Power{Power: m.power(set.GetSetting())}}
			}, func() string {
				p := m.power(set.GetSetting())
				p.Ac, p.Dc = set.GetAcAfter(), set.GetDcAfter()
				return ""
			}, exact
	case *actionv1.Effect_DeviceSet:
		set := k.DeviceSet
		return func() *actionv1.State {
				return &actionv1.State{State: &actionv1.State_Device{Device: m.device(set)}}
			}, func() string {
				d := m.device(set)
				d.Disabled = !set.GetEnabled()
				return ""
			}, actionv1.Inverse_INVERSE_COMPENSATING
	case *actionv1.Effect_ProgramRun:
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Program{Program: m.program(k.ProgramRun.GetProgram())}}
		}, func() string { return m.runProgram(k.ProgramRun.GetProgram()) }, none
	case *actionv1.Effect_FeatureAdd:
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Features{Features: m.features(k.FeatureAdd.GetFeatures())}}
		}, func() string { return m.addFeatures(k.FeatureAdd.GetFeatures()) }, none
	case *actionv1.Effect_Reboot:
		return func() *actionv1.State {
				return &actionv1.State{State: &actionv1.State_Boot{Boot: &actionv1.BootState{BootId: m.Host.GetBootId()}}}
			}, func() string {
				m.Host.BootId += "+1"
				return ""
			}, none
	default:
		return m.webDeed(e)
	}
}

func (m *Machine) webDeed(e *actionv1.Effect) (read func() *actionv1.State, do func() string, inverse actionv1.Inverse) {
	nothing := func() *actionv1.State { return nil }
	switch k := e.GetEffect().(type) {
	case *actionv1.Effect_CertificateAdd:
		add := k.CertificateAdd
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Certificate{Certificate: m.certificate(add)}}
		}, func() string { return m.addCertificate(add) }, exact
	case *actionv1.Effect_BindingSet:
		set := k.BindingSet
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Binding{Binding: m.binding(set.GetAfter())}}
		}, func() string { return m.bind(set) }, exact
	case *actionv1.Effect_IisSet:
		set := k.IisSet
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Iis{Iis: &actionv1.IISValue{
				Attribute: set.GetAttribute(), Object: set.GetObject(), Exists: true, Value: m.iisValue(set)}}}
		}, func() string { return m.setIIS(set) }, exact
	case *actionv1.Effect_IisStart:
		return nothing, func() string { return m.startIIS(k.IisStart) }, none
	case *actionv1.Effect_IisRecycle:
		return nothing, func() string { return "" }, none
	case *actionv1.Effect_Collect:
		collected := &actionv1.Collection{}
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Collection{Collection: collected}}
		}, func() string { return m.collect(k.Collect, collected) }, exact
	case *actionv1.Effect_PeerProbe:
		verdicts := &actionv1.PeerVerdicts{}
		return func() *actionv1.State {
			return &actionv1.State{State: &actionv1.State_Peers{Peers: verdicts}}
		}, func() string { return m.probePeers(k.PeerProbe, verdicts) }, exact
	case *actionv1.Effect_LeaseRelease:
		return nothing, func() string { return m.release(k.LeaseRelease.GetId()) }, none
	default:
		return nil, nil, none
	}
}

func (m *Machine) editConfig(e *actionv1.ConfigEdit) string {
	c := m.config(e.GetRoot(), e.GetPath())
	if !c.GetExists() || c.GetMalformed() != "" {
		return fmt.Sprintf("file %q cannot be edited", e.GetPath())
	}
	for _, change := range e.GetChanges() {
		i := slices.IndexFunc(c.GetValues(), func(v *actionv1.ConfigValue) bool { return v.GetKey() == change.GetKey() })
		switch {
		case (i < 0) != (change.Before == nil), i >= 0 && c.GetValues()[i].GetValue() != change.GetBefore():
			return fmt.Sprintf("key %q has another value than in the plan", change.GetKey())
		case change.After == nil && i >= 0:
			c.Values = slices.Delete(c.GetValues(), i, i+1)
		case i >= 0:
			c.Values[i].Value = change.GetAfter()
		default:
			c.Values = append(c.Values, &actionv1.ConfigValue{Key: change.GetKey(), Value: change.GetAfter()})
		}
	}
	c.Sha256 += "+"
	return ""
}

func (m *Machine) readFile(root, name string) func() *actionv1.State {
	return func() *actionv1.State {
		return &actionv1.State{State: &actionv1.State_File{File: m.fileState(root, name)}}
	}
}

func (m *Machine) copyFile(f *actionv1.FileCopy) string {
	from, to := rights.File(f.GetRoot(), f.GetFrom()), rights.File(f.GetRoot(), f.GetTo())
	if content, ok := m.Files[from]; ok {
		m.Files[to] = content
	}
	source := m.Configs[from]
	if source == nil {
		return ""
	}
	kept, target := m.Configs[to], proto.CloneOf(source)
	for _, key := range f.GetKeepKeys() {
		for _, old := range kept.GetValues() {
			if old.GetKey() == key {
				setValue(target, key, old.GetValue())
			}
		}
	}
	m.Configs[to] = target
	return ""
}

func setValue(c *actionv1.ConfigState, key, value string) {
	for _, v := range c.GetValues() {
		if v.GetKey() == key {
			v.Value = value
			return
		}
	}
	c.Values = append(c.Values, &actionv1.ConfigValue{Key: key, Value: value})
}

func (m *Machine) setRegistry(s *actionv1.RegistrySet) string {
	at := rights.RegistryValue(s.GetKey(), s.GetValue())
	view := m.view(s.GetView32())
	if data, ok := view[at]; ok != (s.Before != nil) || data != s.GetBefore() {
		return "the value is another than in the plan"
	}
	if s.After == nil {
		delete(view, at)
		return ""
	}
	view[at] = s.GetAfter()
	return ""
}

func (m *Machine) device(s *actionv1.DeviceSet) *actionv1.Device {
	for _, d := range m.Devices[s.GetVendor()+":"+s.GetProduct()] {
		if d.GetInstance() == s.GetInstance() {
			return d
		}
	}
	return &actionv1.Device{Instance: s.GetInstance()}
}

func (m *Machine) runProgram(name string) string {
	p := m.program(name)
	switch {
	case !p.GetApproved():
		return fmt.Sprintf("program %q is not approved", name)
	case p.GetTimedOut():
		return fmt.Sprintf("program %q did not end in time", name)
	case p.GetExitCode() != 0:
		return fmt.Sprintf("program %q ended with exit code %d", name, p.GetExitCode())
	}
	return ""
}

func (m *Machine) addFeatures(names []string) string {
	for _, name := range names {
		if m.Features[name] == nil {
			return fmt.Sprintf("feature %q is not known", name)
		}
		m.Features[name].Installed = true
	}
	return ""
}

func (m *Machine) certificate(a *actionv1.CertificateAdd) *actionv1.CertificateState {
	s := &actionv1.CertificateState{Store: a.GetStore(), Sha256: a.GetSha256()}
	for _, c := range m.Stores[a.GetStore()] {
		if c.GetSha256() == a.GetSha256() {
			s.Present, s.HasPrivateKey = true, c.GetHasPrivateKey()
		}
	}
	return s
}

func (m *Machine) addCertificate(a *actionv1.CertificateAdd) string {
	c := &actionv1.Certificate{Sha256: a.GetSha256(), Store: a.GetStore()}
	if a.GetPfx() != "" {
		facts := m.secret(a.GetPfx())
		if facts.GetProblem() != "" {
			return facts.GetProblem()
		}
		c = proto.CloneOf(facts.GetChain()[0])
		c.Store, c.HasPrivateKey = a.GetStore(), true
	}
	if m.Stores == nil {
		m.Stores = map[string][]*actionv1.Certificate{}
	}
	m.Stores[a.GetStore()] = append(m.Stores[a.GetStore()], c)
	return ""
}

// binding returns the binding at the same place.
func (m *Machine) binding(like *actionv1.Binding) *actionv1.Binding {
	for _, b := range m.Bindings {
		if b.GetSite() == like.GetSite() && b.GetAddress() == like.GetAddress() && b.GetPort() == like.GetPort() && b.GetHost() == like.GetHost() {
			return b
		}
	}
	return &actionv1.Binding{Site: like.GetSite(), Address: like.GetAddress(), Port: like.GetPort(), Host: like.GetHost(), Sni: like.GetSni()}
}

func (m *Machine) bind(s *actionv1.BindingSet) string {
	b := m.binding(s.GetAfter())
	if !proto.Equal(b, s.GetBefore()) {
		return "the binding is another than in the plan"
	}
	if !b.GetExists() {
		m.Bindings = append(m.Bindings, b)
	}
	proto.Reset(b)
	proto.Merge(b, s.GetAfter())
	return ""
}

func (m *Machine) iisValue(s *actionv1.IISSet) string {
	if s.GetAttribute() == actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS {
		return m.iis().GetSslFlags()[s.GetObject()]
	}
	for _, p := range m.iis().GetPools() {
		if p.GetName() == s.GetObject() {
			return p.GetIdentity()
		}
	}
	return ""
}

func (m *Machine) setIIS(s *actionv1.IISSet) string {
	if m.iisValue(s) != s.GetBefore() {
		return "the value is another than in the plan"
	}
	if s.GetAttribute() == actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS {
		m.IIS.SslFlags[s.GetObject()] = s.GetAfter()
	}
	for _, p := range m.iis().GetPools() {
		if p.GetName() == s.GetObject() {
			p.Identity = s.GetAfter()
		}
	}
	return ""
}

func (m *Machine) startIIS(s *actionv1.IISStart) string {
	for _, site := range m.iis().GetSites() {
		site.Started = site.GetStarted() || site.GetName() == s.GetSite()
	}
	for _, pool := range m.iis().GetPools() {
		pool.Started = pool.GetStarted() || pool.GetName() == s.GetPool()
	}
	return ""
}

func (m *Machine) collect(c *actionv1.Collect, into *actionv1.Collection) string {
	for _, source := range c.GetSources() {
		into.Files = append(into.Files, m.Sources[source]...)
	}
	into.Artifact = &actionv1.ArtifactReference{Kind: "logs", Size: 1, Sha256: "00"}
	return ""
}

func (m *Machine) probePeers(p *actionv1.PeerProbe, into *actionv1.PeerVerdicts) string {
	proto.Merge(into, orEmpty(m.Peers))
	good := 0
	for _, v := range into.GetVerdicts() {
		if v.GetOk() {
			good++
		}
	}
	if good < int(p.GetCount()) || good < len(into.GetVerdicts()) {
		return fmt.Sprintf("%d of %d terminals reach it as wanted", good, len(into.GetVerdicts()))
	}
	return ""
}

func (m *Machine) release(id string) string {
	before := len(m.Leases)
	m.Leases = slices.DeleteFunc(m.Leases, func(l *actionv1.LeaseState) bool { return l.GetId() == id })
	if len(m.Leases) == before {
		return fmt.Sprintf("there is no lease %q", id)
	}
	return ""
}
