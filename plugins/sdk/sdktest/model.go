package sdktest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// Model is what a machine has beside services, devices and files: each kind as a plain value, which effects change.
type Model struct {
	// Configs by "root/path"; those that are not here do not exist.
	Configs map[string]*actionv1.ConfigState
	// Registry by `KEY\VALUE`, and Registry32, its 32-bit view.
	Registry, Registry32 map[string]string
	// Stores are the certificate stores, by name.
	Stores   map[string][]*actionv1.Certificate
	Bindings []*actionv1.Binding
	IIS      *actionv1.IISInventory
	// Power by the setting's GUID.
	Power map[string]*actionv1.PowerState
	// Programs are the allow-list; a run's outcome is what is set here (exit code, new files).
	Programs map[string]*actionv1.ProgramState
	// Features by name.
	Features map[string]*actionv1.Feature
	// RestartNeeded is what adding a feature says.
	RestartNeeded bool
	// Net by "host:port"; a host that is not here has no address.
	Net     map[string]*actionv1.NetProbeResult
	Machine *actionv1.MachineState
	// Holders of files below a root, by its name.
	Holders map[string][]*actionv1.HandleHolder
	Site    *actionv1.Surroundings
	// Secrets by the reference of the PFX.
	Secrets  map[string]*actionv1.SecretFacts
	Coverage *actionv1.Coverage
	Leases   []*actionv1.LeaseState
	// Sources is what there is to collect, by name of the source.
	Sources map[string][]*actionv1.CollectedFile
	// Peers is what terminals find that are asked to probe this host.
	Peers *actionv1.PeerVerdicts
}

// queryModel answers what an action may read of the model.
func (m *Machine) queryModel(q any) (*actionv1.QueryResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &actionv1.QueryResult{}
	switch q := q.(type) {
	case *actionv1.Query_Config:
		r.Result = &actionv1.QueryResult_Config{Config: m.config(q.Config.GetRoot(), q.Config.GetPath())}
	case *actionv1.Query_FileList:
		r.Result = &actionv1.QueryResult_FileList{FileList: m.fileList(q.FileList.GetRoot(), q.FileList.GetPath())}
	case *actionv1.Query_Registry:
		r.Result = &actionv1.QueryResult_Registry{Registry: m.registry(q.Registry.GetKey(), q.Registry.GetValue(), q.Registry.GetView32())}
	case *actionv1.Query_Certificates:
		r.Result = &actionv1.QueryResult_Certificates{Certificates: &actionv1.CertificateList{Certificates: m.Stores[q.Certificates.GetStore()]}}
	case *actionv1.Query_Bindings:
		r.Result = &actionv1.QueryResult_Bindings{Bindings: &actionv1.BindingList{Bindings: m.Bindings}}
	case *actionv1.Query_Iis:
		r.Result = &actionv1.QueryResult_Iis{Iis: m.iis()}
	case *actionv1.Query_Power:
		r.Result = &actionv1.QueryResult_Power{Power: m.power(q.Power.GetSetting())}
	case *actionv1.Query_Features:
		r.Result = &actionv1.QueryResult_Features{Features: m.features(q.Features.GetFeatures())}
	case *actionv1.Query_NetProbe:
		r.Result = &actionv1.QueryResult_NetProbe{NetProbe: m.netProbe(q.NetProbe.GetTarget())}
	case *actionv1.Query_Program:
		r.Result = &actionv1.QueryResult_Program{Program: m.program(q.Program.GetProgram())}
	case *actionv1.Query_Machine:
		r.Result = &actionv1.QueryResult_Machine{Machine: orEmpty(m.Machine)}
	case *actionv1.Query_Handles:
		r.Result = &actionv1.QueryResult_Handles{Handles: &actionv1.HandleList{Holders: m.Holders[q.Handles.GetRoot()]}}
	case *actionv1.Query_Site:
		r.Result = &actionv1.QueryResult_Site{Site: orEmpty(m.Site)}
	case *actionv1.Query_Secret:
		r.Result = &actionv1.QueryResult_Secret{Secret: m.secret(q.Secret.GetPfx())}
	case *actionv1.Query_Coverage:
		r.Result = &actionv1.QueryResult_Coverage{Coverage: orEmpty(m.Coverage)}
	case *actionv1.Query_Leases:
		r.Result = &actionv1.QueryResult_Leases{Leases: &actionv1.LeaseList{Leases: m.Leases}}
	default:
		return nil, fmt.Errorf("this machine does not know the query %T", q)
	}
	return proto.CloneOf(r), nil
}

func orEmpty[M any](m *M) *M {
	if m == nil {
		return new(M)
	}
	return m
}

func (m *Machine) config(root, name string) *actionv1.ConfigState {
	if c := m.Configs[rights.File(root, name)]; c != nil {
		c.Root, c.Path, c.Exists = root, name, true
		return c
	}
	return &actionv1.ConfigState{Root: root, Path: name}
}

// fileList lists files and configuration files; the hash of one is its name, doubled.
func (m *Machine) fileList(root, folder string) *actionv1.FileList {
	names := slices.Collect(maps.Keys(m.Files))
	names = append(names, slices.Collect(maps.Keys(m.Configs))...)
	slices.Sort(names)
	list := &actionv1.FileList{}
	for _, name := range slices.Compact(names) {
		rest, ok := strings.CutPrefix(name, root+"/")
		if ok && path.Dir(rest) == folder {
			list.Files = append(list.Files, m.fileState(root, rest))
		}
	}
	return list
}

func (m *Machine) fileState(root, name string) *actionv1.FileState {
	s := &actionv1.FileState{Root: root, Path: name}
	key := rights.File(root, name)
	content, ok := m.Files[key]
	if c := m.Configs[key]; c != nil {
		s.Exists, s.Size, s.Sha256 = true, uint64(proto.Size(c)), c.GetSha256()
	} else if ok {
		s.Exists, s.Size = true, uint64(len(content))
	}
	return s
}

func (m *Machine) registry(key, value string, view32 bool) *actionv1.RegistryState {
	data, ok := m.view(view32)[rights.RegistryValue(key, value)]
	return &actionv1.RegistryState{Key: key, Value: value, View32: view32, Exists: ok, Data: data}
}

// view returns a view of the registry, made if need be.
func (m *Machine) view(view32 bool) map[string]string {
	view := &m.Registry
	if view32 {
		view = &m.Registry32
	}
	if *view == nil {
		*view = map[string]string{}
	}
	return *view
}

func (m *Machine) iis() *actionv1.IISInventory {
	if m.IIS == nil {
		return &actionv1.IISInventory{}
	}
	return m.IIS
}

func (m *Machine) power(s *actionv1.PowerSetting) *actionv1.PowerState {
	if p := m.Power[s.GetSetting()]; p != nil {
		p.Setting = s
		return p
	}
	return &actionv1.PowerState{Setting: s}
}

func (m *Machine) features(names []string) *actionv1.FeatureStates {
	s := &actionv1.FeatureStates{}
	for _, name := range names {
		f := m.Features[name]
		if f == nil {
			f = &actionv1.Feature{Name: name}
		}
		s.Features = append(s.Features, f)
	}
	return s
}

func (m *Machine) netProbe(t *actionv1.ProbeTarget) *actionv1.NetProbeResult {
	if r := m.Net[fmt.Sprintf("%s:%d", t.GetHost(), t.GetPort())]; r != nil {
		return r
	}
	return &actionv1.NetProbeResult{NameProblem: "no such host"}
}

func (m *Machine) program(name string) *actionv1.ProgramState {
	if p := m.Programs[name]; p != nil {
		p.Program = name
		return p
	}
	return &actionv1.ProgramState{Program: name}
}

func (m *Machine) secret(pfx string) *actionv1.SecretFacts {
	if s := m.Secrets[pfx]; s != nil {
		return s
	}
	return &actionv1.SecretFacts{Problem: "there is no such secret for this terminal"}
}
