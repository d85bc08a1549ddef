package runner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	conflict   = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT
	obligation = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION
)

// clumsy binds as a machine might that has no better way: it takes the old binding away before it makes the new one.
type clumsy struct {
	host.Bindings
	// refuses is the certificate that it cannot bind; empty for none.
	refuses string
}

func (c clumsy) Set(ctx context.Context, b *actionv1.Binding) error {
	if err := c.Remove(ctx, b); err != nil && !errors.Is(err, host.ErrNotExist) {
		return err
	}
	if c.refuses != "" && b.GetCertificateSha256() == c.refuses {
		return errors.New("the certificate is not to its liking")
	}
	return c.Bindings.Set(ctx, b)
}

// binder is the action that imports the new certificate and binds it.
func (w world) binder() kind { return kinds(w)["a PFX and its binding"] }

func (w world) clumsySetup(refuses string) runnertest.Setup {
	s := w.setup(w.host)
	configure := s.Configure
	s.Configure = func(c *runner.Config) {
		configure(c)
		c.Host.Bindings = clumsy{c.Host.Bindings, refuses}
	}
	return s
}

// TestAFailedBindingIsTakenBackAtOnce: a certificate that cannot be bound leaves the old one served, before the plugin hears of it.
func TestAFailedBindingIsTakenBackAtOnce(t *testing.T) {
	w := newWorld(t)
	k := w.binder()
	runnertest.In(t, withActions(w.clumsySetup(w.new.SHA256()), k.doer), func(b *runnertest.Bench) {
		begun := time.Now()
		res := b.Run("do", k.params).Want(rolledBack).WantReason("not to its liking")
		if e := res.EffectOf("b"); e.GetChanged() || e.GetAfter().GetBinding().GetCertificateSha256() != w.old.SHA256() {
			t.Errorf("the effect left %v, want the old certificate served", e.GetAfter())
		}
		w.checkOld(t, b.Machine)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %s, want seconds", took)
		}
	})
}

func (w world) checkOld(t *testing.T, m *hosttest.Memory) {
	t.Helper()
	if m.Bound() != w.old.SHA256() {
		t.Errorf("the site serves %q, want the old certificate", m.Bound())
	}
}

// TestACrashWhileNothingIsBound kills the agent between the end of the old binding and the new one, too.
func TestACrashWhileNothingIsBound(t *testing.T) {
	w := newWorld(t)
	k := w.binder()
	for name, refuses := range map[string]string{"that comes about": "", "that does not": w.new.SHA256()} {
		for _, repeat := range []actionv1.Repeatability{actionv1.Repeatability_REPEATABILITY_PROBE, actionv1.Repeatability_REPEATABILITY_REPEATABLE,
			actionv1.Repeatability_REPEATABILITY_ONE_SHOT} {
			t.Run(name+" "+repeat.String(), func(t *testing.T) {
				t.Parallel()
				k := k
				k.repeat = repeat
				runnertest.Crash(t, runnertest.Case{
					Action: k.doer, Params: k.params, Setup: w.clumsySetup(refuses), Twice: true,
					May:   []actionv1.TaskStatus{succeeded, failed, rolledBack, actionv1.TaskStatus_TASK_STATUS_UNKNOWN},
					Check: func(t *testing.T, m *hosttest.Memory, _ *actionv1.TaskResult) { w.checkServed(t, m, true) },
				})
			})
		}
	}
}

// TestAnOldCertificateThatIsGone: what cannot be bound again at once is bound as soon as it can be, and until then the new one stays served.
func TestAnOldCertificateThatIsGone(t *testing.T) {
	w := newWorld(t)
	k := w.binder()
	k.fails = true
	runnertest.In(t, withActions(w.setup(w.host), k.doer), func(b *runnertest.Bench) {
		b.Machine.Interpose(func(call string) error {
			if call == `certificate-import "WebHosting"` {
				b.Machine.Drop("WebHosting", w.old.SHA256())
			}
			return nil
		})
		b.Run("do", k.params).Want(actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED).WantUndone("binding", obligation).WantUndone("certificate", obligation)
		if b.Machine.Bound() != w.new.SHA256() {
			t.Errorf("the site serves %q, want the new certificate while the old one is gone", b.Machine.Bound())
		}
		b.Machine.Hold("WebHosting", w.old.Certificate, true)
		time.Sleep(10 * time.Minute)
		w.checkOld(t, b.Machine)
		if w.holdsNew(t, b.Machine) {
			t.Error("the new certificate is in its store, want it removed once nothing serves it")
		}
	})
}

func (w world) holdsNew(t *testing.T, m *hosttest.Memory) bool {
	t.Helper()
	list, err := m.Host().Certificates.List(context.Background(), "WebHosting")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(list, func(c *actionv1.Certificate) bool { return c.GetSha256() == w.new.SHA256() })
}

// TestASiteIsNotLeftCutOff: while nothing can be bound the agent keeps trying, and through a restart of it, every few seconds.
func TestASiteIsNotLeftCutOff(t *testing.T) {
	w := newWorld(t)
	k := w.binder()
	runnertest.In(t, withActions(w.clumsySetup(""), k.doer), func(b *runnertest.Bench) {
		stuck := true
		b.Machine.Interpose(func(call string) error {
			if stuck && strings.HasPrefix(call, "bind ") {
				return errors.New("the web server answers nothing")
			}
			return nil
		})
		b.Run("do", k.params).Want(actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED).WantUndone("binding", obligation)
		time.Sleep(time.Hour)
		b.Stop()
		stuck = false
		b.Start()
		time.Sleep(20 * time.Second)
		w.checkOld(t, b.Machine)
	})
}

// TestACertificateThatIsServedElsewhere stays, whatever becomes of the action: taking it away would cut others off.
func TestACertificateThatIsServedElsewhere(t *testing.T) {
	w := newWorld(t)
	k := w.binder()
	k.fails = true
	var machine *hosttest.Memory
	k.meanwhile = func() {
		other := machine.NESBinding(w.new.SHA256())
		other.Port = 8443
		machine.SetBinding(other)
	}
	runnertest.In(t, withActions(w.setup(w.host), k.doer), func(b *runnertest.Bench) {
		machine = b.Machine
		b.Run("do", k.params).Want(actionv1.TaskStatus_TASK_STATUS_CONFLICT).WantUndone("binding", done).WantUndone("certificate", conflict)
		w.checkOld(t, b.Machine)
		if !w.holdsNew(t, b.Machine) {
			t.Error("the new certificate is gone from its store, want it there: a binding of somebody else serves it")
		}
	})
}

// TestSomebodyElsesBinding is left alone.
func TestSomebodyElsesBinding(t *testing.T) {
	w := newWorld(t)
	third, err := w.authority.Issue(sample.Wanted{Names: []string{hosttest.NESHostname}})
	if err != nil {
		t.Fatal(err)
	}
	k := w.binder()
	k.fails = true
	var machine *hosttest.Memory
	k.meanwhile = func() { machine.Bind(third) }
	runnertest.In(t, withActions(w.setup(w.host), k.doer), func(b *runnertest.Bench) {
		machine = b.Machine
		b.Run("do", k.params).Want(actionv1.TaskStatus_TASK_STATUS_CONFLICT).WantUndone("binding", conflict).WantUndone("certificate", done)
		if b.Machine.Bound() != third.SHA256() {
			t.Errorf("the site serves %q, want what somebody else has bound", b.Machine.Bound())
		}
	})
}

// TestBindingsThatAreNotDone: what is not as the plan has it, or could not be served, is not begun.
func TestBindingsThatAreNotDone(t *testing.T) {
	w := newWorld(t)
	var m hosttest.Memory
	was, wants := m.NESBinding(w.old.SHA256()), m.NESBinding(w.new.SHA256())
	other := proto.CloneOf(was)
	other.CertificateSha256 = w.authority.SHA256()
	for name, c := range map[string]struct {
		before, after *actionv1.Binding
		hold          bool
		key           bool
		reason        string
	}{
		"another certificate than planned": {other, wants, true, true, "the plan was made for"},
		"a certificate that is not there":  {was, wants, false, false, "is not in store"},
		"a certificate without its key":    {was, wants, true, false, "without its private key"},
	} {
		t.Run(name, func(t *testing.T) {
			action := doer{effects: []*actionv1.Effect{sdk.BindingSet(c.before, c.after)},
				look: func(context.Context, *sdk.VerifyRun) (bool, error) { return true, nil }}
			runnertest.In(t, withActions(w.setup(w.host), action), func(b *runnertest.Bench) {
				if c.hold {
					b.Machine.Hold("WebHosting", w.new.Certificate, c.key)
				}
				b.Run("do", nil).Want(failed).WantReason(c.reason)
				w.checkOld(t, b.Machine)
				if calls := b.Machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was told to %v, want nothing", calls)
				}
			})
		})
	}
}

// TestANewBinding is made, and taken away when the action gives up.
func TestANewBinding(t *testing.T) {
	w := newWorld(t)
	before := &actionv1.Binding{Site: hosttest.DefaultSite, Address: "*", Port: 8443}
	after := proto.CloneOf(before)
	after.Exists, after.Store, after.CertificateSha256 = true, "WebHosting", w.old.SHA256()
	action := doer{effects: []*actionv1.Effect{sdk.BindingSet(before, after)}, fails: true,
		look: func(context.Context, *sdk.VerifyRun) (bool, error) { return true, nil }}
	runnertest.In(t, withActions(w.setup(w.host), action), func(b *runnertest.Bench) {
		b.Run("do", nil).Want(rolledBack).WantUndone("8443", done)
		wantCall(t, b.Machine, "bind")
		if list, err := b.Host().Bindings.List(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("bindings are %v, %v; want the one that was there", list, err)
		}
	})
}

// forgetful does not say of a binding without a certificate which store it is of.
type forgetful struct{ host.Bindings }

func (f forgetful) List(ctx context.Context) ([]*actionv1.Binding, error) {
	list, err := f.Bindings.List(ctx)
	for _, b := range list {
		if b.GetCertificateSha256() == "" {
			b.Store = ""
		}
	}
	return list, err
}

// TestABindingThatServedNothing is again as it was when the action gives up.
func TestABindingThatServedNothing(t *testing.T) {
	w := newWorld(t)
	var m hosttest.Memory
	before, after := m.NESBinding(""), m.NESBinding(w.old.SHA256())
	action := doer{effects: []*actionv1.Effect{sdk.BindingSet(before, after)}, fails: true,
		look: func(context.Context, *sdk.VerifyRun) (bool, error) { return true, nil }}
	s := w.setup(func() *hosttest.Memory {
		m := w.host()
		m.SetBinding(before)
		return m
	})
	configure := s.Configure
	s.Configure = func(c *runner.Config) {
		configure(c)
		c.Host.Bindings = forgetful{c.Host.Bindings}
	}
	runnertest.In(t, withActions(s, action), func(b *runnertest.Bench) {
		b.Run("do", nil).Want(rolledBack).WantUndone("binding", done)
		wantCall(t, b.Machine, "bind")
		if b.Machine.Bound() != "" {
			t.Errorf("the site serves %q, want nothing, as before", b.Machine.Bound())
		}
	})
}
