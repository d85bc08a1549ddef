package runner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// ask makes a phase that makes one call and ends well if it is answered.
func ask(call func(ctx context.Context, calls Calls) error, end *actionv1.Finish) phaseFunc {
	return func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
		// A plugin that ignores the refusal gets no further than one that obeys.
		_ = call(ctx, calls)
		return end, nil
	}
}

func query(q *actionv1.Query) func(context.Context, Calls) error {
	return func(ctx context.Context, calls Calls) error {
		_, err := calls.Query(ctx, q)
		return err
	}
}

func effectCall(id string, e *actionv1.Effect) func(context.Context, Calls) error {
	return func(ctx context.Context, calls Calls) error {
		_, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: id, Effect: e})
		return err
	}
}

func probe(name string, port uint32) *actionv1.Query {
	return &actionv1.Query{Query: &actionv1.Query_TcpProbe{TcpProbe: &actionv1.TCPProbe{Host: name, Port: port}}}
}

// TestPluginsGetNoMoreThanTheyDeclared: whatever a plugin asks for beyond its manifest and its plan ends its run, with nothing
// changed, although it claims success afterwards.
func TestPluginsGetNoMoreThanTheyDeclared(t *testing.T) {
	plan := ready(planned("stop", stopEffect(service)), planned("start", startEffect(service)))
	inPlan := func(call func(context.Context, Calls) error) func(*fakePlugin) {
		return func(p *fakePlugin) { p.plan = ask(call, plan) }
	}
	inApply := func(calls ...func(context.Context, Calls) error) func(*fakePlugin) {
		return func(p *fakePlugin) {
			p.apply = ask(func(ctx context.Context, c Calls) error {
				var errs []error
				for _, call := range calls {
					errs = append(errs, call(ctx, c))
				}
				return errors.Join(errs...)
			}, finishApplied(true, ""))
		}
	}
	file := func(path string) *actionv1.Query {
		return &actionv1.Query{Query: &actionv1.Query_File{File: &actionv1.FileQuery{Root: host.EndpointRoot, Path: path}}}
	}
	for name, tc := range map[string]struct {
		arrange func(p *fakePlugin)
		reason  string
	}{
		"another service's state":  {inPlan(query(serviceQuery("Spooler"))), "service_read"},
		"another file":             {inPlan(query(file("secret.txt"))), "file_read"},
		"a path out of the folder": {inPlan(query(file("../nbe.toml"))), "file_read"},
		"another device":           {inPlan(query(&actionv1.Query{Query: &actionv1.Query_Device{Device: &actionv1.DeviceQuery{Vendor: "dead", Product: "beef"}}})), "device_read"},
		"another address":          {inPlan(query(probe("192.0.2.1", 443))), "agent_url"},
		"another port":             {inPlan(query(probe("127.0.0.1", 22))), "agent_url"},
		"a query of no kind":       {inPlan(query(&actionv1.Query{})), "does not know"},
		"an effect while planning": {inPlan(effectCall("stop", stopEffect(service))), "in the plan phase"},
		"an effect while verifying": {func(p *fakePlugin) {
			p.plan = ask(func(context.Context, Calls) error { return nil }, finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE}))
			p.verify = ask(effectCall("stop", stopEffect(service)), finishVerdict(&actionv1.Check{Ok: true}))
		}, "in the verify phase"},
		"an effect that is not planned": {inApply(effectCall("other", stopEffect(service))), "not in its plan"},
		"a planned effect, changed":     {inApply(effectCall("stop", stopEffect("Spooler"))), "other content"},
		"a plan for a foreign service": {func(p *fakePlugin) {
			p.plan = ask(query(serviceQuery(service)), ready(planned("s", stopEffect("Spooler"))))
		}, "service_control"},
		"a plan with an effect of no kind": {func(p *fakePlugin) {
			p.plan = ask(query(serviceQuery(service)), ready(planned("s", &actionv1.Effect{})))
		}, "does not know"},
		"a plan with an id twice": {func(p *fakePlugin) {
			p.plan = ask(query(serviceQuery(service)), ready(planned("s", stopEffect(service)), planned("s", startEffect(service))))
		}, "no id of its own"},
		"a plan without effects":         {func(p *fakePlugin) { p.plan = ask(query(serviceQuery(service)), ready()) }, "has no effects"},
		"a plan of an action that reads": {func(p *fakePlugin) { p.action.ReadOnly = true }, "only reads"},
		"a plan without a verdict":       {func(p *fakePlugin) { p.plan = ask(query(serviceQuery(service)), finishPlan(&actionv1.Plan{})) }, "UNSPECIFIED"},
		"an effect without a limit": {func(p *fakePlugin) {
			p.plan = ask(query(serviceQuery(service)), ready(planned("s", &actionv1.Effect{Effect: &actionv1.Effect_ServiceStop{ServiceStop: &actionv1.ServiceStop{Service: service}}})))
		}, "timeout"},
		"the end of another phase": {func(p *fakePlugin) { p.plan = ask(query(serviceQuery(service)), finishApplied(true, "")) }, "there is none"},
		"no end":                   {func(p *fakePlugin) { p.plan = ask(query(serviceQuery(service)), nil) }, "broke off"},
		"a plan that is too large": {func(p *fakePlugin) {
			p.plan = ask(query(serviceQuery(service)), finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE, Reason: strings.Repeat("x", maxPlanBytes)}))
		}, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				tc.arrange(b.plugins["restart"])
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, failedStatus)
				if !strings.Contains(res.GetReason(), tc.reason) {
					t.Errorf("reason is %q, want one with %q", res.GetReason(), tc.reason)
				}
				if calls := b.machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was told to %v, want nothing", calls)
				}
			})
		})
	}
}

func TestAnEffectIsDoneOnce(t *testing.T) {
	inBench(t, func(b *bench) {
		b.plugins["restart"].apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
			for range 3 {
				_ = effectCall("stop", stopEffect(service))(ctx, calls)
			}
			return finishApplied(true, ""), nil
		}
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, failedStatus)
		if len(res.GetEffects()) != 1 || !strings.Contains(res.GetReason(), "twice") {
			t.Errorf("%d effects, reason %q; want one, and that it was asked for twice", len(res.GetEffects()), res.GetReason())
		}
		b.wantRunning()
	})
}

func TestCallsAfterThePhaseAreNotAnswered(t *testing.T) {
	inBench(t, func(b *bench) {
		var leaked Calls
		p := b.plugins["restart"]
		apply := p.apply
		p.apply = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
			leaked = calls
			return apply(ctx, start, calls)
		}
		b.wantStatus(b.do(b.task("j", "restart")), succeeded)
		ctx := b.t.Context()
		if err := query(serviceQuery(service))(ctx, leaked); err == nil {
			t.Error("a query after the phase was answered")
		}
		if err := effectCall("stop", stopEffect(service))(ctx, leaked); err == nil {
			t.Error("an effect after the phase was done")
		}
		if err := leaked.Wait(ctx, time.Hour); err == nil {
			t.Error("a wait after the phase was answered")
		}
		leaked.Progress(&actionv1.Progress{Message: "late"})
		leaked.Evidence(&actionv1.Evidence{Name: "late"})
	})
}

// TestAllowedQueries: what is declared is answered, from the machine.
func TestAllowedQueries(t *testing.T) {
	inBench(t, func(b *bench) {
		b.plugins["restart"].plan = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
			device, err := calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Device{Device: &actionv1.DeviceQuery{Vendor: "2458", Product: "0001"}}})
			if err != nil || len(device.GetDevice().GetDevices()) != 1 {
				t.Errorf("device query: %v, %v; want one adapter", device, err)
			}
			file, err := calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_File{File: &actionv1.FileQuery{Root: host.EndpointRoot, Path: "nbe.toml", MaxBytes: 9}}})
			if err != nil || string(file.GetFile().GetContent()) != "agent_url" || !file.GetFile().GetTruncated() {
				t.Errorf("file query: %v, %v; want the first 9 bytes", file, err)
			}
			tcp, err := calls.Query(ctx, probe("127.0.0.1", 9120))
			if err != nil || !tcp.GetTcpProbe().GetReachable() {
				t.Errorf("probe: %v, %v; want reachable", tcp, err)
			}
			machine, err := calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_Host{Host: &actionv1.HostQuery{}}})
			if err != nil || machine.GetHost().GetHostname() == "" {
				t.Errorf("host query: %v, %v; want its name", machine, err)
			}
			began := time.Now()
			if err := calls.Wait(ctx, time.Minute); err != nil || time.Since(began) != time.Minute {
				t.Errorf("wait took %s, %v; want 1m", time.Since(began), err)
			}
			return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: "seen enough"}), nil
		}
		b.wantStatus(b.do(b.task("j", "restart")), refusedStatus)
	})
}

// TestWatch: the watch ends at once when the service dies, and notices that it came back as another process.
func TestWatch(t *testing.T) {
	inBench(t, func(b *bench) {
		watch := func(after time.Duration, disturb func()) (*actionv1.ServiceWatchResult, time.Duration) {
			began := time.Now()
			time.AfterFunc(after, disturb)
			got, err := b.runner.watch(b.t.Context(), &actionv1.ServiceWatch{Service: service, StableFor: durationpb.New(30 * time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			return got, time.Since(began)
		}
		if got, took := watch(time.Second, func() {}); !got.GetStable() || took != 30*time.Second {
			t.Errorf("an undisturbed watch: stable %v after %s, want true after 30s", got.GetStable(), took)
		}
		if got, took := watch(5*time.Second, func() { b.machine.Crash(service, 3) }); got.GetStable() || took > 6*time.Second {
			t.Errorf("a watch of a service that died after 5s: stable %v after %s, want false at once", got.GetStable(), took)
		}
		b.machine.StartNow(service)
		replaced := func() { b.machine.Crash(service, 3); b.machine.StartNow(service) }
		if got, took := watch(5*time.Second, replaced); got.GetStable() || took > 6*time.Second {
			t.Errorf("a watch of a service whose process was replaced: stable %v after %s, want false at once", got.GetStable(), took)
		}
	})
}

func TestAgentAddress(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"in nbe.toml":         {map[string]string{"nbe.toml": `agent_url = "ws://10.0.0.5:9121/socket"`, "nbe.default.toml": `agent_url = "ws://127.0.0.1:1/"`}, "10.0.0.5:9121"},
		"in the defaults":     {map[string]string{"nbe.toml": "rssi_window_tap = 10", "nbe.default.toml": `agent_url = "ws://127.0.0.1:9122/x"`}, "127.0.0.1:9122"},
		"nowhere":             {nil, "127.0.0.1:9120"},
		"without a port":      {map[string]string{"nbe.toml": `agent_url = "wss://agent.example/socket"`}, "agent.example:443"},
		"IPv6":                {map[string]string{"nbe.toml": `agent_url = "ws://[::1]:9120/socket"`}, "[::1]:9120"},
		"damaged":             {map[string]string{"nbe.toml": `agent_url = `}, ""},
		"not a URL with host": {map[string]string{"nbe.toml": `agent_url = "somewhere"`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.machine.RemoveFile(host.EndpointRoot, "nbe.toml")
			for path, content := range tc.files {
				b.machine.SetFile(host.EndpointRoot, path, content)
			}
			got, err := agentAddress(b.t.Context(), b.host.Files)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("address is %q, error %v; want %q", got, err, tc.want)
			}
		})
	}
}
