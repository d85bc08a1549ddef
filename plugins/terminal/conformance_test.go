package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	ready    = actionv1.PlanVerdict_PLAN_VERDICT_READY
	noChange = actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE
	refused  = actionv1.PlanVerdict_PLAN_VERDICT_REFUSED
)

const (
	localURL   = `"ws://127.0.0.1:9120/socket/websocket"`
	centralURL = "wss://agent.lyon.example:9120/socket/websocket"
	nesURL     = "https://nes-lyon-1.example/nes/"
	kept       = "nbe.toml.aaaaaaaaaaaa.bak"
)

// config is a configuration file with these keys and values in turn.
func config(sha256 string, pairs ...string) *actionv1.ConfigState {
	c := &actionv1.ConfigState{Sha256: sha256}
	for i := 0; i < len(pairs); i += 2 {
		c.Values = append(c.Values, &actionv1.ConfigValue{Key: pairs[i], Value: pairs[i+1], Line: uint32(i/2 + 1)})
	}
	return c
}

// machine is a healthy terminal after it was changed.
func machine(changes ...func(*sdktest.Machine)) func() *sdktest.Machine {
	return func() *sdktest.Machine {
		m := healthy()
		for _, change := range changes {
			change(m)
		}
		return m
	}
}

func healthy() *sdktest.Machine {
	running := func(service string, pid uint32) *actionv1.ServiceState {
		return &actionv1.ServiceState{Service: service, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: pid}
	}
	return &sdktest.Machine{
		Services: map[string]*actionv1.ServiceState{
			bleservice.Endpoint: running(bleservice.Endpoint, 41), bleservice.NymiAgent: running(bleservice.NymiAgent, 42),
		},
		Devices:  map[string][]*actionv1.Device{bleservice.AdapterVendor + ":" + bleservice.AdapterProduct: {adapter()}},
		Files:    map[string]string{"endpoint/nbe.toml": "agent_url = " + localURL},
		Open:     map[string]bool{"127.0.0.1:9120": true},
		AgentURL: "127.0.0.1:9120",
		Host:     &actionv1.HostState{Hostname: "press-4", Os: "windows", OsVersion: "10.0.19045", BootId: "boot-1"},
		Model: sdktest.Model{
			Configs: map[string]*actionv1.ConfigState{
				"endpoint/nbe.toml":         config("0123456789abcdef", keyAgentURL, localURL, keyTapThreshold, "0", keyCutoffClose, "-70", keyCutoffFar, "-75"),
				"endpoint/nbe.default.toml": config("dddddddddddddddd", keyAgentURL, localURL, keyWindowTap, "10", keyTapThreshold, "0", keyCutoffClose, "-70", keyCutoffFar, "-75"),
				"endpoint/" + kept:          config("aaaaaaaaaaaaaaaa", keyAgentURL, localURL, keyTapThreshold, "-50"),
			},
			Power:    map[string]*actionv1.PowerState{usbSuspend: {Ac: 1, Dc: 1}},
			Registry: map[string]string{nesKey + `\` + nesValue: "https://old.example/nes/"},
			Machine:  &actionv1.MachineState{FreeBytes: 50 << 30},
			Site: &actionv1.Surroundings{
				NesHosts:   []*actionv1.NESHost{{Host: "nes-lyon-1.example", Url: nesURL, Used: true}},
				NbeProfile: map[string]string{keyTapThreshold: "-42", keyCutoffFar: "-80"},
			},
			Net: map[string]*actionv1.NetProbeResult{
				"nes-lyon-1.example:443":  {Connected: true, Handshake: true, Trusted: true, HttpStatus: 200},
				"agent.lyon.example:9120": {Connected: true},
			},
			Programs: map[string]*actionv1.ProgramState{
				"nymi-runtime": {Known: true, Exists: true, Approved: true, Path: `C:\Packages\setup.exe`, Sha256: "11"},
			},
		},
	}
}

func adapter() *actionv1.Device {
	return &actionv1.Device{Instance: `USB\VID_2458&PID_0001\1`, Name: "Bluegiga Bluetooth Low Energy (COM3)", Port: "COM3", Class: "Ports"}
}

func central(m *sdktest.Machine) {
	m.Site.CentralAgent, m.Site.CentralAgentUrl = true, centralURL
}

// atCentral has nbe.toml name the central Nymi Agent.
func atCentral(m *sdktest.Machine) {
	central(m)
	m.Configs["endpoint/nbe.toml"].Values[0].Value = `"` + centralURL + `"`
	m.Files["endpoint/nbe.toml"] = `agent_url = "` + centralURL + `"`
	m.Open["agent.lyon.example:9120"], m.AgentURL = true, "agent.lyon.example:9120"
}

func noFile(m *sdktest.Machine) {
	delete(m.Configs, "endpoint/nbe.toml")
	delete(m.Files, "endpoint/nbe.toml")
}

func broken(m *sdktest.Machine) {
	m.Configs["endpoint/nbe.toml"] = &actionv1.ConfigState{Sha256: "bad0bad0bad0bad0", Malformed: "line 3: a curly quote"}
}

// huge is an nbe.toml that is too large to be read.
func huge(m *sdktest.Machine) {
	m.Configs["endpoint/nbe.toml"] = &actionv1.ConfigState{Malformed: "is larger than 1048576 bytes, which no such file should be"}
}

func noTemplate(m *sdktest.Machine) { delete(m.Configs, "endpoint/nbe.default.toml") }

func keptAlready(m *sdktest.Machine) {
	m.Configs["endpoint/nbe.toml.0123456789ab.bak"] = config("0123456789abcdef")
}

func stopped(m *sdktest.Machine) {
	s := m.Services[bleservice.Endpoint]
	s.Status, s.Pid = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, 0
}

func missing(m *sdktest.Machine) { delete(m.Services, bleservice.Endpoint) }

func disabled(m *sdktest.Machine) { m.Services[bleservice.Endpoint].Disabled = true }

func values(pairs ...string) map[string]string {
	p := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i]] = pairs[i+1]
	}
	return p
}

func TestNBEConfigSetConforms(t *testing.T) {
	tap := values(keyTapThreshold, "-42")
	sdktest.Conformance(t, func() sdk.Action { return nbeConfigSet{} }, map[string]sdktest.Case{
		"one key":                  {Machine: machine(), Verdict: ready, Params: tap},
		"a new key":                {Machine: machine(), Verdict: ready, Params: values(keyWindowLong, "60")},
		"every key":                {Machine: machine(), Verdict: ready, Params: values(keyTapThreshold, "-42", keyWindowTap, "8", keyWindowLong, "60", keyCutoffClose, "-60", keyCutoffFar, "-66")},
		"has it already":           {Machine: machine(), Verdict: noChange, Params: values(keyTapThreshold, "0")},
		"no restart":               {Machine: machine(), Verdict: ready, Params: values(keyTapThreshold, "-42", "restart", "false")},
		"no backup":                {Machine: machine(), Verdict: ready, Params: values(keyTapThreshold, "-42", "backup", "false")},
		"kept already":             {Machine: machine(keptAlready), Verdict: ready, Params: tap},
		"no file":                  {Machine: machine(noFile), Verdict: ready, Params: tap},
		"no file, same values":     {Machine: machine(noFile), Verdict: ready, Params: values(keyTapThreshold, "0")},
		"no file, other template":  {Machine: machine(noFile), Verdict: ready, Params: values(keyTapThreshold, "-42", "from_template", "nbe.default.toml")},
		"no file, no template":     {Machine: machine(noFile, noTemplate), Verdict: refused, Params: tap},
		"no file, central":         {Machine: machine(noFile, central), Verdict: refused, Params: tap},
		"no template":              {Machine: machine(noTemplate), Verdict: ready, Params: tap},
		"broken file":              {Machine: machine(broken), Verdict: refused, Params: tap},
		"stopped":                  {Machine: machine(stopped), Verdict: ready, Params: tap},
		"not installed":            {Machine: machine(missing), Verdict: refused, Params: tap},
		"disabled":                 {Machine: machine(disabled), Verdict: refused, Params: tap},
		"disabled, no restart":     {Machine: machine(disabled), Verdict: ready, Params: values(keyTapThreshold, "-42", "restart", "false")},
		"nothing asked":            {Machine: machine(), Verdict: refused},
		"far above effective":      {Machine: machine(), Verdict: refused, Params: values(keyCutoffFar, "-60")},
		"far above, forced":        {Machine: machine(), Verdict: ready, Params: values(keyCutoffFar, "-60", "force", "true")},
		"close below effective":    {Machine: machine(), Verdict: refused, Params: values(keyCutoffClose, "-80")},
		"close is 0":               {Machine: machine(), Verdict: ready, Params: values(keyCutoffClose, "0", "allow_proximity_bypass", "true")},
		"url from default":         {Machine: machine(), Verdict: noChange, Params: values(keyAgentURL, urlDefault)},
		"url from default, lost":   {Machine: machine(func(m *sdktest.Machine) { m.Configs["endpoint/nbe.toml"] = config("12", keyTapThreshold, "0") }), Verdict: ready, Params: values(keyAgentURL, urlDefault)},
		"url from default, absent": {Machine: machine(noTemplate), Verdict: refused, Params: values(keyAgentURL, urlDefault)},
		"url local at central":     {Machine: machine(atCentral), Verdict: refused, Params: values(keyAgentURL, urlDefault)},
		"url of the inventory":     {Machine: machine(atCentral, func(m *sdktest.Machine) { m.Configs["endpoint/nbe.toml"].Values[0].Value = localURL }), Verdict: ready, Params: values(keyAgentURL, urlInventory)},
		"url that is not reached":  {Machine: machine(atCentral, func(m *sdktest.Machine) { m.Net = nil }), Verdict: refused, Params: values(keyAgentURL, urlInventory)},
		"url of no inventory":      {Machine: machine(), Verdict: refused, Params: values(keyAgentURL, urlInventory)},
		"central, other key":       {Machine: machine(atCentral), Verdict: ready, Params: tap},
	})
}

func TestNBEConfigResetConforms(t *testing.T) {
	source := func(name string, more ...string) map[string]string {
		return values(append([]string{"source", name}, more...)...)
	}
	sdktest.Conformance(t, func() sdk.Action { return nbeConfigReset{} }, map[string]sdktest.Case{
		"profile":                    {Machine: machine(), Verdict: ready, Params: source(fromProfile)},
		"profile, has it":            {Machine: machine(func(m *sdktest.Machine) { m.Site.NbeProfile = values(keyCutoffFar, "-75") }), Verdict: noChange, Params: source(fromProfile)},
		"profile, none":              {Machine: machine(func(m *sdktest.Machine) { m.Site.NbeProfile = nil }), Verdict: refused, Params: source(fromProfile)},
		"profile, broken file":       {Machine: machine(broken), Verdict: ready, Params: source(fromProfile)},
		"profile, no file":           {Machine: machine(noFile), Verdict: ready, Params: source(fromProfile)},
		"profile, nothing to go by":  {Machine: machine(broken, noTemplate), Verdict: refused, Params: source(fromProfile)},
		"profile, broken at central": {Machine: machine(atCentral, broken), Verdict: refused, Params: source(fromProfile)},
		"profile, broken at central, inventory": {
			Machine: machine(atCentral, broken), Verdict: ready, Params: source(fromProfile, keyAgentURL, urlInventory),
		},
		"profile, cutoffs":          {Machine: machine(func(m *sdktest.Machine) { m.Site.NbeProfile[keyCutoffFar] = "-60" }), Verdict: refused, Params: source(fromProfile)},
		"default":                   {Machine: machine(), Verdict: ready, Params: source(fromDefault)},
		"default, again":            {Machine: machine(func(m *sdktest.Machine) { m.Configs["endpoint/nbe.toml"] = m.Configs["endpoint/nbe.default.toml"] }), Verdict: noChange, Params: source(fromDefault)},
		"default, no file":          {Machine: machine(noFile), Verdict: ready, Params: source(fromDefault)},
		"default, broken file":      {Machine: machine(broken), Verdict: ready, Params: source(fromDefault)},
		"default, none":             {Machine: machine(noTemplate), Verdict: refused, Params: source(fromDefault)},
		"default, central":          {Machine: machine(atCentral), Verdict: ready, Params: source(fromDefault)},
		"default, central, no file": {Machine: machine(central, noFile), Verdict: refused, Params: source(fromDefault)},
		"default, inventory":        {Machine: machine(atCentral, noFile), Verdict: ready, Params: source(fromDefault, keyAgentURL, urlInventory, "restart", "false")},
		"default, huge file":        {Machine: machine(huge), Verdict: refused, Params: source(fromDefault)},
		"absent":                    {Machine: machine(), Verdict: ready, Params: source(fromNothing)},
		"absent already":            {Machine: machine(noFile), Verdict: noChange, Params: source(fromNothing)},
		"absent, central":           {Machine: machine(atCentral), Verdict: refused, Params: source(fromNothing)},
		"kept file":                 {Machine: machine(), Verdict: ready, Params: source(fromBackup + kept)},
		"kept file, not there":      {Machine: machine(), Verdict: refused, Params: source(fromBackup + "nbe.toml.bbbbbbbbbbbb.bak")},
		"kept file, central":        {Machine: machine(atCentral), Verdict: ready, Params: source(fromBackup + kept)},
		"inventory without one":     {Machine: machine(), Verdict: refused, Params: source(fromDefault, keyAgentURL, urlInventory)},
	})
}

func TestBLEAdapterCycleConforms(t *testing.T) {
	devices := func(list ...*actionv1.Device) func(*sdktest.Machine) {
		return func(m *sdktest.Machine) { m.Devices[bleservice.AdapterVendor+":"+bleservice.AdapterProduct] = list }
	}
	changed := func(change func(*actionv1.Device)) func(*sdktest.Machine) {
		d := adapter()
		return func(m *sdktest.Machine) {
			d = adapter()
			change(d)
			devices(d)(m)
		}
	}
	sdktest.Conformance(t, func() sdk.Action { return bleAdapterCycle{} }, map[string]sdktest.Case{
		"works":         {Machine: machine(), Verdict: ready},
		"stopped":       {Machine: machine(stopped), Verdict: ready},
		"was disabled":  {Machine: machine(changed(func(d *actionv1.Device) { d.Disabled = true })), Verdict: ready},
		"none":          {Machine: machine(devices()), Verdict: refused},
		"two":           {Machine: machine(devices(adapter(), adapter())), Verdict: refused},
		"other class":   {Machine: machine(changed(func(d *actionv1.Device) { d.Class, d.Port = "USB", "" })), Verdict: refused},
		"no port":       {Machine: machine(changed(func(d *actionv1.Device) { d.Port = "" })), Verdict: refused},
		"not installed": {Machine: machine(missing), Verdict: refused},
		"disabled":      {Machine: machine(disabled), Verdict: refused},
		"Windows 7":     {Machine: machine(func(m *sdktest.Machine) { m.Host.OsVersion = "6.1.7601" }), Verdict: refused},
	})
}

func TestUSBSuspendDisableConforms(t *testing.T) {
	power := func(p *actionv1.PowerState) func(*sdktest.Machine) {
		return func(m *sdktest.Machine) {
			m.Power[usbSuspend] = &actionv1.PowerState{Ac: p.GetAc(), Dc: p.GetDc(), ByPolicy: p.GetByPolicy()}
		}
	}
	sdktest.Conformance(t, func() sdk.Action { return usbSuspendDisable{} }, map[string]sdktest.Case{
		"on":           {Machine: machine(), Verdict: ready},
		"battery":      {Machine: machine(), Verdict: ready, Params: values("ac", "false")},
		"scheme":       {Machine: machine(), Verdict: ready, Params: values("scheme", "381b4222-f694-41f0-9685-ff5bb260df2e")},
		"off":          {Machine: machine(power(&actionv1.PowerState{})), Verdict: noChange},
		"half off":     {Machine: machine(power(&actionv1.PowerState{Dc: 1})), Verdict: ready},
		"mains is off": {Machine: machine(power(&actionv1.PowerState{Dc: 1})), Verdict: noChange, Params: values("dc", "false")},
		"policy":       {Machine: machine(power(&actionv1.PowerState{Ac: 1, ByPolicy: true})), Verdict: refused},
		"nothing":      {Machine: machine(), Verdict: refused, Params: values("ac", "false", "dc", "false")},
	})
}

func TestNESURLSetConforms(t *testing.T) {
	const policyValue = `SOFTWARE\Policies\Nymi\NES\URL`
	policySet := func(m *sdktest.Machine) { m.Registry[policyValue] = "https://policy.example/nes/" }
	elsewhere := "https://nes-other.example/nes/"
	sdktest.Conformance(t, func() sdk.Action { return nesURLSet{} }, map[string]sdktest.Case{
		"another url":         {Machine: machine(), Verdict: ready, Params: values("url", nesURL)},
		"no url":              {Machine: machine(func(m *sdktest.Machine) { m.Registry = nil }), Verdict: ready, Params: values("url", nesURL)},
		"both views":          {Machine: machine(), Verdict: ready, Params: values("url", nesURL, "view", viewBoth)},
		"has it":              {Machine: machine(func(m *sdktest.Machine) { m.Registry[nesKey+`\`+nesValue] = nesURL }), Verdict: noChange, Params: values("url", nesURL)},
		"unknown host":        {Machine: machine(), Verdict: ready, Params: values("url", elsewhere)},
		"no probe":            {Machine: machine(), Verdict: ready, Params: values("url", nesURL, "probe", "false")},
		"policy":              {Machine: machine(policySet), Verdict: refused, Params: values("url", nesURL, "policy_value", policyValue)},
		"policy not set":      {Machine: machine(), Verdict: ready, Params: values("url", nesURL, "policy_value", policyValue)},
		"policy not followed": {Machine: machine(policySet), Verdict: ready, Params: values("url", nesURL, "policy_value", policyValue, "respect_gpo", "false")},
	})
}

func TestHostRebootConforms(t *testing.T) {
	at := func(a actionv1.UserActivity) func(*sdktest.Machine) {
		return func(m *sdktest.Machine) {
			m.Model.Machine.UserSessions = []*actionv1.UserSession{{User: "eva", Activity: a}}
		}
	}
	active := at(actionv1.UserActivity_USER_ACTIVITY_ACTIVE)
	pending := func(m *sdktest.Machine) { m.Model.Machine.RebootPending = true }
	sdktest.Conformance(t, func() sdk.Action { return hostReboot{} }, map[string]sdktest.Case{
		"quiet":           {Machine: machine(), Verdict: ready, Params: values("reason", "maintenance")},
		"silent":          {Machine: machine(), Verdict: ready, Params: values("reason", "maintenance", "notify_user", "false", "delay", "0s")},
		"user away":       {Machine: machine(at(actionv1.UserActivity_USER_ACTIVITY_AWAY)), Verdict: ready, Params: values("reason", "other")},
		"user active":     {Machine: machine(active), Verdict: refused, Params: values("reason", "other")},
		"active, allowed": {Machine: machine(active), Verdict: ready, Params: values("reason", "other", "allow_active_session", "true")},
		"pending":         {Machine: machine(pending), Verdict: ready, Params: values("reason", "pending-reboot", "only_if_pending", "true")},
		"nothing pending": {Machine: machine(), Verdict: noChange, Params: values("reason", "pending-reboot", "only_if_pending", "true")},
		"service is down": {Machine: machine(stopped), Verdict: ready, Params: values("reason", "service-hangs")},
	})
}

func TestRuntimeInstallConforms(t *testing.T) {
	program := func(p *actionv1.ProgramState) func(*sdktest.Machine) {
		return func(m *sdktest.Machine) { m.Programs["nymi-runtime"] = p }
	}
	params := values("package", "nymi-runtime")
	sdktest.Conformance(t, func() sdk.Action { return runtimeInstall{} }, map[string]sdktest.Case{
		"again":      {Machine: machine(), Verdict: ready, Params: params},
		"no file":    {Machine: machine(noFile), Verdict: ready, Params: params},
		"not kept":   {Machine: machine(), Verdict: ready, Params: values("package", "nymi-runtime", "keep_config", "false")},
		"stopped":    {Machine: machine(stopped), Verdict: ready, Params: params},
		"reboot":     {Machine: machine(func(m *sdktest.Machine) { m.Model.Machine.RebootPending = true }), Verdict: ready, Params: values("package", "nymi-runtime", "reboot", ifNeeded)},
		"unknown":    {Machine: machine(), Verdict: refused, Params: values("package", "other")},
		"not there":  {Machine: machine(program(&actionv1.ProgramState{Known: true})), Verdict: refused, Params: params},
		"unapproved": {Machine: machine(program(&actionv1.ProgramState{Known: true, Exists: true, Sha256: "22"})), Verdict: refused, Params: params},
		"disk full":  {Machine: machine(func(m *sdktest.Machine) { m.Model.Machine.FreeBytes = 1 }), Verdict: refused, Params: params},
		"disk unknown": {Verdict: ready, Params: params, Machine: machine(func(m *sdktest.Machine) {
			m.Model.Machine.FreeBytes, m.Model.Machine.Unknown = 0, []string{"free_bytes"}
		})},
		"huge file": {Machine: machine(huge), Verdict: refused, Params: params},
	})
}
