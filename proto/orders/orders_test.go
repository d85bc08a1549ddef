package orders

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func good() *agentv1.Orders {
	return &agentv1.Orders{
		CatalogueVersion: "1",
		States: []*agentv1.StateRule{{
			Entry: "endpoint-stopped", All: []*agentv1.SignalIs{{Signal: "endpoint-service", Values: []string{"stopped", "disabled"}}}, For: durationpb.New(10 * time.Second),
		}},
		Logs: []*agentv1.LogRule{{
			Entry: "band-not-found", Id: "band-not-found/nem", FileClass: "nem", All: []string{"band not found"}, Confidence: agentv1.Confidence_CONFIDENCE_GUIDE,
		}},
		Reflexes: []*agentv1.Reflex{{
			Policy: "start-stopped-services", Entry: "endpoint-stopped", Action: "ensure-running", Params: map[string]string{"a": "b", "c": "d"},
			Guardrails: &agentv1.Guardrails{MaxAttempts: 3, Period: durationpb.New(time.Hour)}, ByAgent: true,
		}},
	}
}

func named(t *testing.T, o *agentv1.Orders) *agentv1.Orders {
	t.Helper()
	version, err := Version(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Version = version
	return o
}

func TestTheVersionIsOfAllButItself(t *testing.T) {
	o := named(t, good())
	if err := Check(o); err != nil {
		t.Fatalf("orders that make sense: %v", err)
	}
	again, err := Version(proto.CloneOf(o))
	if err != nil || again != o.GetVersion() || len(again) != 64 {
		t.Errorf("the version is %q and then %q, %v; want one that does not depend on itself", o.GetVersion(), again, err)
	}
	o.Frozen = true
	if other, _ := Version(o); other == again {
		t.Error("orders that freeze have the version of those that do not")
	}
}

// TestOrdersOfALaterServer: what a later release adds at the end of a message must not make its orders unreadable here.
func TestOrdersOfALaterServer(t *testing.T) {
	o := good()
	o.ProtoReflect().SetUnknown([]byte{0x9a, 0x06, 0x01, 'x'}) // field 99
	o.States[0].ProtoReflect().SetUnknown([]byte{0x9a, 0x06, 0x01, 'y'})
	sent, err := proto.Marshal(named(t, o))
	if err != nil {
		t.Fatal(err)
	}
	got := &agentv1.Orders{}
	if err := proto.Unmarshal(sent, got); err != nil {
		t.Fatal(err)
	}
	if err := Check(got); err != nil {
		t.Errorf("orders with fields of a later release: %v, want them taken", err)
	}
}

func TestWhatMakesNoSenseIsNamed(t *testing.T) {
	cases := map[string]struct {
		change func(o *agentv1.Orders)
		want   string
	}{
		"unknown signal": {func(o *agentv1.Orders) { o.States[0].All[0].Signal = "weather" }, `signal "weather": is not known here`},
		"unknown value":  {func(o *agentv1.Orders) { o.States[0].All[0].Values[0] = "sleepy" }, `signal "endpoint-service": cannot be "sleepy"`},
		"no values":      {func(o *agentv1.Orders) { o.States[0].All[0].Values = nil }, "no values"},
		"no signals":     {func(o *agentv1.Orders) { o.States[0].All = nil }, "0 signals"},
		"unknown class":  {func(o *agentv1.Orders) { o.Logs[0].FileClass = "syslog" }, `file class "syslog": is not known here`},
		"empty rule":     {func(o *agentv1.Orders) { o.Logs[0].All = nil }, "looks for nothing"},
		"empty text":     {func(o *agentv1.Orders) { o.Logs[0].None = []string{""} }, "none is empty"},
		"long text":      {func(o *agentv1.Orders) { o.Logs[0].Any = []string{strings.Repeat("x", maxText+1)} }, "any has 1025 bytes"},
		"negative time":  {func(o *agentv1.Orders) { o.Logs[0].Window = durationpb.New(-time.Second) }, "window is -1s"},
		"too long":       {func(o *agentv1.Orders) { o.Reflexes[0].Guardrails.Period = durationpb.New(maxTime + 1) }, "period is"},
		"many attempts":  {func(o *agentv1.Orders) { o.Reflexes[0].Guardrails.MaxAttempts = 101 }, "101 attempts"},
		"no action":      {func(o *agentv1.Orders) { o.Reflexes[0].Action = "" }, "action is empty"},
		"too many rules": {func(o *agentv1.Orders) {
			for len(o.States) <= MaxStates {
				o.States = append(o.States, o.States[0])
			}
		}, "2001 state rules"},
		"too large": {func(o *agentv1.Orders) {
			for proto.Size(o) <= MaxSize {
				o.Logs = append(o.Logs, &agentv1.LogRule{Entry: "a", Id: "a", FileClass: "nem", All: []string{strings.Repeat("x", 1<<18)}})
			}
		}, "at most 2097152 are taken"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := good()
			c.change(o)
			if err := Check(named(t, o)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	changed := named(t, good())
	changed.Frozen = true
	if err := Check(changed); err == nil || !strings.Contains(err.Error(), "their content has the version") {
		t.Errorf("orders that were changed under way: %v, want them refused", err)
	}
}
