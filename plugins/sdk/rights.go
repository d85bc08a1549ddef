package sdk

import (
	"github.com/bandfleet/bandfleet/proto/rights"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// ReadConfig declares that the action reads the keys of a configuration file.
func ReadConfig(root, path string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_READ, rights.File(root, path))
}

// EditConfig declares that the action changes keys of a configuration file.
func EditConfig(root, path string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_EDIT, rights.File(root, path))
}

// ListFolder declares that the action lists the files of a folder; "." is the root itself.
func ListFolder(root, path string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_LIST, rights.File(root, path))
}

// WriteFile declares that the action makes or removes a file. The last element of the path may hold "*".
func WriteFile(root, path string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_WRITE, rights.File(root, path))
}

// ReadRegistry declares that the action reads a string value below HKEY_LOCAL_MACHINE.
func ReadRegistry(key, value string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_READ, rights.RegistryValue(key, value))
}

// WriteRegistry declares that the action changes a string value below HKEY_LOCAL_MACHINE.
func WriteRegistry(key, value string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_WRITE, rights.RegistryValue(key, value))
}

// ReadCertificates declares that the action lists a certificate store of the machine.
func ReadCertificates(store string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_CERTIFICATE_READ, store)
}

// AddCertificate declares that the action adds to a certificate store of the machine.
func AddCertificate(store string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_CERTIFICATE_ADD, store)
}

// ReadBindings declares that the action lists https bindings.
func ReadBindings() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_READ, "")
}

// SetBindings declares that the action changes https bindings.
func SetBindings() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_SET, "")
}

// ReadIIS declares that the action reads the web server's sites, pools and applications.
func ReadIIS() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_IIS_READ, "")
}

// WriteIIS declares that the action changes what rights.SSLFlags, rights.PoolIdentity or rights.RunIIS stands for.
func WriteIIS(what string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_IIS_WRITE, what)
}

// ControlDevice declares that the action enables and disables devices with these ids.
func ControlDevice(vendor, product string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_CONTROL, vendor+":"+product)
}

// ReadPower declares that the action reads a power setting, named by its GUID.
func ReadPower(setting string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_POWER_READ, setting)
}

// WritePower declares that the action changes a power setting, named by its GUID.
func WritePower(setting string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_POWER_WRITE, setting)
}

// RunProgram declares that the action runs a program of the agent's allow-list; "*" is one that a parameter names.
func RunProgram(name string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_PROGRAM_RUN, name)
}

// ReadFeatures declares that the action reads which features of Windows are installed.
func ReadFeatures() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_READ, "")
}

// AddFeatures declares that the action adds features of Windows.
func AddFeatures() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_ADD, "")
}

// RebootMachine declares that the action starts the machine again.
func RebootMachine() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_REBOOT, "")
}

// CollectLogs declares that the action collects a source of logs.
func CollectLogs(source string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_COLLECT, source)
}

// ProbeFromPeers declares that the action has other terminals probe this host, and asks which of them trust a root.
func ProbeFromPeers() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_PEER_PROBE, "")
}

// UseSecrets declares that the action opens the sealed secrets that its parameters name.
func UseSecrets() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_SECRET_USE, "")
}

// ReadSite declares that the action reads what the server knows of the terminal's site.
func ReadSite() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_SITE_READ, "")
}

// ReadMachine declares that the action reads what a diagnosis wants to know of the machine.
func ReadMachine() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_MACHINE_READ, "")
}

// UseLeases declares that the action makes changes that end by themselves, and ends them.
func UseLeases() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_LEASE, "")
}

// ProbeInventory declares that the action connects to hosts that the server knows of the terminal's site, and to this machine's own web
// server ("localhost" on port 80 or 443).
func ProbeInventory() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_NETWORK_PROBE, rights.Inventory)
}
