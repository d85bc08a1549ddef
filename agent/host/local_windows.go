package host

import (
	"time"

	"golang.org/x/sys/windows"
)

// connectionRefused is the operating system's error for a port that nobody listens on.
const connectionRefused = windows.WSAECONNREFUSED

// DefaultRoots are the folders of a Windows terminal (guide: nbe.toml).
func DefaultRoots() map[string]string {
	return map[string]string{EndpointRoot: `C:\Nymi\Bluetooth_Endpoint`}
}

// DefaultLogRoots are where the product writes logs (guide: log files; the key store of its cryptographic library).
func DefaultLogRoots() map[string]string {
	return map[string]string{
		"profiles":    `C:\Users`,
		"programdata": `C:\ProgramData\Nymi`,
		"public":      `C:\Users\Public\AppData\Nymi`,
		"system-nsl":  `C:\Windows\System32\config\systemprofile\AppData\Roaming\Nymi\NSL`,
	}
}

func newLocal(roots rootFolders, cfg LocalConfig) (*Host, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	certificates := machineCertificates{build: windows.RtlGetVersion().BuildNumber}
	web, err := openWeb(certificates)
	if err != nil {
		return nil, err
	}
	dism, err := inSystem("dism.exe")
	if err != nil {
		return nil, err
	}
	roots.web = &webRoots{iis: web.IIS, now: time.Now}
	return &Host{
		Services: &scmServices{keys: cfg.ServiceKeys},
		Files:    newLocalFiles(roots),
		Devices:  setupDevices{},
		Network:  localNetwork{},
		Registry: newRegistry(),
		System:   windowsSystem{bootID: boot},
		Users:    wtsUsers{cfg.QuietAfter},

		Certificates: certificates,
		Bindings:     web.Bindings,
		IIS:          web.IIS,
		Power:        powerSchemes{},
		Programs:     newLocalPrograms(cfg.Programs),
		Features:     dismFeatures{systemTool(dism)},
	}, nil
}
