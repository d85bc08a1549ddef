package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// The test binary is the plugin when it has the plugin's name.
func TestMain(m *testing.M) {
	if runnertest.IsProgram("nes") {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const (
	hostURL = "https://nes-lyon-1.example/plant/"
	authURL = "https://nes-lyon-1.example/plant_AS/"
)

func service(name string) *actionv1.ServiceState {
	return &actionv1.ServiceState{Service: name, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: 900}
}

func config(values ...string) *actionv1.ConfigState {
	c := &actionv1.ConfigState{Exists: true, Sha256: "aa"}
	for i := 0; i < len(values); i += 2 {
		c.Values = append(c.Values, &actionv1.ConfigValue{Key: values[i], Value: values[i+1], Line: uint32(i + 1)})
	}
	return c
}

func answers(status uint32) *actionv1.NetProbeResult {
	return &actionv1.NetProbeResult{Addresses: []string{"192.0.2.9"}, Connected: true, Handshake: true, Trusted: true, HttpStatus: status}
}

func application(path, folder string) *actionv1.IISApplication {
	return &actionv1.IISApplication{Site: neshost.DefaultSite, Path: path, Pool: "plant_pool", Folder: `C:\inetpub\wwwroot\` + folder}
}

// nesHost makes a healthy NES host after it was changed.
func nesHost(changes ...func(*sdktest.Machine)) func() *sdktest.Machine {
	return func() *sdktest.Machine {
		m := &sdktest.Machine{
			Services: map[string]*actionv1.ServiceState{
				neshost.WebService: service(neshost.WebService), neshost.ActivationService: service(neshost.ActivationService),
				neshost.CertificateService: service(neshost.CertificateService),
			},
			Host: &actionv1.HostState{Hostname: "nes-lyon-1"},
			Model: sdktest.Model{
				Configs: map[string]*actionv1.ConfigState{
					"nes/web.config":                   config("Global", "Information", "Authentication", "Warning", authURLKey, "Information"),
					"nenrollment/web.config":           config("Global", "Information", "Authentication", "Information", "CertificateEnrollment", "Error"),
					"authenticationservice/web.config": config("Global", "Information", "Authentication", "Information"),
				},
				IIS: &actionv1.IISInventory{
					Installed: true,
					Sites:     []*actionv1.IISSite{{Name: neshost.DefaultSite, Started: true}},
					Pools: []*actionv1.IISPool{
						{Name: "plant_pool", Started: true, Identity: "LocalService"}, {Name: "other", Started: true, Identity: "LocalService"},
					},
					Applications: []*actionv1.IISApplication{
						application("/plant", `plant\nes`), application("/plant_ES", `plant\nenrollment`), application("/plant_AS", `plant\AuthenticationService`),
						{Site: neshost.DefaultSite, Path: "/other", Pool: "other", Folder: `C:\second`},
					},
					SslFlags: map[string]string{neshost.DefaultSite: "Ssl", neshost.DefaultSite + "/crl": "Ssl,SslNegotiateCert"},
				},
				Net: map[string]*actionv1.NetProbeResult{
					"nes-lyon-1.example:443": answers(200),
					"localhost:80":           {Addresses: []string{"127.0.0.1"}, Connected: true, HttpStatus: 200},
				},
				Site: &actionv1.Surroundings{NesHosts: []*actionv1.NESHost{{Host: "nes-lyon-1", Url: hostURL, Self: true, Users: 12}}},
				Features: map[string]*actionv1.Feature{
					"NetFx4Extended-ASPNET45": {Name: "NetFx4Extended-ASPNET45", Known: true, Installed: true},
					"IIS-ASPNET45":            {Name: "IIS-ASPNET45", Known: true},
					"IIS-ISAPIExtensions":     {Name: "IIS-ISAPIExtensions", Known: true},
					"IIS-ISAPIFilter":         {Name: "IIS-ISAPIFilter", Known: true, Installed: true},
				},
			},
		}
		for _, change := range changes {
			change(m)
		}
		return m
	}
}

func stop(services ...string) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) {
		for _, name := range services {
			m.Services[name].Status, m.Services[name].Pid = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, 0
		}
	}
}

func uninstall(services ...string) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) {
		for _, name := range services {
			delete(m.Services, name)
		}
	}
}

func disable(name string) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) { m.Services[name].Disabled = true }
}

func configIs(file string, c *actionv1.ConfigState) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) {
		if c == nil {
			delete(m.Configs, file)
			return
		}
		m.Configs[file] = c
	}
}

func probeIs(address string, p *actionv1.NetProbeResult) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) { m.Net[address] = p }
}

func noWebServer(m *sdktest.Machine) { m.IIS = nil }

func unknownToServer(m *sdktest.Machine) { m.Site = nil }

// allVerbose is a host whose levels are all Verbose, and with what lease.
func allVerbose(lease *actionv1.LeaseState) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) {
		for _, c := range m.Configs {
			for _, v := range c.GetValues() {
				v.Value = "verbose"
			}
		}
		if lease != nil {
			m.Leases = append(m.Leases, lease)
		}
	}
}

func lease(files ...string) *actionv1.LeaseState {
	l := &actionv1.LeaseState{Id: "l-1", Job: "j-1", Until: &timestamppb.Timestamp{Seconds: 1_800_000_000}}
	for _, f := range files {
		l.Resources = append(l.Resources, `file "`+f+`/web.config"`)
	}
	return l
}

func params(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func conforms(t *testing.T, a sdk.Action, cases map[string]sdktest.Case) {
	t.Helper()
	sdktest.Conformance(t, func() sdk.Action { return a }, cases)
}
