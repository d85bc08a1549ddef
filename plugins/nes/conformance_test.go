package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestVerboseLoggingConforms(t *testing.T) {
	on := params("state", "on", "ttl", "2h")
	ours := lease(neshost.Names()...)
	conforms(t, verboseLogging{}, map[string]sdktest.Case{
		"on":                     {Machine: nesHost(), Params: on, Verdict: ready},
		"on, one service":        {Machine: nesHost(), Params: params("state", "on", "ttl", "2h", "services", "nenrollment"), Verdict: ready},
		"on, recycling":          {Machine: nesHost(), Params: params("state", "on", "ttl", "2h", "restart", "recycle"), Verdict: ready},
		"on, no restart":         {Machine: nesHost(), Params: params("state", "on", "ttl", "2h", "restart", "none", "level", "Error"), Verdict: ready},
		"on, server unreachable": {Machine: nesHost(unknownToServer), Params: on, Verdict: ready},
		"set":                    {Machine: nesHost(), Params: params("state", "set", "level", "Warning", "ttl", "5m"), Verdict: ready},
		"on already, leased":     {Machine: nesHost(allVerbose(ours)), Params: on, Verdict: noChange},
		"on already, by hand":    {Machine: nesHost(allVerbose(nil)), Params: on, Verdict: noChange},
		"other level leased":     {Machine: nesHost(allVerbose(ours)), Params: params("state", "set", "level", "Error", "ttl", "2h"), Verdict: refused},
		"off":                    {Machine: nesHost(allVerbose(ours)), Params: params("state", "off"), Verdict: ready},
		"off, never on":          {Machine: nesHost(), Params: params("state", "off"), Verdict: noChange},
		"off, on by hand":        {Machine: nesHost(allVerbose(nil)), Params: params("state", "off"), Verdict: refused},
		"off, ended lease": {Params: params("state", "off"), Verdict: noChange, Machine: nesHost(func(m *sdktest.Machine) {
			ended := lease("nes")
			ended.Ended = true
			m.Leases = append(m.Leases, ended)
		})},
		"numbers":        {Machine: nesHost(configIs("nes/web.config", config("Global", "4", "Authentication", "Error"))), Params: on, Verdict: refused},
		"no such level":  {Machine: nesHost(configIs("nes/web.config", config("Global", "Loud", "Authentication", "Error"))), Params: on, Verdict: refused},
		"missing switch": {Machine: nesHost(configIs("nenrollment/web.config", config("Global", "Error", "Authentication", "Error"))), Params: on, Verdict: refused},
		"missing file":   {Machine: nesHost(configIs("nes/web.config", nil)), Params: on, Verdict: refused},
		"malformed": {Machine: nesHost(configIs("nes/web.config", &actionv1.ConfigState{Exists: true, Malformed: "line 12: element <switches> is not closed"})),
			Params: on, Verdict: refused},
		"web server down":  {Machine: nesHost(stop(neshost.WebService)), Params: on, Verdict: refused},
		"no web server":    {Machine: nesHost(noWebServer), Params: on, Verdict: refused},
		"another instance": {Machine: nesHost(), Params: params("state", "on", "ttl", "2h", "instance", "quality"), Verdict: refused},
		"this instance":    {Machine: nesHost(), Params: params("state", "on", "ttl", "2h", "instance", "Plant"), Verdict: ready},
		"two instances":    {Machine: nesHost(secondInstance), Params: on, Verdict: refused},
		"one of two":       {Machine: nesHost(secondInstance), Params: params("state", "on", "ttl", "2h", "instance", "plant"), Verdict: ready},
	})
}

func secondInstance(m *sdktest.Machine) {
	m.IIS.Applications = append(m.IIS.Applications, application("/quality", `quality\nes`))
}

func TestIISRestartConforms(t *testing.T) {
	both := []string{neshost.WebService, neshost.ActivationService}
	restart := params("mode", "restart")
	conforms(t, iisRestart{}, map[string]sdktest.Case{
		"runs":                    {Machine: nesHost(), Verdict: noChange},
		"restart":                 {Machine: nesHost(), Params: restart, Verdict: ready},
		"restart, down":           {Machine: nesHost(stop(both...)), Params: restart, Verdict: ready},
		"down":                    {Machine: nesHost(stop(both...)), Verdict: ready},
		"web down":                {Machine: nesHost(stop(neshost.WebService)), Verdict: ready},
		"pool stopped":            {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.Pools[0].Started = false }), Verdict: ready},
		"site stopped":            {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.Sites[0].Started = false }), Verdict: ready},
		"other pool stopped":      {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.Pools[1].Started = false }), Verdict: noChange},
		"recycle":                 {Machine: nesHost(), Params: params("mode", "recycle"), Verdict: ready},
		"recycle one":             {Machine: nesHost(), Params: params("mode", "recycle", "pool", "Plant_Pool"), Verdict: ready},
		"recycle other":           {Machine: nesHost(), Params: params("mode", "recycle", "pool", "other"), Verdict: refused},
		"recycle what is stopped": {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.Pools[0].Started = false }), Params: params("mode", "recycle"), Verdict: refused},
		"recycle, down":           {Machine: nesHost(stop(both...)), Params: params("mode", "recycle"), Verdict: refused},
		"restart a pool":          {Machine: nesHost(), Params: params("mode", "restart", "pool", "plant_pool"), Verdict: refused},
		"disabled":                {Machine: nesHost(stop(both...), disable(neshost.WebService)), Verdict: refused},
		"not installed":           {Machine: nesHost(uninstall(both...)), Verdict: refused},
	})
}

func TestNESAuthURLSetConforms(t *testing.T) {
	const old = "https://old.example/plant_AS/"
	has := func(url string) func(*sdktest.Machine) { return configIs("nes/web.config", config(authURLKey, url)) }
	to := params("url", authURL)
	conforms(t, nesAuthURLSet{}, map[string]sdktest.Case{
		"another":        {Machine: nesHost(has(old)), Params: to, Verdict: ready},
		"same":           {Machine: nesHost(has(authURL)), Params: to, Verdict: noChange},
		"asks who it is": {Machine: nesHost(has(old), probeIs("nes-lyon-1.example:443", answers(401))), Params: to, Verdict: ready},
		"not found":      {Machine: nesHost(has(old), probeIs("nes-lyon-1.example:443", answers(404))), Params: to, Verdict: refused},
		"broken":         {Machine: nesHost(has(old), probeIs("nes-lyon-1.example:443", answers(503))), Params: to, Verdict: refused},
		"not trusted": {Machine: nesHost(has(old), probeIs("nes-lyon-1.example:443", &actionv1.NetProbeResult{
			Addresses: []string{"192.0.2.9"}, Connected: true, Handshake: true, TrustProblem: "certificate has expired", HttpStatus: 200})), Params: to, Verdict: refused},
		"unreachable":   {Machine: nesHost(has(old), probeIs("nes-lyon-1.example:443", nil)), Params: to, Verdict: refused},
		"unknown host":  {Machine: nesHost(has(old)), Params: params("url", "https://elsewhere.example/plant_AS/"), Verdict: refused},
		"no setting":    {Machine: nesHost(configIs("nes/web.config", config())), Params: to, Verdict: refused},
		"no file":       {Machine: nesHost(configIs("nes/web.config", nil)), Params: to, Verdict: refused},
		"malformed":     {Machine: nesHost(configIs("nes/web.config", &actionv1.ConfigState{Exists: true, Malformed: "line 3: no end tag"})), Params: to, Verdict: refused},
		"no web server": {Machine: nesHost(noWebServer), Params: to, Verdict: refused},
	})
}

func TestCRLHTTPAllowConforms(t *testing.T) {
	conforms(t, crlHTTPAllow{}, map[string]sdktest.Case{
		"folder":        {Machine: nesHost(), Verdict: ready},
		"site":          {Machine: nesHost(), Params: params("scope", "site"), Verdict: ready},
		"allowed":       {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.SslFlags[neshost.DefaultSite+"/crl"] = "None" }), Verdict: noChange},
		"no folder":     {Machine: nesHost(func(m *sdktest.Machine) { delete(m.IIS.SslFlags, neshost.DefaultSite+"/crl") }), Verdict: refused},
		"no web server": {Machine: nesHost(noWebServer), Verdict: refused},
	})
}

func TestWindowsFeatureEnsureConforms(t *testing.T) {
	conforms(t, windowsFeatureEnsure{}, map[string]sdktest.Case{
		"all":     {Machine: nesHost(), Verdict: ready},
		"one":     {Machine: nesHost(), Params: params("features", "Web-ISAPI-Ext", "source", `D:\sources\sxs`), Verdict: ready},
		"there":   {Machine: nesHost(), Params: params("features", "Web-ISAPI-Filter"), Verdict: noChange},
		"unknown": {Machine: nesHost(func(m *sdktest.Machine) { m.Features = nil }), Verdict: refused},
		"waits for a restart": {Verdict: ready, Machine: nesHost(func(m *sdktest.Machine) {
			m.Machine = &actionv1.MachineState{RebootPending: true, RebootReasons: []string{"component based servicing"}}
		})},
	})
}

func TestADCSStartConforms(t *testing.T) {
	conforms(t, adcsStart{}, map[string]sdktest.Case{
		"runs":          {Machine: nesHost(), Verdict: noChange},
		"stopped":       {Machine: nesHost(stop(neshost.CertificateService)), Verdict: ready},
		"disabled":      {Machine: nesHost(stop(neshost.CertificateService), disable(neshost.CertificateService)), Verdict: refused},
		"not installed": {Machine: nesHost(uninstall(neshost.CertificateService)), Verdict: refused},
		"on its way": {Verdict: refused, Machine: nesHost(func(m *sdktest.Machine) {
			m.Services[neshost.CertificateService].Status = actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
		})},
	})
}

func TestAppPoolIdentitySetConforms(t *testing.T) {
	to := func(pool, identity string) map[string]string { return params("pool", pool, "identity", identity) }
	conforms(t, appPoolIdentitySet{}, map[string]sdktest.Case{
		"another":      {Machine: nesHost(), Params: to("plant_pool", "LocalSystem"), Verdict: ready},
		"any case":     {Machine: nesHost(), Params: to("PLANT_pool", "NetworkService"), Verdict: ready},
		"same":         {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.Pools[0].Identity = "NetworkService" }), Params: to("plant_pool", "NetworkService"), Verdict: noChange},
		"stopped":      {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.Pools[0].Started = false }), Params: to("plant_pool", "NetworkService"), Verdict: ready},
		"foreign pool": {Machine: nesHost(), Params: to("other", "NetworkService"), Verdict: refused},
		"no pool":      {Machine: nesHost(), Params: to("absent", "NetworkService"), Verdict: refused},
		"unlisted":     {Machine: nesHost(func(m *sdktest.Machine) { m.IIS.Pools = nil }), Params: to("plant_pool", "NetworkService"), Verdict: refused},
		"no IIS":       {Machine: nesHost(noWebServer), Params: to("plant_pool", "NetworkService"), Verdict: refused},
	})
}
