package sdk

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// ConfigEdit is the effect of changing keys of a configuration file and no other byte of it.
func ConfigEdit(root, path string, format actionv1.ConfigFormat, changes ...*actionv1.ConfigChange) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ConfigEdit{ConfigEdit: &actionv1.ConfigEdit{
		Root: root, Path: path, Format: format, Changes: changes}}}
}

// Change is a change of a key; a nil text means that the key is not there.
func Change(key string, before, after *string) *actionv1.ConfigChange {
	return &actionv1.ConfigChange{Key: key, Before: before, After: after}
}

// FileCopy is the effect of making a file from another one below the same root. A TOML file that is replaced keeps its value of keepKeys.
func FileCopy(root, from, to, fromSHA256 string, keepKeys ...string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_FileCopy{FileCopy: &actionv1.FileCopy{
		Root: root, From: from, To: to, FromSha256: fromSHA256, KeepKeys: keepKeys}}}
}

// FileRemove is the effect of deleting a file that has this hash.
func FileRemove(root, path, sha256 string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_FileRemove{FileRemove: &actionv1.FileRemove{Root: root, Path: path, Sha256: sha256}}}
}

// RegistrySet is the effect of setting or removing a string value below HKEY_LOCAL_MACHINE; a nil text means that it is not there.
func RegistrySet(key, value string, view32 bool, before, after *string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_RegistrySet{RegistrySet: &actionv1.RegistrySet{
		Key: key, Value: value, View32: view32, Before: before, After: after}}}
}

// CertificateAdd is the effect of adding a certificate in DER, without a key, to a store of the machine.
func CertificateAdd(store, sha256 string, der []byte) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_CertificateAdd{CertificateAdd: &actionv1.CertificateAdd{
		Store: store, Sha256: sha256, Certificate: der}}}
}

// CertificateImport is the effect of importing a sealed PFX into a store of the machine. pfx and password are references.
func CertificateImport(store, sha256, pfx, password string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_CertificateAdd{CertificateAdd: &actionv1.CertificateAdd{
		Store: store, Sha256: sha256, Pfx: pfx, PfxPassword: password}}}
}

// BindingSet is the effect of binding a certificate of the machine to an https binding.
func BindingSet(before, after *actionv1.Binding) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_BindingSet{BindingSet: &actionv1.BindingSet{Before: before, After: after}}}
}

// IISSet is the effect of setting one value of the web server's configuration.
func IISSet(attribute actionv1.IISAttribute, object, before, after string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_IisSet{IisSet: &actionv1.IISSet{
		Attribute: attribute, Object: object, Before: before, After: after}}}
}

// IISStartSite is the effect of starting a site that is stopped.
func IISStartSite(site string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_IisStart{IisStart: &actionv1.IISStart{Site: site}}}
}

// IISStartPool is the effect of starting an application pool that is stopped.
func IISStartPool(pool string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_IisStart{IisStart: &actionv1.IISStart{Pool: pool}}}
}

// IISRecycle is the effect of having an application pool start new worker processes.
func IISRecycle(pool string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_IisRecycle{IisRecycle: &actionv1.IISRecycle{Pool: pool}}}
}

// DeviceSet is the effect of enabling or disabling a device.
func DeviceSet(instance, vendor, product string, enabled bool, timeout time.Duration) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_DeviceSet{DeviceSet: &actionv1.DeviceSet{
		Instance: instance, Vendor: vendor, Product: product, Enabled: enabled, Timeout: durationpb.New(timeout)}}}
}

// PowerSet is the effect of setting an index of a power scheme, on mains and on battery.
func PowerSet(p *actionv1.PowerSet) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_PowerSet{PowerSet: p}}
}

// ProgramRun is the effect of running a program of the agent's allow-list. The files that are new in its folder afterwards are kept as
// artefacts of newFilesKind about subject; an empty kind keeps none.
func ProgramRun(program string, timeout time.Duration, newFilesKind, subject string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ProgramRun{ProgramRun: &actionv1.ProgramRun{
		Program: program, Timeout: durationpb.New(timeout), NewFilesKind: newFilesKind, Subject: subject}}}
}

// FeatureAdd is the effect of adding features of Windows.
func FeatureAdd(source string, timeout time.Duration, features ...string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_FeatureAdd{FeatureAdd: &actionv1.FeatureAdd{
		Features: features, Source: source, Timeout: durationpb.New(timeout)}}}
}

// Reboot is the effect of starting the machine again, the last of a plan.
func Reboot(delay time.Duration, message, bootID string, backWithin time.Duration) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_Reboot{Reboot: &actionv1.Reboot{
		Delay: durationpb.New(delay), Message: message, BootId: bootID, BackWithin: durationpb.New(backWithin)}}}
}

// Collect is the effect of copying logs into an archive that is kept as an artefact.
func Collect(c *actionv1.Collect) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_Collect{Collect: c}}
}

// PeerProbe is the effect of having terminals that use this host connect to it; count of them must find this certificate and trust it.
// Those that are left out, by name, are not asked.
func PeerProbe(count uint32, target *actionv1.ProbeTarget, certificateSHA256 string, timeout time.Duration, except ...string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_PeerProbe{PeerProbe: &actionv1.PeerProbe{
		Count: count, Target: target, CertificateSha256: certificateSHA256, Timeout: durationpb.New(timeout), Except: except}}}
}

// LeaseRelease is the effect of ending a lease now.
func LeaseRelease(id string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_LeaseRelease{LeaseRelease: &actionv1.LeaseRelease{Id: id}}}
}

// Leased has a change end by itself: after ttl the agent puts it back, then restarts these services. It returns the effect.
func Leased(e *actionv1.Effect, ttl time.Duration, restartServices ...string) *actionv1.Effect {
	e.Lease = &actionv1.Lease{Ttl: durationpb.New(ttl), RestartServices: restartServices}
	return e
}
