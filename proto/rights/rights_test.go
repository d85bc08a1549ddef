package rights

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// members calls do with an empty message of each member of a oneof.
func members(m protoreflect.Message, oneof protoreflect.Name, do func(name protoreflect.Name)) {
	fields := m.Descriptor().Oneofs().ByName(oneof).Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		m.Set(f, m.NewField(f))
		do(f.Name())
	}
}

func TestEveryQueryNeedsACapability(t *testing.T) {
	q := &actionv1.Query{}
	members(q.ProtoReflect(), "query", func(name protoreflect.Name) {
		if OfQuery(q).GetKind() == actionv1.CapabilityKind_CAPABILITY_KIND_UNSPECIFIED {
			t.Errorf("query %s needs no capability: whoever adds a query says what it needs", name)
		}
	})
}

func TestEveryEffectNeedsACapability(t *testing.T) {
	e := &actionv1.Effect{}
	members(e.ProtoReflect(), "effect", func(name protoreflect.Name) {
		if name == "collect" {
			e.GetCollect().Sources = []string{"nba"}
		}
		if len(OfEffect(e)) == 0 {
			t.Errorf("effect %s needs no capability: whoever adds an effect says what it needs", name)
		}
	})
}

func TestALeaseNeedsItsOwnCapabilities(t *testing.T) {
	e := &actionv1.Effect{
		Effect: &actionv1.Effect_ConfigEdit{ConfigEdit: &actionv1.ConfigEdit{Root: "nes", Path: "web.config"}},
		Lease:  &actionv1.Lease{RestartServices: []string{"W3SVC"}},
	}
	a := &actionv1.Action{Name: "x", Capabilities: OfEffect(e)}
	for i, c := range a.GetCapabilities() {
		less := &actionv1.Action{Name: "x"}
		less.Capabilities = append(append(less.Capabilities, a.GetCapabilities()[:i]...), a.GetCapabilities()[i+1:]...)
		if Missing(less, OfEffect(e)...) == nil {
			t.Errorf("the effect is allowed without %v", c)
		}
	}
	if err := Missing(a, OfEffect(e)...); err != nil {
		t.Error(err)
	}
}

func TestCovers(t *testing.T) {
	write := actionv1.CapabilityKind_CAPABILITY_KIND_FILE_WRITE
	edit := actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_EDIT
	read := actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_READ
	registry := actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_READ
	registryWrite := actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_WRITE
	run := actionv1.CapabilityKind_CAPABILITY_KIND_PROGRAM_RUN
	for _, c := range []struct {
		kind             actionv1.CapabilityKind
		declared, needed string
		want             bool
	}{
		{write, "endpoint/nbe.toml", "endpoint/nbe.toml", true},
		{write, "endpoint/nbe.toml.*.bak", "endpoint/nbe.toml.20261124.bak", true},
		{write, "endpoint/nbe.toml.*.bak", "endpoint/sub/nbe.toml.1.bak", false},
		{write, "endpoint/*", "endpoint/../x", false},
		{write, "endpoint/*", "endpoint/a/b", false},
		{write, "*/nbe.toml", "endpoint/nbe.toml", false},
		{edit, "endpoint/*", "endpoint/nbe.toml", false},
		{read, "endpoint/*.toml", "endpoint/nbe.default.toml", true},
		{read, "endpoint/*.toml", "nes/web.toml", false},
		{registry, `SOFTWARE\Policies\*`, `Software\policies\Nymi\NES\URL`, true},
		{registry, `SOFTWARE\Policies\*`, `SOFTWARE\PoliciesToo\URL`, false},
		{registry, `SOFTWARE\Policies\*`, `SOFTWARE\Nymi\NES\URL`, false},
		{registry, `\*`, `SOFTWARE\Nymi\NES\URL`, false},
		{registryWrite, `SOFTWARE\Policies\*`, `SOFTWARE\Policies\Nymi\URL`, false},
		{run, "*", "setup", true},
		{run, "firmware-log-tool", "setup", false},
	} {
		a := &actionv1.Action{Capabilities: []*actionv1.Capability{of(c.kind, c.declared)}}
		if got := Declares(a, of(c.kind, c.needed)); got != c.want {
			t.Errorf("%v of %q declares %q: %v, want %v", c.kind, c.declared, c.needed, got, c.want)
		}
	}
}
