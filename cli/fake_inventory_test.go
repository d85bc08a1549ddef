package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/selector"
)

// populate makes two sites with five terminals, one of them offline and one with a stopped service.
func (f *fakeFleet) populate() {
	f.sites = []*fleetv1.Site{
		{Name: "basel", Created: at(-48 * time.Hour), Terminals: 2, Online: 2},
		{Name: "lyon", Description: "Lyon, packaging hall", Created: at(-48 * time.Hour), Terminals: 3, Online: 2},
	}
	f.terminals = []*fleetv1.Terminal{
		fakeTerminal("T-0001", "lyon-01", "lyon", true), fakeTerminal("T-0002", "lyon-02", "lyon", true),
		fakeTerminal("T-0003", "lyon-03", "lyon", false), fakeTerminal("T-0004", "basel-01", "basel", true),
		fakeTerminal("T-0005", "basel-nes", "basel", true),
	}
	f.terminals[0].Labels = map[string]string{"line": "3"}
	f.terminals[1].Facts.Services[0].Status = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	f.terminals[1].Facts.Services[0].Pid = 0
	f.terminals[2].Facts.Services[0] = &actionv1.ServiceState{Service: fakeService}
	f.terminals[3].Facts.Adapter = &actionv1.DeviceState{}
	f.terminals[3].Facts.Services = nil
	f.terminals[4].Facts.Services[0].Installed = false
	f.terminals[4].Facts.Adapter = &actionv1.DeviceState{}
	f.terminals[4].Role = fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST
	f.actions = []*fleetv1.OfferedAction{
		{Action: bleRestart(), Plugin: "endpoint", PluginVersion: "1.0.0", Terminals: 4},
		{Action: &actionv1.Action{Name: "nymi-agent-restart", Version: "1.0.0", Summary: "Restart the Nymi Agent", Disruptive: true},
			Plugin: "endpoint", PluginVersion: "1.0.0", Terminals: 4},
	}
	f.operators = []*fleetv1.Operator{{
		Name: "admin", Created: at(-48 * time.Hour), CertificateExpires: at(80 * 24 * time.Hour),
		Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{"*"}}},
	}}
}

func at(fromNow time.Duration) *timestamppb.Timestamp { return timestamppb.New(testNow.Add(fromNow)) }

func fakeTerminal(id, name, site string, online bool) *fleetv1.Terminal {
	return &fleetv1.Terminal{
		Id: id, Name: name, Site: site, Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, Online: online,
		State: fleetv1.TerminalState_TERMINAL_STATE_ACTIVE, LastSeen: at(-5 * time.Minute), Enrolled: at(-24 * time.Hour),
		Facts: &agentv1.Facts{Hostname: strings.ToUpper(name), Os: "windows", OsVersion: "10.0.19045", AgentVersion: "1.0.0",
			Services: []*actionv1.ServiceState{{Service: "Nymi Bluetooth Endpoint", Installed: true, Pid: 412,
				Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING}}},
	}
}

func bleRestart() *actionv1.Action {
	return &actionv1.Action{
		Name: "ble-restart", Version: "1.0.0", Summary: "Restart the Bluetooth Endpoint", Disruptive: true,
		Description: "Stops and starts the service.\nThen watches it.", Interrupts: "taps and presence, for 5 to 30 s",
		Undo: "the service is started again", Verifies: "the service runs as a new process", Source: "Services > Restart",
		MaxDuration: durationpb.New(3 * time.Minute), Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Roles: []string{"user-terminal"},
		Params: []*actionv1.Param{
			{Name: "stop_timeout", Type: actionv1.ParamType_PARAM_TYPE_DURATION, DefaultValue: "10s", Min: "5s", Max: "60s", Help: "Time to stop."},
			{Name: "force_kill", Type: actionv1.ParamType_PARAM_TYPE_BOOL, DefaultValue: "false", Help: "Kill a service that hangs."},
			{Name: "mode", Type: actionv1.ParamType_PARAM_TYPE_ENUM, DefaultValue: "restart", Choices: []string{"restart", "ensure-running"}, Help: "What to reach."},
		},
		Capabilities: []*actionv1.Capability{{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, Object: "Nymi Bluetooth Endpoint"}},
	}
}

func (f *fakeFleet) site(name string) *fleetv1.Site {
	i := slices.IndexFunc(f.sites, func(s *fleetv1.Site) bool { return strings.EqualFold(s.GetName(), name) })
	if i < 0 {
		return nil
	}
	return f.sites[i]
}

func (f *fakeFleet) terminal(name string) *fleetv1.Terminal {
	i := slices.IndexFunc(f.terminals, func(t *fleetv1.Terminal) bool { return strings.EqualFold(t.GetName(), name) || t.GetId() == name })
	if i < 0 {
		return nil
	}
	return f.terminals[i]
}

func (f *fakeFleet) CreateSite(_ context.Context, r *fleetv1.CreateSiteRequest) (*fleetv1.CreateSiteResponse, error) {
	if f.site(r.GetName()) != nil {
		return nil, refuse(codes.AlreadyExists, "site \""+r.GetName()+"\": exists", "SITE_EXISTS")
	}
	if strings.ContainsAny(r.GetName(), " /") {
		return nil, refuse(codes.InvalidArgument, "site \""+r.GetName()+"\": bad name", "BAD_NAME",
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "name", Description: "want lower case letters, digits and dashes"}}},
			&errdetails.LocalizedMessage{Locale: "en", Message: "choose another name"})
	}
	s := &fleetv1.Site{Name: r.GetName(), Description: r.GetDescription(), Created: at(0)}
	f.sites = append(f.sites, s)
	return &fleetv1.CreateSiteResponse{Site: s}, nil
}

func (f *fakeFleet) GetSite(_ context.Context, r *fleetv1.GetSiteRequest) (*fleetv1.GetSiteResponse, error) {
	if s := f.site(r.GetName()); s != nil {
		return &fleetv1.GetSiteResponse{Site: s}, nil
	}
	return nil, notFound("site", r.GetName())
}

// ListSites gives one site a page, so that every list of a script shows that pages are merged.
func (f *fakeFleet) ListSites(_ context.Context, r *fleetv1.ListSitesRequest) (*fleetv1.ListSitesResponse, error) {
	from := len(r.GetPageToken())
	if from >= len(f.sites) {
		return &fleetv1.ListSitesResponse{}, nil
	}
	resp := &fleetv1.ListSitesResponse{Sites: f.sites[from : from+1]}
	if from+1 < len(f.sites) {
		resp.NextPageToken = strings.Repeat("x", from+1)
	}
	return resp, nil
}

func (f *fakeFleet) GetTerminal(_ context.Context, r *fleetv1.GetTerminalRequest) (*fleetv1.GetTerminalResponse, error) {
	if t := f.terminal(r.GetTerminal()); t != nil {
		return &fleetv1.GetTerminalResponse{Terminal: t}, nil
	}
	return nil, notFound("terminal", r.GetTerminal())
}

func (f *fakeFleet) ListTerminals(_ context.Context, r *fleetv1.ListTerminalsRequest) (*fleetv1.ListTerminalsResponse, error) {
	found, err := f.pick(r.GetSelection())
	return &fleetv1.ListTerminalsResponse{Terminals: found}, err
}

// pick resolves a selection; an empty one means all.
func (f *fakeFleet) pick(s *fleetv1.Selection) ([]*fleetv1.Terminal, error) {
	for _, name := range s.GetSites() {
		if f.site(name) == nil {
			return nil, notFound("site", name)
		}
	}
	for _, name := range slices.Concat(s.GetTerminals(), s.GetHosts()) {
		if f.terminal(name) == nil {
			return nil, notFound("terminal", name)
		}
	}
	var out []*fleetv1.Terminal
	for _, t := range f.terminals {
		if chosen(s, t) && f.wasIn(s.GetFromJob(), t.GetId()) {
			out = append(out, t)
		}
	}
	if s.GetLimit() != nil {
		out = out[:of(s.GetLimit(), len(out))]
	}
	return out, nil
}

func chosen(s *fleetv1.Selection, t *fleetv1.Terminal) bool {
	among := func(names []string, values ...string) bool {
		return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(n, v) })
		})
	}
	if !among(s.GetSites(), t.GetSite()) || !among(s.GetTerminals(), t.GetName(), t.GetId()) || !among(s.GetHosts(), t.GetName(), t.GetId()) {
		return false
	}
	for k, v := range s.GetLabels() {
		if t.GetLabels()[k] != v {
			return false
		}
	}
	if e, err := selector.Parse(s.GetExpression()); s.GetExpression() != "" && (err != nil || !e.Matches(selector.Subject{Terminal: t, Online: t.GetOnline(), Now: testNow})) {
		return false
	}
	return t.GetState() != fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED && (s.GetRole() == 0 || s.GetRole() == t.GetRole())
}

func (f *fakeFleet) LabelTerminal(_ context.Context, r *fleetv1.LabelTerminalRequest) (*fleetv1.LabelTerminalResponse, error) {
	t := f.terminal(r.GetTerminal())
	if t == nil {
		return nil, notFound("terminal", r.GetTerminal())
	}
	labels := map[string]string{}
	for k, v := range t.GetLabels() {
		labels[k] = v
	}
	for k, v := range r.GetSet() {
		labels[k] = v
	}
	for _, k := range r.GetRemove() {
		delete(labels, k)
	}
	t.Labels = labels
	return &fleetv1.LabelTerminalResponse{Terminal: t}, nil
}

func (f *fakeFleet) MoveTerminal(_ context.Context, r *fleetv1.MoveTerminalRequest) (*fleetv1.MoveTerminalResponse, error) {
	t := f.terminal(r.GetTerminal())
	if t == nil || f.site(r.GetSite()) == nil {
		return nil, notFound("terminal or site", r.GetTerminal())
	}
	t.Site = r.GetSite()
	return &fleetv1.MoveTerminalResponse{Terminal: t}, nil
}

func (f *fakeFleet) DecommissionTerminal(_ context.Context, r *fleetv1.DecommissionTerminalRequest) (*fleetv1.DecommissionTerminalResponse, error) {
	t := f.terminal(r.GetTerminal())
	t.State, t.Online = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED, false
	return &fleetv1.DecommissionTerminalResponse{Terminal: t}, nil
}

func (f *fakeFleet) ReleaseTerminal(_ context.Context, r *fleetv1.ReleaseTerminalRequest) (*fleetv1.ReleaseTerminalResponse, error) {
	t := f.terminal(r.GetTerminal())
	if t == nil {
		return nil, notFound("terminal", r.GetTerminal())
	}
	t.Quarantine = nil
	return &fleetv1.ReleaseTerminalResponse{Terminal: t}, nil
}

func (f *fakeFleet) ReEnrolTerminal(_ context.Context, r *fleetv1.ReEnrolTerminalRequest) (*fleetv1.ReEnrolTerminalResponse, error) {
	if f.terminal(r.GetTerminal()) == nil {
		return nil, notFound("terminal", r.GetTerminal())
	}
	return &fleetv1.ReEnrolTerminalResponse{Token: "bft1.again", Expires: at(time.Hour)}, nil
}

func (f *fakeFleet) band(serial string) *fleetv1.Band {
	i := slices.IndexFunc(f.bands, func(b *fleetv1.Band) bool { return strings.EqualFold(b.GetSerial(), serial) })
	if i < 0 {
		return nil
	}
	return f.bands[i]
}

func (f *fakeFleet) CreateBand(_ context.Context, r *fleetv1.CreateBandRequest) (*fleetv1.CreateBandResponse, error) {
	b := &fleetv1.Band{Serial: r.GetSerial(), Site: r.GetSite(), Status: r.GetStatus(), FirmwareVersion: r.GetFirmwareVersion(), Wearer: r.GetWearer()}
	b.History = []*fleetv1.BandEvent{{Time: at(0), Actor: "operator/admin", Status: r.GetStatus(), Note: r.GetNote()}}
	f.bands = append(f.bands, b)
	return &fleetv1.CreateBandResponse{Band: b}, nil
}

func (f *fakeFleet) GetBand(_ context.Context, r *fleetv1.GetBandRequest) (*fleetv1.GetBandResponse, error) {
	if b := f.band(r.GetSerial()); b != nil {
		return &fleetv1.GetBandResponse{Band: b}, nil
	}
	return nil, notFound("band", r.GetSerial())
}

func (f *fakeFleet) ListBands(_ context.Context, r *fleetv1.ListBandsRequest) (*fleetv1.ListBandsResponse, error) {
	resp := &fleetv1.ListBandsResponse{}
	for _, b := range f.bands {
		if (r.GetSite() == "" || r.GetSite() == b.GetSite()) && (r.GetStatus() == 0 || r.GetStatus() == b.GetStatus()) {
			resp.Bands = append(resp.Bands, b)
		}
	}
	return resp, nil
}

func (f *fakeFleet) SetBandStatus(_ context.Context, r *fleetv1.SetBandStatusRequest) (*fleetv1.SetBandStatusResponse, error) {
	b := f.band(r.GetSerial())
	if b == nil {
		return nil, notFound("band", r.GetSerial())
	}
	b.Status = r.GetStatus()
	if r.GetWearer() != "" || r.GetClearWearer() {
		b.Wearer = r.GetWearer()
	}
	b.History = append(b.History, &fleetv1.BandEvent{Time: at(0), Actor: "operator/admin", Status: b.GetStatus(), Wearer: b.GetWearer(), Note: r.GetNote()})
	return &fleetv1.SetBandStatusResponse{Band: proto.CloneOf(b)}, nil
}

func (f *fakeFleet) ListActions(context.Context, *fleetv1.ListActionsRequest) (*fleetv1.ListActionsResponse, error) {
	return &fleetv1.ListActionsResponse{Actions: f.actions}, nil
}

func (f *fakeFleet) GetAction(_ context.Context, r *fleetv1.GetActionRequest) (*fleetv1.GetActionResponse, error) {
	resp := &fleetv1.GetActionResponse{}
	for _, o := range f.actions {
		if o.GetAction().GetName() == r.GetName() {
			resp.Actions = append(resp.Actions, o)
		}
	}
	if len(resp.GetActions()) == 0 {
		return nil, notFound("action", r.GetName())
	}
	return resp, nil
}

// addMany adds a site with many terminals: paris-10, paris-11, and so on.
func (f *fakeFleet) addMany(site string, n int) {
	for i := range n {
		f.terminals = append(f.terminals, fakeTerminal("T-"+site+strconv.Itoa(i), site+"-"+strconv.Itoa(i+10), site, true))
	}
	f.sites = append(f.sites, &fleetv1.Site{Name: site})
}
