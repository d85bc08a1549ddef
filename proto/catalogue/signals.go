package catalogue

// Signal is something that the agent reads of its machine, as one of a few values. Each signal may have the value Unknown, too, when it
// cannot be read: that opens no fault and ends none.
type Signal struct {
	Name string
	// Values lists what it can be; the first is what is wanted.
	Values []string
	// Subjects says what its subjects are when there may be several ("NES host", "certificate"); empty when there is one only.
	Subjects string
	// Target is the kind of machine that has it: Device means all.
	Target Target
	// Help says what is read, for the documentation.
	Help string
}

// Unknown is the value of a signal that could not be read.
const Unknown = "unknown"

// Signals returns every signal. Package agent/detect reads them.
func Signals() []Signal {
	return []Signal{
		{"endpoint-service", service(), "", Terminal, "state of the service Nymi Bluetooth Endpoint"},
		{"nymi-agent-service", service(), "", Terminal, "state of the service Nymi Agent; with a central one it is always running"},
		{"adapter", []string{"ok", "missing", "problem", "no-port", "several"}, "", Terminal, "the BLED112 adapter: its USB device, problem code and port"},
		{"nbe-config", []string{"ok", "absent", "invalid", "unreadable"}, "", Terminal, "nbe.toml: whether it is there, parses and keeps to the rules"},
		{"nbe-agent-url", []string{"ok", "missing", "malformed"}, "", Terminal, "agent_url in nbe.toml"},
		{"nbe-tap", []string{"on", "off"}, "", Terminal, "whether the effective rssi_tap_threshold lets taps work"},
		{"nbe-drift", []string{"none", "drifted"}, "", Terminal, "nbe.toml against the site's profile"},
		{"nymi-agent-port", []string{"open", "closed"}, "address of agent_url", Terminal, "TCP connection to the host and port of agent_url"},
		{"nes-url", []string{"ok", "missing", "not-https", "differs"}, "", Terminal, "the registered NES URL against the site's; a Group Policy's value wins"},
		{"nes-path", []string{"ok", "name", "connect", "handshake", "untrusted", "expired", "mismatch", "status"}, "NES host", Device, "name, TCP, TLS and HTTP on the way to the NES host that the terminal uses; the first step that fails"},
		{"root-certificate", []string{"ok", "missing", "expiring", "expired"}, "approved root", Device, "the site's approved roots in the machine's root store"},
		{"pending-reboot", []string{"no", "yes"}, "", Device, "whether Windows waits for a restart"},
		{"usb-suspend", []string{"off", "on"}, "", Terminal, "USB selective suspend of the active power plan"},
		{"clock", []string{"ok", "skewed"}, "", Device, "the machine's clock against the server's; more than five minutes are skewed"},
		{"disk", []string{"ok", "low"}, "volume", Device, "free space of the system's volume"},
		{"domain", []string{"same", "other"}, "", Terminal, "the machine's domain against that of its NES host"},
		{"windows-7", []string{"no", "yes"}, "", Terminal, "whether the operating system is Windows 7"},
		{"agent-certificate", []string{"ok", "expiring"}, "", Device, "this agent's own certificate"},
		{"iis-service", service(), "", NESHost, "state of W3SVC"},
		{"iis-site", []string{"started", "stopped"}, "site", NESHost, "state of the web site"},
		{"app-pool", []string{"started", "stopped"}, "application pool", NESHost, "state of the application pools of NES"},
		{"app-pool-identity", []string{"ok", "local-service"}, "application pool", NESHost, "whom the application pools of NES run as"},
		{"ca-service", service(), "", NESHost, "state of CertSvc"},
		{"ca-provider", []string{"ok", "other"}, "", NESHost, "cryptographic provider of the CA"},
		{"crl", []string{"ok", "forbidden", "failed"}, "address", NESHost, "the two CRL addresses over plain HTTP"},
		{"https-binding", []string{"ok", "missing", "no-certificate"}, "site", NESHost, "the https binding and its certificate"},
		{"tls-certificate", []string{"ok", "expiring", "expired"}, "certificate", NESHost, "end of the certificate of the https binding"},
		{"ca-certificate", []string{"ok", "expiring", "expired"}, "certificate", NESHost, "end of the CA certificates of NES (L2)"},
		{"auth-url", []string{"ok", "missing", "unresolved", "not-found", "expired"}, "address", NESHost, "the AuthenticationService address in the web.config of nes"},
		{"enrollment-service", []string{"ok", "failed"}, "address", NESHost, "an HTTPS answer of the NEnrollment application"},
		{"console", []string{"ok", "error-500-19", "error"}, "address", NESHost, "an HTTPS answer of the administrator console"},
		{"windows-features", []string{"ok", "missing"}, "", NESHost, "the Windows features that NES needs"},
		{"dotnet", []string{"ok", "old"}, "", NESHost, "release of .NET Framework 4 against 4.8"},
		{"domain-controller", []string{"no", "yes"}, "", NESHost, "whether the machine is a domain controller"},
		{"directory", []string{"ok", "failed"}, "address", NESHost, "TCP connections to the known directory servers"},
		{"sql-server", []string{"ok", "failed"}, "address", NESHost, "TCP connections to the known SQL servers"},
		{"verbose-logging", []string{"off", "leased", "on"}, "web.config", NESHost, "switches that stand at Verbose, with and without a lease that will end it"},
	}
}

// service is what a service can be.
func service() []string {
	return []string{"running", "stopped", "starting", "stopping", "disabled", "missing"}
}

// FileClass is a kind of log file.
type FileClass struct {
	Name   string
	Target Target
	// Help says which files they are, for the documentation.
	Help string
}

// Classes returns every class of log files. Package agent/logs finds and reads them.
func Classes() []FileClass {
	return []FileClass{
		{"nem", Terminal, `nem.log of each user: AppData\Roaming\Nymi\NEM\Logs`},
		{"nymi-api", Terminal, `nymi_api.log of each user: AppData\Roaming\Nymi\NEM\Logs`},
		{"credential-provider", Terminal, `credential-provider.log of Lock Control: C:\Users\Public\AppData\Nymi\unlock\Log`},
		{"nes-install", NESHost, `C:\ProgramData\Nymi\NESg2.install\log`},
		{"nes-service", NESHost, `the administrator and enrolment services' logs under C:\ProgramData\Nymi`},
		{"authentication", NESHost, `the authentication service's logs under C:\ProgramData\Nymi`},
	}
}

// Placeholders returns what a remedy's parameters may hold, and what stands there then.
func Placeholders() map[string]string {
	return map[string]string{
		"{ask}":                "asked of the person who wants the fix",
		"{subject}":            "the fault's subject",
		"{terminal}":           "the terminal's name",
		"{site.nes_url}":       "address of the NES host that the terminal uses",
		"{site.root}":          "name of the approved root that the fault is about, or the site's only one",
		"{site.root_hash}":     "SHA-256 of that root, as the site's list has it",
		"{site.tap_threshold}": "rssi_tap_threshold of the site's profile, else -42",
	}
}
