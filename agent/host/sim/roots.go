package sim

import (
	"path/filepath"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
)

// roots are the folders that Files serves, by the names that they have on Windows too.
func (t *terminal) roots() map[string]string {
	roots := map[string]string{
		host.EndpointRoot: endpointFolder,
		"profiles":        "Users",                                             // C:\Users
		"public":          filepath.Join("Users", "Public", "AppData", "Nymi"), // C:\Users\Public\AppData\Nymi
		"programdata":     filepath.Join("ProgramData", "Nymi"),                // C:\ProgramData\Nymi
		"system-nsl":      filepath.Join("Windows", "NSL"),                     // key store of the NSL library, below the system's profile
	}
	if t.isNES() {
		for _, application := range sample.Applications() {
			roots[application] = applicationFolder(application)
		}
	}
	for name, folder := range roots {
		roots[name] = filepath.Join(t.dir, folder)
	}
	return roots
}

// applicationFolder is where IIS has an application of the NES instance.
func applicationFolder(application string) string {
	return filepath.Join(webFolder, sample.Instance, application)
}
