package runner_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

// refusal is an effect that is not done, and why.
type refusal struct {
	effect *actionv1.Effect
	reason string
}

// of is an action with one effect that claims that all is well.
func of(e *actionv1.Effect) doer {
	return doer{effects: []*actionv1.Effect{e}, look: func(context.Context, *sdk.VerifyRun) (bool, error) { return true, nil }}
}

// refuse runs each and wants a failure with its reason and a machine that was told nothing.
func (w world) refuse(t *testing.T, machine func() *hosttest.Memory, params map[string]string, cases map[string]refusal) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			runnertest.In(t, withActions(w.setup(machine), of(c.effect)), func(b *runnertest.Bench) {
				b.Run("do", params).Want(failed).WantReason(c.reason)
				if calls := b.Machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was told to %v, want nothing", calls)
				}
			})
		})
	}
}

// TestEffectsThatNoPlanMayHave: what could not be meant, or could mean more than it says, is refused with the plan.
func TestEffectsThatNoPlanMayHave(t *testing.T) {
	w := newWorld(t)
	var m hosttest.Memory
	was, wants := m.NESBinding(w.old.SHA256()), m.NESBinding(w.new.SHA256())
	bind := func(change func(before, after *actionv1.Binding)) *actionv1.Effect {
		before, after := proto.CloneOf(was), proto.CloneOf(wants)
		change(before, after)
		return sdk.BindingSet(before, after)
	}
	der, sha := w.authority.Certificate.Raw, w.authority.SHA256()
	w.refuse(t, w.host, secretParams(), map[string]refusal{
		"a store of another name":               {sdk.CertificateAdd("Disallowed", sha, der), "is not one of"},
		"a certificate of another hash":         {sdk.CertificateAdd("Root", w.new.SHA256(), der), "its certificate has the hash"},
		"a hash in capitals":                    {sdk.CertificateAdd("Root", "AB", der), "lower case hexadecimal"},
		"no certificate":                        {sdk.CertificateAdd("Root", sha, nil), "neither a certificate nor a PFX"},
		"a secret that nobody named":            {sdk.CertificateImport("My", w.new.SHA256(), sealed.Reference("other.pfx"), ""), "no parameter of the job names"},
		"a password that nobody named":          {sdk.CertificateImport("My", w.new.SHA256(), sealed.Reference("new.pfx"), sealed.Reference("x")), "no parameter of the job names"},
		"a binding that serves nothing":         {bind(func(_, a *actionv1.Binding) { a.CertificateSha256 = "" }), "hexadecimal"},
		"a binding that is removed":             {bind(func(_, a *actionv1.Binding) { a.Exists = false }), "nothing would be served"},
		"two bindings":                          {bind(func(b, _ *actionv1.Binding) { b.Port = 444 }), "of two bindings"},
		"a port that is none":                   {bind(func(b, a *actionv1.Binding) { b.Port, a.Port = 70000, 70000 }), "port 70000"},
		"an address that is none":               {bind(func(b, a *actionv1.Binding) { b.Address, a.Address = "x y", "x y" }), "neither * nor an IP address"},
		"a host that is none":                   {bind(func(b, a *actionv1.Binding) { b.Host, a.Host = "a b", "a b" }), "no name of a host"},
		"a name to choose by that is missing":   {bind(func(_, a *actionv1.Binding) { a.Sni = true }), "chosen by the name of a host"},
		"flags of another kind":                 {sdk.IISSet(actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, hosttest.CRLLocation, "None", "Ssl,Nonsense"), "SSL flags"},
		"an account that needs a password":      {sdk.IISSet(actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY, hosttest.NESPool, "LocalSystem", "SpecificUser"), "is not one of"},
		"an attribute of another kind":          {&actionv1.Effect{Effect: &actionv1.Effect_IisSet{IisSet: &actionv1.IISSet{Object: "x"}}}, "does not know"},
		"neither a site nor a pool":             {&actionv1.Effect{Effect: &actionv1.Effect_IisStart{IisStart: &actionv1.IISStart{}}}, "neither a site nor a pool"},
		"a pool that is no name":                {sdk.IISRecycle("x\" /y"), "is not a name"},
		"a device that is no USB device":        {sdk.DeviceSet("x", "24", "0001", false, time.Second), "four lower case hexadecimal digits"},
		"a device without a limit":              {sdk.DeviceSet("x", "2458", "0001", false, 0), "timeout"},
		"a power setting that is no GUID":       {sdk.PowerSet(&actionv1.PowerSet{Setting: &actionv1.PowerSetting{Subgroup: "a", Setting: "b"}}), "is not a GUID"},
		"a program that is a path":              {sdk.ProgramRun(`c:\calc.exe`, time.Minute, "", ""), "lower case letters"},
		"new files that pass for an output":     {sdk.ProgramRun("x", time.Minute, "output", ""), `kind "output"`},
		"a feature that is a command":           {sdk.FeatureAdd("", time.Minute, "a;b"), "is not the name of one"},
		"a source that is more than a folder":   {sdk.FeatureAdd("d:\\sxs' ; calc '", time.Minute, "a"), "folder"},
		"a change for longer than any may take": {sdk.FeatureAdd("", time.Hour, "a"), "timeout"},
	})
}

// TestEffectsThatAreNotDone: what the machine is not ready for is not begun, and the error says what to do.
func TestEffectsThatAreNotDone(t *testing.T) {
	w := newWorld(t)
	usb := hosttest.USBSuspendSetting()
	machine := func() *hosttest.Memory {
		m := w.host()
		m.Hold("My", w.new.Certificate, false)
		m.SetPower(&actionv1.PowerState{Setting: usb, Ac: 1, Dc: 1, ByPolicy: true})
		return m
	}
	flags, identity := actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY
	w.refuse(t, machine, secretParams(), map[string]refusal{
		"a PFX of another certificate":     {sdk.CertificateImport("WebHosting", w.authority.SHA256(), sealed.Reference("new.pfx"), sealed.Reference("new.pw")), "the plan was made for"},
		"a PFX whose password is missing":  {sdk.CertificateImport("WebHosting", w.new.SHA256(), sealed.Reference("new.pfx"), ""), "its password does not open it"},
		"a certificate that lacks its key": {sdk.CertificateImport("My", w.new.SHA256(), sealed.Reference("new.pfx"), sealed.Reference("new.pw")), "without its private key"},
		"a location that is not there":     {sdk.IISSet(flags, "Default Web Site/x", "None", "Ssl"), "is not there"},
		"flags that are others":            {sdk.IISSet(flags, hosttest.CRLLocation, "Ssl", "None"), "the plan was made for Ssl"},
		"a pool that is not there":         {sdk.IISSet(identity, "x", "LocalService", "LocalSystem"), "is not there"},
		"a pool to start that is missing":  {sdk.IISStartPool("x"), "is not there"},
		"a device that is not there":       {sdk.DeviceSet(`USB\VID_2458&PID_0001\9`, "2458", "0001", false, time.Second), "plug it in"},
		"what a policy sets":               {sdk.PowerSet(&actionv1.PowerSet{Setting: usb, AcBefore: 1, DcBefore: 1}), "group policy"},
		"a program that is not listed":     {sdk.ProgramRun("setup", time.Minute, "", ""), "add it to the agent's configuration"},
		"a feature that is not known":      {sdk.FeatureAdd("", time.Minute, "Nonsense"), "is not known"},
	})
}

// TestWhatIsAsWantedIsLeftAlone: an effect that is there already changes nothing and is a success.
func TestWhatIsAsWantedIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	machine := func() *hosttest.Memory {
		m := w.host()
		m.Hold("WebHosting", w.new.Certificate, true)
		m.Bind(w.new)
		m.Trust(w.authority.Certificate)
		return m
	}
	var m hosttest.Memory
	bound := m.NESBinding(w.new.SHA256())
	for name, e := range map[string]*actionv1.Effect{
		"a root":    sdk.CertificateAdd("Root", w.authority.SHA256(), w.authority.Certificate.Raw),
		"a PFX":     w.importNew(),
		"a binding": sdk.BindingSet(bound, bound),
		"flags":     sdk.IISSet(actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, hosttest.DefaultSite, "Ssl", "Ssl"),
		"a pool":    sdk.IISStartPool(hosttest.NESPool),
		"a feature": sdk.FeatureAdd("", time.Minute, "IIS-ISAPIExtensions"),
		"a setting": sdk.PowerSet(&actionv1.PowerSet{Setting: hosttest.USBSuspendSetting(), AcBefore: 1, DcBefore: 1, AcAfter: 1, DcAfter: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			runnertest.In(t, withActions(w.setup(machine), of(e)), func(b *runnertest.Bench) {
				b.Run("do", secretParams()).Want(succeeded)
				if calls := b.Machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was told to %v, want nothing", calls)
				}
			})
		})
	}
}

// TestSecretsStaySecret: what is imported leaves no trace of the password or the key in a result, whatever goes wrong.
func TestSecretsStaySecret(t *testing.T) {
	w := newWorld(t)
	broken := w
	broken.vault = vault{secrets: map[string][]byte{"new.pfx": []byte("not a PFX " + password), "new.pw": []byte(password)}}
	for name, world := range map[string]world{"a good PFX": w, "a broken one": broken} {
		t.Run(name, func(t *testing.T) {
			runnertest.In(t, withActions(world.setup(w.host), of(w.importNew())), func(b *runnertest.Bench) {
				res := b.Run("do", secretParams())
				if wire, err := proto.Marshal(res.TaskResult); err != nil || bytes.Contains(wire, []byte(password)) {
					t.Errorf("the result holds the password (%v): %v", err, res.TaskResult)
				}
			})
		})
	}
}
