package detect

import (
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// view is what a reader goes by.
type view struct {
	cfg Config
	// site is what the server expects of the machine.
	site *actionv1.Surroundings
}

// nesRole is the role of a machine that is an NES host.
const nesRole = string(catalogue.NESHost)

// readersOf are those of the machine's role.
func readersOf(c Config) []*reader {
	all := readersOfEach()
	if c.Role == nesRole {
		return append(all, readersOfNES()...)
	}
	return append(all, readersOfTerminal()...)
}

// readersOfEach are those that every machine has.
func readersOfEach() []*reader {
	return []*reader{
		{name: "machine", signals: []string{"pending-reboot", "clock", "disk"}, cost: middling, read: readMachine},
		{name: "agent's certificate", signals: []string{"agent-certificate"}, cost: middling, read: readOwnCertificate},
		{name: "way to NES", signals: []string{"nes-path"}, cost: probing, read: readNESPath},
		{name: "roots", signals: []string{"root-certificate"}, cost: expensive, read: readRoots},
	}
}

// readersOfTerminal are those of a user terminal. Each has a cache of files of its own, so that one that hangs keeps no other one waiting.
func readersOfTerminal() []*reader {
	return []*reader{
		{name: "endpoint", signals: []string{"endpoint-service"}, cost: watched, service: endpointService, read: readService("endpoint-service", endpointService)},
		{name: "nymi agent", signals: []string{"nymi-agent-service"}, cost: watched, service: agentService, read: new(nbeCache).readAgentService},
		{name: "adapter", signals: []string{"adapter"}, cost: cheap, read: readAdapter},
		{name: "nbe.toml", signals: []string{"nbe-config", "nbe-agent-url", "nbe-tap", "nbe-drift"}, cost: cheap, read: new(nbeCache).readConfig},
		{name: "port of the nymi agent", signals: []string{"nymi-agent-port"}, cost: probing, read: new(nbeCache).readAgentPort},
		{name: "nes url", signals: []string{"nes-url"}, cost: cheap, read: readNESURL},
		{name: "power", signals: []string{"usb-suspend"}, cost: middling, read: readUSBSuspend},
		{name: "domain and system", signals: []string{"domain", "windows-7"}, cost: middling, read: readDomain},
	}
}

// readersOfNES are those of an NES host.
func readersOfNES() []*reader {
	return []*reader{
		{name: "web service", signals: []string{"iis-service"}, cost: watched, service: webService, read: readService("iis-service", webService)},
		{name: "ca service", signals: []string{"ca-service"}, cost: watched, service: caService, read: readService("ca-service", caService)},
		{name: "web server", signals: []string{"iis-site", "app-pool", "app-pool-identity", "https-binding", "tls-certificate"}, cost: web, read: readWeb},
		{name: "ca", signals: []string{"ca-provider"}, cost: middling, read: readProvider},
		{name: "revocation lists", signals: []string{"crl"}, cost: probing, read: readRevocation},
		{name: "ca certificates", signals: []string{"ca-certificate"}, cost: expensive, read: readAuthorities},
		{name: "console's configuration", signals: []string{"auth-url"}, cost: web, read: readAuthURL},
		{name: "log levels", signals: []string{"verbose-logging"}, cost: web, read: readLogLevels},
		{name: "applications", signals: []string{"enrollment-service", "console"}, cost: probing, read: new(ownApplications).read},
		{name: "features", signals: []string{"windows-features"}, cost: rare, read: readFeatures},
		{name: "role and framework", signals: []string{"dotnet", "domain-controller"}, cost: expensive, read: readServerFacts},
		{name: "directory", signals: []string{"directory"}, cost: probing, read: readLabelled("directory", "ad")},
		{name: "database", signals: []string{"sql-server"}, cost: probing, read: readLabelled("sql-server", "sql")},
	}
}
