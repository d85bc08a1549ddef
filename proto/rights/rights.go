// Package rights says which capability a plugin needs for each thing that it may ask of the agent, and whether a manifest declares it.
// The agent enforces it, and the conformance suite of the plugin SDK holds actions to it, by this one list.
package rights

import (
	"fmt"
	"path"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Objects of network probes.
const (
	// AgentURL stands for the host and port of agent_url in nbe.toml.
	AgentURL = "agent-url"
	// Inventory stands for the hosts that the server knows of the terminal's site.
	Inventory = "inventory"
)

// Objects of the web server's capability.
const (
	SSLFlags     = "ssl-flags"
	PoolIdentity = "pool-identity"
	// RunIIS is the right to start sites and pools and to recycle pools.
	RunIIS = "run"
)

// OfQuery returns the capability that a query needs. Its kind is unspecified when this version does not know the query.
func OfQuery(q *actionv1.Query) *actionv1.Capability {
	switch q := q.GetQuery().(type) {
	case *actionv1.Query_Service:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_READ, q.Service.GetService())
	case *actionv1.Query_ServiceWatch:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_READ, q.ServiceWatch.GetService())
	case *actionv1.Query_Device:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_READ, q.Device.GetVendor()+":"+q.Device.GetProduct())
	case *actionv1.Query_File:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_READ, File(q.File.GetRoot(), q.File.GetPath()))
	case *actionv1.Query_TcpProbe:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_NETWORK_PROBE, AgentURL)
	case *actionv1.Query_Host:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_HOST_READ, "")
	default:
		return ofModelQuery(q)
	}
}

func ofModelQuery(q any) *actionv1.Capability {
	switch q := q.(type) {
	case *actionv1.Query_Config:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_READ, File(q.Config.GetRoot(), q.Config.GetPath()))
	case *actionv1.Query_FileList:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_LIST, File(q.FileList.GetRoot(), q.FileList.GetPath()))
	case *actionv1.Query_Registry:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_READ, RegistryValue(q.Registry.GetKey(), q.Registry.GetValue()))
	case *actionv1.Query_Certificates:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_CERTIFICATE_READ, q.Certificates.GetStore())
	case *actionv1.Query_Bindings:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_READ, "")
	case *actionv1.Query_Iis:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_IIS_READ, "")
	case *actionv1.Query_Power:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_POWER_READ, q.Power.GetSetting().GetSetting())
	case *actionv1.Query_Features:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_READ, "")
	case *actionv1.Query_NetProbe:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_NETWORK_PROBE, Inventory)
	case *actionv1.Query_Program:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_PROGRAM_RUN, q.Program.GetProgram())
	case *actionv1.Query_Machine, *actionv1.Query_Handles:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_MACHINE_READ, "")
	case *actionv1.Query_Site:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_SITE_READ, "")
	case *actionv1.Query_Secret:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_SECRET_USE, "")
	case *actionv1.Query_Coverage:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_PEER_PROBE, "")
	case *actionv1.Query_Leases:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_LEASE, "")
	default:
		return of(actionv1.CapabilityKind_CAPABILITY_KIND_UNSPECIFIED, "")
	}
}

// OfEffect returns the capabilities that an effect needs. None is returned when this version does not know the effect.
func OfEffect(e *actionv1.Effect) []*actionv1.Capability {
	var needed []*actionv1.Capability
	need := func(kind actionv1.CapabilityKind, object string) { needed = append(needed, of(kind, object)) }
	switch k := e.GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, k.ServiceStop.GetService())
	case *actionv1.Effect_ServiceStart:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, k.ServiceStart.GetService())
	case *actionv1.Effect_ServiceKill:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_KILL, k.ServiceKill.GetService())
	case *actionv1.Effect_Confirm:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM, "")
	case *actionv1.Effect_ConfigEdit:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_EDIT, File(k.ConfigEdit.GetRoot(), k.ConfigEdit.GetPath()))
	case *actionv1.Effect_FileCopy:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_WRITE, File(k.FileCopy.GetRoot(), k.FileCopy.GetTo()))
	case *actionv1.Effect_FileRemove:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_WRITE, File(k.FileRemove.GetRoot(), k.FileRemove.GetPath()))
	case *actionv1.Effect_RegistrySet:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_WRITE, RegistryValue(k.RegistrySet.GetKey(), k.RegistrySet.GetValue()))
	default:
		ofMachineEffect(k, need)
	}
	if len(needed) > 0 && len(e.GetLease().GetRestartServices()) > 0 {
		for _, service := range e.GetLease().GetRestartServices() {
			need(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, service)
		}
	}
	if len(needed) > 0 && e.GetLease() != nil {
		need(actionv1.CapabilityKind_CAPABILITY_KIND_LEASE, "")
	}
	return needed
}

func ofMachineEffect(e any, need func(actionv1.CapabilityKind, string)) {
	switch k := e.(type) {
	case *actionv1.Effect_CertificateAdd:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_CERTIFICATE_ADD, k.CertificateAdd.GetStore())
		if k.CertificateAdd.GetPfx() != "" {
			need(actionv1.CapabilityKind_CAPABILITY_KIND_SECRET_USE, "")
		}
	case *actionv1.Effect_BindingSet:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_SET, "")
	case *actionv1.Effect_IisSet:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_IIS_WRITE, attribute(k.IisSet.GetAttribute()))
	case *actionv1.Effect_IisStart, *actionv1.Effect_IisRecycle:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_IIS_WRITE, RunIIS)
	case *actionv1.Effect_DeviceSet:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_CONTROL, k.DeviceSet.GetVendor()+":"+k.DeviceSet.GetProduct())
	case *actionv1.Effect_PowerSet:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_POWER_WRITE, k.PowerSet.GetSetting().GetSetting())
	case *actionv1.Effect_ProgramRun:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_PROGRAM_RUN, k.ProgramRun.GetProgram())
	case *actionv1.Effect_FeatureAdd:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_ADD, "")
	case *actionv1.Effect_Reboot:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_REBOOT, "")
	case *actionv1.Effect_Collect:
		for _, source := range k.Collect.GetSources() {
			need(actionv1.CapabilityKind_CAPABILITY_KIND_COLLECT, source)
		}
	case *actionv1.Effect_PeerProbe:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_PEER_PROBE, "")
	case *actionv1.Effect_LeaseRelease:
		need(actionv1.CapabilityKind_CAPABILITY_KIND_LEASE, "")
	}
}

func attribute(a actionv1.IISAttribute) string {
	switch a {
	case actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS:
		return SSLFlags
	case actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY:
		return PoolIdentity
	default:
		return ""
	}
}

// Declares says whether a manifest declares a capability.
func Declares(a *actionv1.Action, needed *actionv1.Capability) bool {
	if needed.GetKind() == actionv1.CapabilityKind_CAPABILITY_KIND_UNSPECIFIED {
		return false
	}
	for _, c := range a.GetCapabilities() {
		if c.GetKind() == needed.GetKind() && covers(c.GetKind(), c.GetObject(), needed.GetObject()) {
			return true
		}
	}
	return false
}

// covers compares objects. Stars stand for a part of a file's name, for what is below a key that is read, and for any program of the
// agent's own list; nowhere else.
func covers(kind actionv1.CapabilityKind, declared, needed string) bool {
	switch kind {
	case actionv1.CapabilityKind_CAPABILITY_KIND_FILE_WRITE, actionv1.CapabilityKind_CAPABILITY_KIND_FILE_READ, actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_READ:
		dir, name := path.Split(declared)
		neededDir, neededName := path.Split(needed)
		ok, err := path.Match(name, neededName)
		return dir == neededDir && ok && err == nil
	case actionv1.CapabilityKind_CAPABILITY_KIND_PROGRAM_RUN:
		return declared == "*" || declared == needed
	case actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_READ:
		below, star := strings.CutSuffix(strings.ToLower(declared), `\*`)
		return strings.EqualFold(declared, needed) || star && below != "" && strings.HasPrefix(strings.ToLower(needed), below+`\`)
	case actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_WRITE:
		return strings.EqualFold(declared, needed)
	default:
		return declared == needed
	}
}

// Missing returns an error that names the first capability that an action did not declare.
func Missing(a *actionv1.Action, needed ...*actionv1.Capability) error {
	for _, c := range needed {
		if Declares(a, c) {
			continue
		}
		name := strings.ToLower(strings.TrimPrefix(c.GetKind().String(), "CAPABILITY_KIND_"))
		if c.GetObject() == "" {
			return fmt.Errorf("action %q did not declare the capability %s", a.GetName(), name)
		}
		const most = 200
		return fmt.Errorf("action %q did not declare the capability %s of %.*q", a.GetName(), name, most, c.GetObject())
	}
	return nil
}

// File is the object of a file.
func File(root, name string) string { return root + "/" + name }

// RegistryValue is the object of a registry value.
func RegistryValue(key, value string) string { return key + `\` + value }

func of(kind actionv1.CapabilityKind, object string) *actionv1.Capability {
	return &actionv1.Capability{Kind: kind, Object: object}
}
