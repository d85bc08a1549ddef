package main

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// The test binary is the plugin when it has the plugin's name.
func TestMain(m *testing.M) {
	if runnertest.IsProgram("support") {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const nesURL = "https://nes-lyon-1.example/plant/"

func service(name string) *actionv1.ServiceState {
	return &actionv1.ServiceState{Service: name, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: 900}
}

func config(values ...string) *actionv1.ConfigState {
	c := &actionv1.ConfigState{Exists: true}
	for i := 0; i < len(values); i += 2 {
		c.Values = append(c.Values, &actionv1.ConfigValue{Key: values[i], Value: values[i+1], Line: uint32(i/2 + 1)})
	}
	return c
}

// certificate makes one that is valid around the beginning of a bubble's time (2000) and for this many days.
func certificate(name string, days int) *actionv1.Certificate {
	begin := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	end := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, days)
	return &actionv1.Certificate{
		Sha256: name, Sha1: "sha1-" + name, Subject: "CN=" + name, Issuer: "CN=root", HasPrivateKey: true,
		NotBefore: timestamppb.New(begin), NotAfter: timestamppb.New(end),
	}
}

func answers(status uint32) *actionv1.NetProbeResult {
	return &actionv1.NetProbeResult{
		Addresses: []string{"192.0.2.9"}, Connected: true, Handshake: true, Trusted: true, HttpStatus: status,
		Chain: []*actionv1.Certificate{certificate("tls", 300)},
	}
}

func surroundings() *actionv1.Surroundings {
	return &actionv1.Surroundings{
		NesHosts:      []*actionv1.NESHost{{Host: "nes-lyon-1", Url: nesURL, Used: true, Self: true}},
		ApprovedRoots: []*actionv1.ApprovedRoot{{Name: "lyon-root", Sha256: "root"}},
		NbeProfile:    map[string]string{keyTap: "-42"},
		KnownHosts: []*actionv1.KnownHost{
			{Label: "ad", Address: "dc1.lyon.example:389"}, {Label: "ad", Address: "dc1.lyon.example:636"}, {Label: "sql", Address: "sql1.lyon.example:1433"},
		},
	}
}

// machine makes a machine on which all is well, as terminal and as NES host at once, after it was changed.
func machine(changes ...func(*sdktest.Machine)) func() *sdktest.Machine {
	return func() *sdktest.Machine {
		m := &sdktest.Machine{
			Services: map[string]*actionv1.ServiceState{},
			Devices:  map[string][]*actionv1.Device{bleservice.AdapterVendor + ":" + bleservice.AdapterProduct: {{Name: "Bluegiga (COM3)", Port: "COM3"}}},
			Files:    map[string]string{"endpoint/nbe.toml": `agent_url = "ws://127.0.0.1:9120/socket/websocket"`},
			Open:     map[string]bool{"127.0.0.1:9120": true},
			AgentURL: "127.0.0.1:9120",
			Host:     &actionv1.HostState{Hostname: "press-4", Os: "windows", OsVersion: "10.0.19045", Addresses: []string{"192.0.2.4"}},
			Model:    model(),
		}
		for _, name := range []string{bleservice.Endpoint, bleservice.NymiAgent, neshost.WebService, neshost.ActivationService, neshost.CertificateService} {
			m.Services[name] = service(name)
		}
		for _, change := range changes {
			change(m)
		}
		return m
	}
}

func model() sdktest.Model {
	role, readers := uint32(3), uint32(1)
	m := sdktest.Model{
		Configs: map[string]*actionv1.ConfigState{
			"endpoint/nbe.toml":                config(keyAgentURL, `"ws://127.0.0.1:9120/socket/websocket"`, keyTap, "-42"),
			"nes/web.config":                   config("Global", "Information", "AuthenticationService", "https://nes-lyon-1.example/plant_AS/"),
			"nenrollment/web.config":           config("Global", "Information"),
			"authenticationservice/web.config": config("Global", "Information"),
		},
		Registry: map[string]string{nesKey + `\` + nesValue: nesURL},
		Stores: map[string][]*actionv1.Certificate{
			"Root": {certificate("root", 900)}, "WebHosting": {certificate("tls", 300)},
		},
		Bindings: []*actionv1.Binding{{Site: neshost.DefaultSite, Address: "*", Port: 443, CertificateSha256: "tls", Store: "WebHosting", Exists: true}},
		IIS: &actionv1.IISInventory{
			Installed: true, Sites: []*actionv1.IISSite{{Name: neshost.DefaultSite, Started: true}},
			Pools:    []*actionv1.IISPool{{Name: "plant", Started: true, Identity: "LocalSystem"}},
			SslFlags: map[string]string{crlLocation: "None"},
		},
		Power:    map[string]*actionv1.PowerState{usbSuspend: {}},
		Features: map[string]*actionv1.Feature{},
		Net: map[string]*actionv1.NetProbeResult{
			"nes-lyon-1.example:443": answers(200),
			"dc1.lyon.example:389":   {Addresses: []string{"192.0.2.20"}, Connected: true},
			"dc1.lyon.example:636":   answers(0),
			"sql1.lyon.example:1433": {Addresses: []string{"192.0.2.21"}, Connected: true},
			"localhost:80":           {Addresses: []string{"127.0.0.1"}, Connected: true, HttpStatus: 200},
		},
		Machine: &actionv1.MachineState{
			Domain: "lyon.example", DomainRole: &role, NfcReaders: &readers, FreeBytes: 50 << 30, DotnetRelease: 533320, ClockOffset: durationpb.New(time.Second),
		},
		Site: surroundings(),
	}
	for _, name := range neshost.AllFeatureIDs() {
		m.Features[name] = &actionv1.Feature{Name: name, Known: true, Installed: true}
	}
	for _, a := range [][2]string{{"/plant", "nes"}, {"/plant_ES", "nenrollment"}, {"/plant_AS", "authenticationservice"}} {
		m.IIS.Applications = append(m.IIS.Applications, &actionv1.IISApplication{
			Site: neshost.DefaultSite, Path: a[0], Pool: "plant", Folder: `C:\inetpub\wwwroot\plant\` + a[1]})
	}
	return m
}
