package sdk

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Config reads the keys of a configuration file. A file that is not there, or is malformed, is no error.
func (r *Run) Config(ctx context.Context, root, path string, format actionv1.ConfigFormat) (*actionv1.ConfigState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Config{Config: &actionv1.ConfigQuery{Root: root, Path: path, Format: format}}})
	return answer(res.GetConfig(), err, res.GetConfig() == nil)
}

// Registry reads a string value below HKEY_LOCAL_MACHINE. One that is not there is no error.
func (r *Run) Registry(ctx context.Context, key, value string, view32 bool) (*actionv1.RegistryState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Registry{Registry: &actionv1.RegistryQuery{Key: key, Value: value, View32: view32}}})
	return answer(res.GetRegistry(), err, res.GetRegistry() == nil)
}

// Power reads a setting of a power scheme.
func (r *Run) Power(ctx context.Context, setting *actionv1.PowerSetting) (*actionv1.PowerState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Power{Power: &actionv1.PowerQuery{Setting: setting}}})
	return answer(res.GetPower(), err, res.GetPower() == nil)
}

// Features reads which of these features of Windows are installed.
func (r *Run) Features(ctx context.Context, names ...string) (*actionv1.FeatureStates, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Features{Features: &actionv1.FeatureQuery{Features: names}}})
	return answer(res.GetFeatures(), err, res.GetFeatures() == nil)
}

// IIS reads the web server's sites, pools and applications, and the SSL flags of these locations.
func (r *Run) IIS(ctx context.Context, locations ...string) (*actionv1.IISInventory, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Iis{Iis: &actionv1.IISQuery{Locations: locations}}})
	return answer(res.GetIis(), err, res.GetIis() == nil)
}

// Program reads whether a program of the agent's allow-list is there and approved.
func (r *Run) Program(ctx context.Context, name string) (*actionv1.ProgramState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Program{Program: &actionv1.ProgramQuery{Program: name}}})
	return answer(res.GetProgram(), err, res.GetProgram() == nil)
}

// MachineState reads what a diagnosis wants to know of the machine.
func (r *Run) MachineState(ctx context.Context) (*actionv1.MachineState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Machine{Machine: &actionv1.MachineQuery{}}})
	return answer(res.GetMachine(), err, res.GetMachine() == nil)
}

// Site asks the server what it knows of this terminal's site.
func (r *Run) Site(ctx context.Context) (*actionv1.Surroundings, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Site{Site: &actionv1.SiteQuery{}}})
	return answer(res.GetSite(), err, res.GetSite() == nil)
}

// Secret opens a PFX in the agent's memory and reads what is public of it. pfx and password are references, as Run.SecretRef returns them. One that cannot be
// used is no error.
func (r *Run) Secret(ctx context.Context, pfx, password string) (*actionv1.SecretFacts, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Secret{Secret: &actionv1.SecretQuery{Pfx: pfx, Password: password}}})
	return answer(res.GetSecret(), err, res.GetSecret() == nil)
}

// Coverage asks the server which of the terminals that use this host trust one of these roots.
func (r *Run) Coverage(ctx context.Context, rootSHA256 ...string) (*actionv1.Coverage, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Coverage{Coverage: &actionv1.CoverageQuery{RootSha256: rootSHA256}}})
	return answer(res.GetCoverage(), err, res.GetCoverage() == nil)
}

// Files lists the files of a folder below a root, without what they hold.
func (r *Run) Files(ctx context.Context, root, path string) ([]*actionv1.FileState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_FileList{FileList: &actionv1.FileListQuery{Root: root, Path: path}}})
	list, err := answer(res.GetFileList(), err, res.GetFileList() == nil)
	return list.GetFiles(), err
}

// Certificates lists a certificate store of the machine ("Root", "CA", "My", "WebHosting").
func (r *Run) Certificates(ctx context.Context, store string) ([]*actionv1.Certificate, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Certificates{Certificates: &actionv1.CertificateQuery{Store: store}}})
	list, err := answer(res.GetCertificates(), err, res.GetCertificates() == nil)
	return list.GetCertificates(), err
}

// Bindings lists the https bindings of all sites.
func (r *Run) Bindings(ctx context.Context) ([]*actionv1.Binding, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Bindings{Bindings: &actionv1.BindingQuery{}}})
	list, err := answer(res.GetBindings(), err, res.GetBindings() == nil)
	return list.GetBindings(), err
}

// ProbeNet connects to a host that the server knows of this terminal's site, and tells network, trust and application apart. A host that
// cannot be reached is no error.
func (r *Run) ProbeNet(ctx context.Context, target *actionv1.ProbeTarget, timeout time.Duration) (*actionv1.NetProbeResult, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_NetProbe{NetProbe: &actionv1.NetProbeQuery{Target: target, Timeout: durationpb.New(timeout)}}})
	return answer(res.GetNetProbe(), err, res.GetNetProbe() == nil)
}

// Handles lists the processes that hold files below a root.
func (r *Run) Handles(ctx context.Context, root string) ([]*actionv1.HandleHolder, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Handles{Handles: &actionv1.HandleQuery{Root: root}}})
	list, err := answer(res.GetHandles(), err, res.GetHandles() == nil)
	return list.GetHolders(), err
}

// Leases lists the changes on this machine that will end by themselves.
func (r *Run) Leases(ctx context.Context) ([]*actionv1.LeaseState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Leases{Leases: &actionv1.LeaseQuery{}}})
	list, err := answer(res.GetLeases(), err, res.GetLeases() == nil)
	return list.GetLeases(), err
}
