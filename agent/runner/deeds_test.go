package runner_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

const (
	succeeded  = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	failed     = actionv1.TaskStatus_TASK_STATUS_FAILED
	rolledBack = actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK
	done       = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
)

// doer is an action that does its effects, one after the other, and then looks whether they are there.
type doer struct {
	effects []*actionv1.Effect
	// reads are the rights that looking needs.
	reads []*actionv1.Capability
	look  func(ctx context.Context, r *sdk.VerifyRun) (bool, error)
	// fails has Apply give up after everything was done, and Verify find that it is not there.
	fails bool
	// meanwhile is what somebody else does when all is done; nil for nothing.
	meanwhile func()
	repeat    actionv1.Repeatability
}

func (d doer) Manifest() *actionv1.Action {
	m := &actionv1.Action{
		Name: "do", Repeatability: d.repeat, MaxDuration: durationpb.New(50 * time.Minute), Resources: []string{"host"}, Capabilities: d.reads,
		Params: []*actionv1.Param{
			{Name: "pfx", Type: actionv1.ParamType_PARAM_TYPE_SECRET}, {Name: "password", Type: actionv1.ParamType_PARAM_TYPE_SECRET},
		},
	}
	if d.repeat == 0 {
		m.Repeatability = actionv1.Repeatability_REPEATABILITY_PROBE
	}
	for _, e := range d.effects {
		m.Capabilities = append(m.Capabilities, rights.OfEffect(e)...)
	}
	return m
}

func id(i int) string { return string(rune('a' + i)) }

func (d doer) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	var planned []*actionv1.PlannedEffect
	for i, e := range d.effects {
		planned = append(planned, sdk.Planned(id(i), e, "", ""))
	}
	return sdk.Ready(planned...), nil
}

func (d doer) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	for i := range d.effects {
		if err := r.MustDo(ctx, id(i)); err != nil {
			return err
		}
	}
	if d.meanwhile != nil {
		d.meanwhile()
	}
	if d.fails {
		return sdk.Fail("it was not to be", "")
	}
	return nil
}

func (d doer) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	ok, err := d.look(ctx, r)
	if err != nil {
		return nil, err
	}
	return sdk.Verdict(sdk.Check("it is there", "yes", "see the machine", ok && !d.fails)), nil
}

// vault is a server and a key for the two secrets of a test.
type vault struct {
	runner.Asker
	secrets map[string][]byte
}

func (v vault) Secret(_ context.Context, _ *agentv1.TaskKey, name string) (*agentv1.SealedSecret, error) {
	return &agentv1.SealedSecret{Name: name}, nil
}

// Unseal implements runner.Unsealer.
func (v vault) Unseal(s *agentv1.SealedSecret) ([]byte, error) {
	return bytes.Clone(v.secrets[s.GetName()]), nil
}

// shelf is a spool that keeps what is added in memory.
type shelf struct {
	mu   sync.Mutex
	kept map[string]string
	full bool
}

func (s *shelf) Begin(string) runner.Whole { return nothing{} }

func (s *shelf) Add(_ context.Context, k *agentv1.TaskKey, kind, subject string, from io.Reader) (*actionv1.ArtifactReference, error) {
	content, err := io.ReadAll(from)
	if s.full {
		err = errors.New("the disk is nearly full")
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[k.GetJobId()+" "+kind+" "+subject] = string(content)
	return &actionv1.ArtifactReference{Kind: kind, Subject: subject, Size: uint64(len(content)), Sha256: sample.SHA256(content)}, nil
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Seen() uint64                { return 0 }
func (nothing) Discard() error              { return nil }
func (nothing) Keep(*agentv1.TaskKey) (*actionv1.ArtifactReference, error) {
	return nil, errors.New("nothing is kept")
}

// world is what the machines of a test have in common: what is issued outside of bubbles is the same in all of them.
type world struct {
	authority *sample.Authority
	old, new  *sample.Identity
	vault     vault
}

const password = "correct horse"

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{}
	var err error
	must := func() {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.authority, err = sample.NewAuthority("Plant CA")
	must()
	w.old, err = w.authority.Issue(sample.Wanted{Names: []string{hosttest.NESHostname}})
	must()
	w.new, err = w.authority.Issue(sample.Wanted{Names: []string{hosttest.NESHostname}})
	must()
	file, err := w.new.PFX(password)
	must()
	w.vault = vault{secrets: map[string][]byte{"new.pfx": file, "new.pw": []byte(password)}}
	return w
}

// host is a NES host that serves the old certificate.
func (w world) host() *hosttest.Memory {
	m := hosttest.NewNESHost()
	m.Bind(w.old)
	m.SetPool(hosttest.ClassicPool, "LocalService", false)
	m.SetFeature("IIS-ASPNET45", false)
	return m
}

func (w world) setup(machine func() *hosttest.Memory) runnertest.Setup {
	return runnertest.Setup{
		Machine:   machine,
		Configure: func(c *runner.Config) { c.Unsealer, c.Spool = w.vault, &shelf{kept: map[string]string{}} },
		Ready:     func(r *runner.Runner) { r.SetAsker(w.vault) },
	}
}

func secretParams() map[string]string {
	return map[string]string{"pfx": sealed.Reference("new.pfx"), "password": sealed.Reference("new.pw")}
}

func (w world) importNew() *actionv1.Effect {
	return sdk.CertificateImport("WebHosting", w.new.SHA256(), sealed.Reference("new.pfx"), sealed.Reference("new.pw"))
}

func (w world) bindNew() *actionv1.Effect {
	m := hosttest.Memory{}
	return sdk.BindingSet(m.NESBinding(w.old.SHA256()), m.NESBinding(w.new.SHA256()))
}

// kind is an effect, or what belongs together, on a machine.
type kind struct {
	doer
	machine func() *hosttest.Memory
	params  map[string]string
	// undone is how it ends when the action gives up: rolled back, or failed when that cannot be.
	undone actionv1.TaskStatus
	// call is what the machine is told to do.
	call string
}

func kinds(w world) map[string]kind {
	serves := func(sha string) func(context.Context, *sdk.VerifyRun) (bool, error) {
		return func(ctx context.Context, r *sdk.VerifyRun) (bool, error) {
			list, err := r.Bindings(ctx)
			return len(list) == 1 && list[0].GetCertificateSha256() == sha, err
		}
	}
	inventory := func(good func(i *actionv1.IISInventory) bool) func(context.Context, *sdk.VerifyRun) (bool, error) {
		return func(ctx context.Context, r *sdk.VerifyRun) (bool, error) {
			i, err := r.IIS(ctx, hosttest.CRLLocation)
			return err == nil && good(i), err
		}
	}
	pool := func(i *actionv1.IISInventory, name string) *actionv1.IISPool {
		for _, p := range i.GetPools() {
			if p.GetName() == name {
				return p
			}
		}
		return nil
	}
	const adapter = `USB\VID_2458&PID_0001\1`
	usb := hosttest.USBSuspendSetting()
	return map[string]kind{
		"a root certificate": {doer{
			effects: []*actionv1.Effect{sdk.CertificateAdd("Root", w.authority.SHA256(), w.authority.Certificate.Raw)},
			reads:   []*actionv1.Capability{sdk.ReadCertificates("Root")},
			look: func(ctx context.Context, r *sdk.VerifyRun) (bool, error) {
				list, err := r.Certificates(ctx, "Root")
				return len(list) == 1 && list[0].GetSha256() == w.authority.SHA256(), err
			},
		}, hosttest.NewMemory, nil, rolledBack, "certificate-add"},
		"a PFX and its binding": {doer{
			effects: []*actionv1.Effect{w.importNew(), w.bindNew()}, reads: []*actionv1.Capability{sdk.ReadBindings()}, look: serves(w.new.SHA256()),
		}, w.host, secretParams(), rolledBack, "bind"},
		"SSL flags": {doer{
			effects: []*actionv1.Effect{sdk.IISSet(actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, hosttest.CRLLocation, "None", "Ssl,SslNegotiateCert")},
			reads:   []*actionv1.Capability{sdk.ReadIIS()},
			look: inventory(func(i *actionv1.IISInventory) bool {
				return i.GetSslFlags()[hosttest.CRLLocation] == "Ssl,SslNegotiateCert"
			}),
		}, w.host, nil, rolledBack, "iis-set"},
		"a pool's identity": {doer{
			effects: []*actionv1.Effect{sdk.IISSet(actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY, hosttest.ClassicPool, "LocalService", "LocalSystem")},
			reads:   []*actionv1.Capability{sdk.ReadIIS()},
			look: inventory(func(i *actionv1.IISInventory) bool {
				return pool(i, hosttest.ClassicPool).GetIdentity() == "LocalSystem"
			}),
		}, w.host, nil, rolledBack, "iis-set"},
		"a pool that is started and recycled": {doer{
			effects: []*actionv1.Effect{sdk.IISStartPool(hosttest.ClassicPool), sdk.IISRecycle(hosttest.ClassicPool)},
			reads:   []*actionv1.Capability{sdk.ReadIIS()},
			look:    inventory(func(i *actionv1.IISInventory) bool { return pool(i, hosttest.ClassicPool).GetStarted() }),
		}, w.host, nil, failed, "pool-recycle"},
		"an adapter": {doer{
			effects: []*actionv1.Effect{
				sdk.DeviceSet(adapter, host.AdapterVendor, host.AdapterProduct, false, 10*time.Second),
				sdk.DeviceSet(adapter, host.AdapterVendor, host.AdapterProduct, true, 10*time.Second),
			},
			reads: []*actionv1.Capability{{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_READ, Object: "2458:0001"}},
			look: func(ctx context.Context, r *sdk.VerifyRun) (bool, error) {
				d, err := r.Device(ctx, host.AdapterVendor, host.AdapterProduct)
				return len(d.GetDevices()) == 1 && !d.GetDevices()[0].GetDisabled(), err
			},
		}, hosttest.NewMemory, nil, failed, "disable"},
		"a power setting": {doer{
			effects: []*actionv1.Effect{sdk.PowerSet(&actionv1.PowerSet{Setting: usb, AcBefore: 1, DcBefore: 1})},
			reads:   []*actionv1.Capability{sdk.ReadPower(hosttest.USBSuspend)},
			look: func(ctx context.Context, r *sdk.VerifyRun) (bool, error) {
				p, err := r.Power(ctx, usb)
				return p.GetAc() == 0 && p.GetDc() == 0, err
			},
		}, hosttest.NewMemory, nil, rolledBack, "power-set"},
		"features": {doer{
			effects: []*actionv1.Effect{sdk.FeatureAdd("", 5*time.Minute, "IIS-ASPNET45", "IIS-ISAPIExtensions")},
			reads:   []*actionv1.Capability{sdk.ReadFeatures()},
			look: func(ctx context.Context, r *sdk.VerifyRun) (bool, error) {
				f, err := r.Features(ctx, "IIS-ASPNET45")
				return err == nil && f.GetFeatures()[0].GetInstalled(), err
			},
		}, w.host, nil, failed, "feature-add"},
	}
}

// TestDoneAndUndone: each kind does what it says, and when the action gives up, all that can be put back is.
func TestDoneAndUndone(t *testing.T) {
	w := newWorld(t)
	for name, k := range kinds(w) {
		t.Run(name, func(t *testing.T) {
			runnertest.In(t, withActions(w.setup(k.machine), k.doer), func(b *runnertest.Bench) {
				b.Run("do", k.params).Want(succeeded)
				wantCall(t, b.Machine, k.call)
			})
			gives := k.doer
			gives.fails = true
			runnertest.In(t, withActions(w.setup(k.machine), gives), func(b *runnertest.Bench) {
				res := b.Run("do", k.params).Want(k.undone).WantReason("it was not to be")
				if k.undone != rolledBack {
					return
				}
				for _, u := range res.GetUndone() {
					res.WantUndone(u.GetResource(), done)
				}
			})
		})
	}
}

func withActions(s runnertest.Setup, actions ...sdk.Action) runnertest.Setup {
	s.Plugins = runnertest.Actions(actions...)
	return s
}

func wantCall(t *testing.T, m *hosttest.Memory, verb string) {
	t.Helper()
	for _, call := range m.Calls() {
		if strings.HasPrefix(call, verb+" ") {
			return
		}
	}
	t.Errorf("the machine was told to %v, want a %s", m.Calls(), verb)
}

// TestCrashesOfEachKind kills the agent at each step: in the end each resource is as before or as wanted, and something is always served.
func TestCrashesOfEachKind(t *testing.T) {
	w := newWorld(t)
	for name, k := range kinds(w) {
		for _, fails := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				k := k
				k.fails = fails
				c := runnertest.Case{
					Action: k.doer, Params: k.params, Setup: w.setup(k.machine), Twice: k.call == "bind",
					May: []actionv1.TaskStatus{succeeded, failed, rolledBack, actionv1.TaskStatus_TASK_STATUS_UNKNOWN},
					Check: func(t *testing.T, m *hosttest.Memory, _ *actionv1.TaskResult) {
						w.checkServed(t, m, k.call == "bind")
						checkEnabled(t, m)
					},
				}
				runnertest.Crash(t, c)
			})
		}
	}
}

func (w world) checkServed(t *testing.T, m *hosttest.Memory, binds bool) {
	t.Helper()
	if !binds {
		return
	}
	if sha := m.Bound(); sha != w.old.SHA256() && sha != w.new.SHA256() {
		t.Errorf("the site serves %q in the end, want the old certificate or the new one", sha)
	}
}

func checkEnabled(t *testing.T, m *hosttest.Memory) {
	t.Helper()
	state, err := m.Host().Devices.USB(context.Background(), host.AdapterVendor, host.AdapterProduct)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range state.GetDevices() {
		if d.GetDisabled() {
			t.Errorf("device %q is disabled in the end, want it enabled as it was", d.GetInstance())
		}
	}
}
