package sdk

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Run is one phase of one run: its parameters, and all that may be read. It is not for use after the phase.
type Run struct {
	action   *actionv1.Action
	params   map[string]string
	terminal *actionv1.Terminal
	calls    Calls
}

// Terminal is the terminal that the run is on.
func (r *Run) Terminal() *actionv1.Terminal { return r.terminal }

// text returns a parameter's value, "" when it is not set. It panics when the manifest has no such parameter of that type: a
// mistake of the action's author that the conformance suite finds.
func (r *Run) text(name string, kinds ...actionv1.ParamType) string {
	for _, p := range r.action.GetParams() {
		for _, kind := range kinds {
			if p.GetName() == name && p.GetType() == kind {
				return r.params[name]
			}
		}
	}
	panic(fmt.Sprintf("action %q: no parameter %q of type %v in the manifest", r.action.GetName(), name, kinds))
}

// String returns a text or enum parameter.
func (r *Run) String(name string) string {
	return r.text(name, actionv1.ParamType_PARAM_TYPE_STRING, actionv1.ParamType_PARAM_TYPE_ENUM)
}

// Bool returns a boolean parameter.
func (r *Run) Bool(name string) bool {
	return r.text(name, actionv1.ParamType_PARAM_TYPE_BOOL) == "true"
}

// Int returns an integer parameter, 0 when it is not set.
func (r *Run) Int(name string) int64 {
	// The text is canonical: params.Resolve has checked it.
	v, _ := strconv.ParseInt(r.text(name, actionv1.ParamType_PARAM_TYPE_INTEGER), 10, 64)
	return v
}

// Duration returns a duration parameter, 0 when it is not set.
func (r *Run) Duration(name string) time.Duration {
	d, _ := time.ParseDuration(r.text(name, actionv1.ParamType_PARAM_TYPE_DURATION))
	return d
}

// Wait lets time pass.
func (r *Run) Wait(ctx context.Context, d time.Duration) error { return r.calls.Wait(ctx, d) }

// Progress tells whoever watches. It is not stored.
func (r *Run) Progress(format string, args ...any) {
	r.calls.Progress(&actionv1.Progress{Message: fmt.Sprintf(format, args...)})
}

// Evidence records an observed fact with the result. It is for people and must hold no secret.
func (r *Run) Evidence(name, format string, args ...any) {
	r.calls.Evidence(&actionv1.Evidence{Name: name, Value: fmt.Sprintf(format, args...)})
}

// SecretRef returns the reference that a secret parameter holds ("secret:nes-lyon-1.pfx"), "" when it is not set. The secret itself never
// reaches a plugin.
func (r *Run) SecretRef(name string) string {
	return r.text(name, actionv1.ParamType_PARAM_TYPE_SECRET)
}

// IsSet says whether a parameter has a value.
func (r *Run) IsSet(name string) bool { return r.params[name] != "" }

// Finding records what a diagnosis found, good or not.
func (r *Run) Finding(f *actionv1.Finding) { r.calls.Finding(f) }

// ReportCertificates records what the machine's certificate stores hold, for the fleet's inventory of certificates.
func (r *Run) ReportCertificates(c *actionv1.CertificateReport) { r.calls.Certificates(c) }

// ApplyRun is the Apply phase: a Run that may ask for the plan's effects.
type ApplyRun struct {
	Run
	plan *actionv1.Plan
}

// Plan is the plan that the agent holds this run to.
func (r *ApplyRun) Plan() *actionv1.Plan { return r.plan }

// Planned returns the planned effect with this id, nil when the plan has none.
func (r *ApplyRun) Planned(id string) *actionv1.PlannedEffect {
	for _, p := range r.plan.GetEffects() {
		if p.GetId() == id {
			return p
		}
	}
	return nil
}

// Do asks for the planned effect with this id, each at most once. What did not come about is in the record's Error; a Go error
// means that the call itself failed or was refused.
func (r *ApplyRun) Do(ctx context.Context, id string) (*actionv1.RecordedEffect, error) {
	p := r.Planned(id)
	if p == nil {
		return nil, fmt.Errorf("effect %q is not in the plan", id)
	}
	return r.calls.Effect(ctx, &actionv1.EffectRequest{PlanId: id, Effect: p.GetEffect()})
}

// MustDo is Do for an effect without an alternative: one that did not come about is an error.
func (r *ApplyRun) MustDo(ctx context.Context, id string) error {
	rec, err := r.Do(ctx, id)
	if err == nil && rec.GetError() != "" {
		err = Fail(rec.GetError(), "see to that on the machine, then run this again")
	}
	return err
}

// Confirm asks the person that the plan has under this id (see Planned and the effect Confirm), waits, and returns the answer. A
// no, and no answer in time, is an error; nothing was changed by asking.
func (r *ApplyRun) Confirm(ctx context.Context, id string) (*actionv1.Confirmation, error) {
	rec, err := r.Do(ctx, id)
	if err != nil {
		return nil, err
	}
	answer := rec.GetAfter().GetConfirmation()
	if rec.GetError() != "" || !answer.GetConfirmed() {
		reason := cmp.Or(rec.GetError(), "nobody confirmed")
		return answer, Fail(reason, "see to what was asked, then run this again")
	}
	return answer, nil
}

// VerifyRun is the Verify phase: a Run that knows what was done.
type VerifyRun struct {
	Run
	effects []*actionv1.RecordedEffect
}

// Effects is what was done, in order, with the values before and after.
func (r *VerifyRun) Effects() []*actionv1.RecordedEffect { return r.effects }

// Effect returns the record of the planned effect with this id, nil when it was never tried.
func (r *VerifyRun) Effect(id string) *actionv1.RecordedEffect {
	for _, e := range r.effects {
		if e.GetPlanId() == id {
			return e
		}
	}
	return nil
}

// Service reads a service's state by display name. A service that is not installed is no error.
func (r *Run) Service(ctx context.Context, service string) (*actionv1.ServiceState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Service{Service: &actionv1.ServiceQuery{Service: service}}})
	return answer(res.GetService(), err, res.GetService() == nil)
}

// WatchService watches a service for a while; it answers early when the service stops or its process is no longer pid (0: the
// one at the start of the watch).
func (r *Run) WatchService(ctx context.Context, service string, pid uint32, d time.Duration) (*actionv1.ServiceWatchResult, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_ServiceWatch{ServiceWatch: &actionv1.ServiceWatch{
		Service: service, Pid: pid, StableFor: durationpb.New(d)}}})
	return answer(res.GetServiceWatch(), err, res.GetServiceWatch() == nil)
}

// Device reads the USB devices with these ids.
func (r *Run) Device(ctx context.Context, vendor, product string) (*actionv1.DeviceState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Device{Device: &actionv1.DeviceQuery{
		Vendor: vendor, Product: product}}})
	return answer(res.GetDevice(), err, res.GetDevice() == nil)
}

// File reads at most limit bytes of a file. A file that is not there is no error.
func (r *Run) File(ctx context.Context, root, path string, limit uint32) (*actionv1.FileContent, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_File{File: &actionv1.FileQuery{
		Root: root, Path: path, MaxBytes: limit}}})
	return answer(res.GetFile(), err, res.GetFile() == nil)
}

// ProbeTCP opens and closes a connection. A peer that cannot be reached is no error.
func (r *Run) ProbeTCP(ctx context.Context, host string, port uint16, timeout time.Duration) (*actionv1.TCPProbeResult, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_TcpProbe{TcpProbe: &actionv1.TCPProbe{
		Host: host, Port: uint32(port), Timeout: durationpb.New(timeout)}}})
	return answer(res.GetTcpProbe(), err, res.GetTcpProbe() == nil)
}

// Host reads the machine's name, addresses and operating system.
func (r *Run) Host(ctx context.Context) (*actionv1.HostState, error) {
	res, err := r.calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Host{Host: &actionv1.HostQuery{}}})
	return answer(res.GetHost(), err, res.GetHost() == nil)
}

// answer guards against a reply of another kind than the question.
func answer[T any](v T, err error, missing bool) (T, error) {
	if err == nil && missing {
		err = fmt.Errorf("the agent answered with something else than what was asked")
	}
	return v, err
}
