package e2e

// proof is how an entry of the catalogue is proved: what goes wrong, and what has to be given or done besides.
type proof struct {
	stage
	// cause says in words what is done, and do does it. An entry that has neither is reported by a person.
	cause string
	do    func(*world)
	// as is the entry whose fault it is, when it is another one.
	as string
	// params are what only a person can say, for the remedy.
	params func(*world) map[string]string
	// meanwhile is done by a person while a job runs: a question is answered.
	meanwhile func(*world, string)
	// mend puts right what a person has to, where a person has to.
	mend func(*world)
	// at is the NES host when the fault is there, else the terminal.
	at string
}

var (
	lineOnly = stage{terminal: true}
	nesOnly  = stage{nes: true}
	both     = stage{terminal: true, nes: true}
)

// byState are the entries that an agent finds from what its machine is like.
func byState() map[string]proof {
	all := map[string]proof{}
	for _, some := range []map[string]proof{bluetoothProofs(), terminalProofs(), webProofs(), deploymentProofs(), certificateProofs()} {
		for entry, p := range some {
			all[entry] = p
		}
	}
	return all
}

// line changes the terminal, host the NES host.
func line(set ...string) func(*world) { return func(w *world) { w.sim(w.terminal, set...) } }
func host(set ...string) func(*world) { return func(w *world) { w.sim(w.nes, set...) } }

func nbe(old, text string) func(*world) {
	return func(w *world) { w.editFile(w.terminal, nbeFile, old, text) }
}

func bluetoothProofs() map[string]proof {
	return map[string]proof{
		"nbe-config-change":       {stage: lineOnly, cause: "rssi_cutoff_close in nbe.toml is not the site's", do: nbe("rssi_cutoff_close = -70", "rssi_cutoff_close = -60")},
		"nbe-config-absent":       {stage: lineOnly, cause: "nbe.toml is deleted", do: func(w *world) { w.remove(w.terminal, nbeFile) }},
		"nbe-config-no-agent-url": {stage: lineOnly, cause: "agent_url is taken out of nbe.toml", do: nbe("agent_url", "# agent_url")},
		"nbe-config-invalid":      {stage: lineOnly, cause: "rssi_tap_threshold = 42 in nbe.toml", do: nbe("rssi_tap_threshold = -42", "rssi_tap_threshold = 42")},
		"ble-tap-disabled":        {stage: lineOnly, cause: "rssi_tap_threshold = 0 in nbe.toml", do: nbe("rssi_tap_threshold = -42", "rssi_tap_threshold = 0")},
		"ble-tap-adapter-fault":   {stage: lineOnly, cause: "the adapter has a problem code", do: line("adapter", "stuck")},
		"nbe-not-installed": {
			stage: lineOnly, cause: "the service is not installed", do: line("service", endpoint, "missing"),
			params: func(*world) map[string]string { return map[string]string{"package": "nymi-runtime"} },
		},
		"nbe-missing":         {stage: lineOnly, cause: "the endpoint is stopped", do: line("service", endpoint, "stopped")},
		"lock-nbe-missing":    {stage: lineOnly, cause: "the endpoint is stopped", do: line("service", endpoint, "stopped"), as: "nbe-missing"},
		"ble-adapter-missing": {stage: lineOnly, cause: "the adapter is pulled out", do: line("adapter", "absent"), mend: line("adapter", "present")},
	}
}

const nymiAgent = "Nymi Agent"

func terminalProofs() map[string]proof {
	return map[string]proof{
		"nymi-agent-missing":         {stage: lineOnly, cause: "the Nymi Agent is stopped", do: line("service", nymiAgent, "stopped")},
		"lock-disconnect-from-agent": {stage: lineOnly, cause: "the Nymi Agent is stopped", do: line("service", nymiAgent, "stopped"), as: "nymi-agent-missing"},
		"nba-nes-url-wrong":          {stage: both, cause: "the registry has another address", do: line("nes-url", "https://nes.elsewhere.example/nes/")},
		"lock-usb-suspend":           {stage: lineOnly, cause: "USB selective suspend is on", do: line("usb-suspend", "on")},
		"lock-domain-mismatch": {
			stage: both, cause: "the terminal is in another domain than the NES host", do: line("domain", "elsewhere.example"), mend: line("domain", "example"),
		},
		"nba-nes-network-down": {
			stage: both, cause: "the NES host takes no connections from the terminal", do: (*world).cutOff, mend: (*world).reconnect,
		},
		"lock-nes-unreachable": {
			stage: both, cause: "the NES host takes no connections from the terminal", do: (*world).cutOff, mend: (*world).reconnect, as: "nba-nes-network-down",
		},
		"console-untrusted-https": {stage: both, cause: "the site's root is not among the terminal's", do: (*world).distrust},
		"nba-nes-tls-untrusted":   {stage: both, cause: "the site's root is not among the terminal's", do: (*world).distrust, as: "console-untrusted-https"},
		"console-trust-relationship": {
			stage: both, cause: "the NES host's certificate has ended", do: host("certificate", "valid-for=-24h"), params: (*world).successor,
		},
	}
}

func webProofs() map[string]proof {
	return map[string]proof{
		"console-iis-stopped": {stage: nesOnly, at: "nes", cause: "W3SVC is stopped", do: host("service", webServer, "stopped")},
		"console-404-auth-url": {
			stage: nesOnly, at: "nes", cause: "web.config names a path that is not there", do: (*world).wrongAuthURL, params: (*world).rightAuthURL,
		},
		"console-404-tls-expired": {
			stage: nesOnly, at: "nes", cause: "the certificate of the authentication service has ended", do: (*world).expireAuth, params: (*world).successor,
		},
		"console-no-https-binding": {stage: nesOnly, at: "nes", cause: "the https binding has no certificate", do: host("bind", "none"), params: (*world).bound},
		"console-500-19": {
			stage: nesOnly, at: "nes", cause: "the console answers 500.19", do: (*world).breakConfig, mend: (*world).mendConfig,
		},
		"enroll-service-status": {
			stage: nesOnly, at: "nes", cause: "the enrolment service answers 503", do: host("answer", "/nenrollment/", "503"), mend: host("answer", "/nenrollment/", "none"),
		},
		"console-ldap-unavailable": {
			stage: nesOnly, at: "nes", cause: "the directory's server takes no connections", do: func(w *world) { w.knownHost("ad") },
			mend: func(w *world) { w.hall.fleet.mustCtl("site", "set", w.site, "--no-known-hosts") },
		},
		"nes-install-apppool-localservice": {
			stage: nesOnly, at: "nes", cause: "the pool of NES runs as LocalService", do: host("pool-identity", "NES", "LocalService"),
		},
	}
}

func deploymentProofs() map[string]proof {
	return map[string]proof{
		"nes-slow-after-iis-removal": {stage: nesOnly, at: "nes", cause: "Windows waits for a restart", do: host("reboot-pending", "yes")},
		"nes-prereq-iis-components":  {stage: nesOnly, at: "nes", cause: "ISAPI filters are not installed", do: host("feature", "IIS-ISAPIFilter", "absent")},
		"ndes-csp-wrong": {
			stage: nesOnly, at: "nes", cause: "the authority has another provider", do: host("ca-provider", "other"), mend: host("ca-provider", "ok"),
		},
		"ndes-ca-unreachable": {stage: nesOnly, at: "nes", cause: "CertSvc is stopped", do: host("service", certService, "stopped")},
		"ca-revocation-offline": {
			stage: nesOnly, at: "nes", cause: "the folder of the lists requires TLS", do: host("ssl-flags", "Default Web Site/crl", "Ssl"),
		},
		"sql-error-26": {
			stage: nesOnly, at: "nes", cause: "the host is a domain controller", do: host("domain-role", "5"), mend: host("domain-role", "3"),
		},
	}
}

func certificateProofs() map[string]proof {
	return map[string]proof{
		"cert-tls-check": {
			stage: nesOnly, at: "nes", cause: "the certificate ends in 21 days", do: host("certificate", "valid-for=21d"), mend: host("certificate", "valid-for=365d"),
		},
		"cert-root-replace": {stage: both, cause: "the terminal lacks a newly approved root", do: (*world).approveRoot},
		"cert-tls-replace": {
			stage: nesOnly, at: "nes", cause: "the certificate has ended", do: host("certificate", "valid-for=-24h"), params: (*world).successor,
		},
		"cert-l2-expiry": {
			stage: nesOnly, at: "nes", cause: "the L2 certificate ends in 21 days", do: host("ca-certificate", "valid-for=21d"), mend: host("ca-certificate", "valid-for=365d"),
		},
	}
}
