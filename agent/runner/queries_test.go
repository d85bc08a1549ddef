package runner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// siteAsker is a server that knows of the site alone.
type siteAsker struct {
	Asker
	site *actionv1.Surroundings
	err  error
}

func (s siteAsker) Site(context.Context, *agentv1.TaskKey) (*actionv1.Surroundings, error) {
	return s.site, s.err
}

// askedOf has a plugin that declared the rights for it ask once while it plans, and returns what it was told and what became of the run.
func askedOf(t *testing.T, m *hosttest.Memory, arrange func(*bench), q *actionv1.Query) (result *actionv1.QueryResult, end *actionv1.TaskResult, err error) {
	t.Helper()
	b := newBench(t)
	b.machine, b.host = m, m.Host()
	p := b.plugins["restart"]
	p.action.Capabilities = []*actionv1.Capability{rights.OfQuery(q)}
	p.plan = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
		result, err = calls.Query(ctx, q)
		return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: "it only asks", NextStep: "none"}), nil
	}
	b.start()
	if arrange != nil {
		arrange(b)
	}
	end = b.do(b.task("j", "restart"))
	if stopped := b.stop(); stopped != nil {
		t.Errorf("Run ended with %v, want nil", stopped)
	}
	if calls := m.Calls(); len(calls) > 0 {
		t.Errorf("the machine was told to %v by a question, want nothing", calls)
	}
	return result, end, err
}

func configQuery(root, path string, format actionv1.ConfigFormat) *actionv1.Query {
	return &actionv1.Query{Query: &actionv1.Query_Config{Config: &actionv1.ConfigQuery{Root: root, Path: path, Format: format}}}
}

// TestAnswersFromTheMachine: what is declared is answered with what the machine has.
func TestAnswersFromTheMachine(t *testing.T) {
	const toml, switches = actionv1.ConfigFormat_CONFIG_FORMAT_TOML, actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES
	for name, c := range map[string]struct {
		machine func() *hosttest.Memory
		query   *actionv1.Query
		good    func(r *actionv1.QueryResult) bool
	}{
		"keys of a TOML file": {hosttest.NewMemory, configQuery(host.EndpointRoot, "nbe.toml", toml), func(r *actionv1.QueryResult) bool {
			return len(r.GetConfig().GetValues()) == 1 && r.GetConfig().GetValues()[0].GetLine() == 1 && len(r.GetConfig().GetSha256()) == 64
		}},
		"a file that is not there": {hosttest.NewMemory, configQuery(host.EndpointRoot, "nbe.default.toml", toml), func(r *actionv1.QueryResult) bool {
			return r.GetConfig() != nil && !r.GetConfig().GetExists() && r.GetConfig().GetMalformed() == ""
		}},
		"a file that is malformed": {func() *hosttest.Memory {
			m := hosttest.NewMemory()
			m.SetFile(host.EndpointRoot, "nbe.toml", "agent_url = “x”\n")
			return m
		}, configQuery(host.EndpointRoot, "nbe.toml", toml), func(r *actionv1.QueryResult) bool {
			return strings.HasPrefix(r.GetConfig().GetMalformed(), "line 1: ") && len(r.GetConfig().GetSha256()) == 64
		}},
		"switches of a web.config": {hosttest.NewNESHost, configQuery("nes", "web.config", switches), func(r *actionv1.QueryResult) bool {
			return len(r.GetConfig().GetValues()) > 0 && r.GetConfig().GetMalformed() == ""
		}},
		"files of a folder": {hosttest.NewMemory, &actionv1.Query{Query: &actionv1.Query_FileList{FileList: &actionv1.FileListQuery{Root: host.EndpointRoot, Path: "."}}},
			func(r *actionv1.QueryResult) bool {
				f := r.GetFileList().GetFiles()
				return len(f) == 1 && f[0].GetPath() == "nbe.toml" && f[0].GetSize() > 0 && f[0].GetSha256() == ""
			}},
		"a value of the registry": {hosttest.NewMemory, &actionv1.Query{Query: &actionv1.Query_Registry{Registry: &actionv1.RegistryQuery{Key: `SOFTWARE\Nymi\NES`, Value: "URL"}}},
			func(r *actionv1.QueryResult) bool { return r.GetRegistry() != nil && !r.GetRegistry().GetExists() }},
		"a store of certificates": {hosttest.NewNESHost, &actionv1.Query{Query: &actionv1.Query_Certificates{Certificates: &actionv1.CertificateQuery{Store: "Root"}}},
			func(r *actionv1.QueryResult) bool { return len(r.GetCertificates().GetCertificates()) == 1 }},
		"bindings": {hosttest.NewNESHost, &actionv1.Query{Query: &actionv1.Query_Bindings{Bindings: &actionv1.BindingQuery{}}},
			func(r *actionv1.QueryResult) bool { return len(r.GetBindings().GetBindings()) == 1 }},
		"the web server": {hosttest.NewNESHost, &actionv1.Query{Query: &actionv1.Query_Iis{Iis: &actionv1.IISQuery{Locations: []string{hosttest.CRLLocation}}}},
			func(r *actionv1.QueryResult) bool {
				return r.GetIis().GetInstalled() && r.GetIis().GetSslFlags()[hosttest.CRLLocation] == "None"
			}},
		"a power setting": {hosttest.NewMemory, &actionv1.Query{Query: &actionv1.Query_Power{Power: &actionv1.PowerQuery{Setting: hosttest.USBSuspendSetting()}}},
			func(r *actionv1.QueryResult) bool { return r.GetPower().GetAc() == 1 }},
		"features": {hosttest.NewNESHost, &actionv1.Query{Query: &actionv1.Query_Features{Features: &actionv1.FeatureQuery{Features: []string{"IIS-ASPNET45", "Nonsense"}}}},
			func(r *actionv1.QueryResult) bool {
				f := r.GetFeatures().GetFeatures()
				return len(f) == 2 && f[0].GetInstalled() && !f[1].GetKnown()
			}},
		"a program": {hosttest.NewMemory, &actionv1.Query{Query: &actionv1.Query_Program{Program: &actionv1.ProgramQuery{Program: hosttest.FirmwareLogTool}}},
			func(r *actionv1.QueryResult) bool { return r.GetProgram().GetApproved() }},
		"the machine": {hosttest.NewMemory, &actionv1.Query{Query: &actionv1.Query_Machine{Machine: &actionv1.MachineQuery{}}},
			func(r *actionv1.QueryResult) bool {
				return r.GetMachine().GetFreeBytes() > 0 && r.GetMachine().GetClockOffset() != nil
			}},
		"who holds files": {hosttest.NewMemory, &actionv1.Query{Query: &actionv1.Query_Handles{Handles: &actionv1.HandleQuery{Root: host.EndpointRoot}}},
			func(r *actionv1.QueryResult) bool { return r.GetHandles() != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if r, _, err := askedOf(t, c.machine(), nil, c.query); err != nil || !c.good(r) {
					t.Errorf("the answer is %v, %v; want what the machine has", r, err)
				}
			})
		})
	}
}

// TestQuestionsThatEndTheRun: what no action could have a good reason to ask ends its run.
func TestQuestionsThatEndTheRun(t *testing.T) {
	for name, q := range map[string]*actionv1.Query{
		"a store of another name":     {Query: &actionv1.Query_Certificates{Certificates: &actionv1.CertificateQuery{Store: `My" -delete`}}},
		"a setting that is no GUID":   {Query: &actionv1.Query_Power{Power: &actionv1.PowerQuery{Setting: &actionv1.PowerSetting{Subgroup: "x", Setting: "y; calc"}}}},
		"a feature that is no name":   {Query: &actionv1.Query_Features{Features: &actionv1.FeatureQuery{Features: []string{"a' ; calc"}}}},
		"no feature":                  {Query: &actionv1.Query_Features{Features: &actionv1.FeatureQuery{}}},
		"a location that is no name":  {Query: &actionv1.Query_Iis{Iis: &actionv1.IISQuery{Locations: []string{"x\" /y"}}}},
		"too many locations":          {Query: &actionv1.Query_Iis{Iis: &actionv1.IISQuery{Locations: make([]string, 100)}}},
		"a program that is a path":    {Query: &actionv1.Query_Program{Program: &actionv1.ProgramQuery{Program: `..\calc.exe`}}},
		"a value of another key":      {Query: &actionv1.Query_Registry{Registry: &actionv1.RegistryQuery{Key: `SOFTWARE\Nymi`, Value: `NES\URL`}}},
		"keys of a file of no format": configQuery(host.EndpointRoot, "nbe.toml", 0),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, end, err := askedOf(t, hosttest.NewNESHost(), nil, q)
				var refused *RefusedError
				if !errors.As(err, &refused) || end.GetStatus() != failedStatus {
					t.Errorf("the answer is %v and the run %s, want a refusal that ends it", err, end.GetStatus())
				}
			})
		})
	}
}

func netProbe(name string, port uint32) *actionv1.Query {
	return &actionv1.Query{Query: &actionv1.Query_NetProbe{NetProbe: &actionv1.NetProbeQuery{
		Target: &actionv1.ProbeTarget{Host: name, Port: port}, Timeout: durationpb.New(time.Second)}}}
}

// TestOnlyKnownHostsAreProbed: a plugin reaches what the server knows of the site and no other address.
func TestOnlyKnownHostsAreProbed(t *testing.T) {
	site := &actionv1.Surroundings{
		NesHosts:     []*actionv1.NESHost{{Host: "nes-1.example", Url: "https://nes.example:8443/nes/"}},
		KnownHosts:   []*actionv1.KnownHost{{Label: "sql", Address: "sql.example:1433"}},
		CentralAgent: true, CentralAgentUrl: "wss://agent.example/socket",
	}
	for name, c := range map[string]struct {
		query *actionv1.Query
		may   bool
	}{
		"a NES host":                   {netProbe("NES-1.example", 443), true},
		"its list of revocations":      {netProbe("nes-1.example", 80), true},
		"the address of NES":           {netProbe("nes.example", 8443), true},
		"another port of it":           {netProbe("nes-1.example", 3389), false},
		"a known host":                 {netProbe("sql.example", 1433), true},
		"another port of a known host": {netProbe("sql.example", 445), false},
		"the central agent":            {netProbe("agent.example", 443), true},
		"agent_url":                    {netProbe("127.0.0.1", 9120), true},
		"another port of this machine": {netProbe("127.0.0.1", 22), false},
		"its own web server":           {netProbe("localhost", 80), true},
		"another port under that name": {netProbe("localhost", 8080), false},
		"any other host":               {netProbe("192.0.2.77", 443), false},
		"a host that is no name":       {netProbe("nes-1.example/x", 443), false},
		"a port that is none":          {netProbe("nes-1.example", 70000), false},
		"no target":                    {&actionv1.Query{Query: &actionv1.Query_NetProbe{NetProbe: &actionv1.NetProbeQuery{}}}, false},
		"a path that is more than a path": {&actionv1.Query{Query: &actionv1.Query_NetProbe{NetProbe: &actionv1.NetProbeQuery{
			Target: &actionv1.ProbeTarget{Host: "nes-1.example", Port: 80, HttpPath: "/ HTTP/1.1\r\nX: y"}}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, err := askedOf(t, hosttest.NewMemory(), func(b *bench) { b.runner.SetAsker(siteAsker{site: site}) }, c.query)
				var refused *RefusedError
				if errors.As(err, &refused) == c.may {
					t.Errorf("the answer is %v, want it to be allowed: %v", err, c.may)
				}
			})
		})
	}
}

// TestProbesWithoutTheServer: without the server nothing but agent_url is known, and asking is no offence.
func TestProbesWithoutTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := func(b *bench) { b.runner.SetAsker(siteAsker{err: errors.New("no session")}) }
		_, _, err := askedOf(t, hosttest.NewMemory(), cut, netProbe("nes-1.example", 443))
		var refused *RefusedError
		if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "no session") {
			t.Errorf("error is %v, want why nothing is known of the site", err)
		}
		if r, _, err := askedOf(t, hosttest.NewMemory(), cut, netProbe("127.0.0.1", 9120)); err != nil || r.GetNetProbe() == nil {
			t.Errorf("agent_url: %v, %v; want it reached without the server", r, err)
		}
	})
}
