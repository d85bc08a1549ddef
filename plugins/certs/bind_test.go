package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const bind = "https-binding-set"

// bindFleet is a fleet whose host has the new certificate with its key.
func bindFleet(t *testing.T, more func(*fleet, *hosttest.Memory)) *fleet {
	f := newFleet(t)
	f.arrange = func(m *hosttest.Memory) {
		m.Hold(storeWebHosting, f.fresh.Certificate, true)
		if more != nil {
			more(f, m)
		}
	}
	return f
}

func unbind(_ *fleet, m *hosttest.Memory) {
	b := m.NESBinding("")
	b.Exists = false
	m.SetBinding(b)
}

func TestBindingIsSetAndMade(t *testing.T) {
	for name, more := range map[string]func(*fleet, *hosttest.Memory){"set": nil, "made": unbind} {
		t.Run(name, func(t *testing.T) {
			f := bindFleet(t, more)
			runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
				b.Run(bind, map[string]string{"thumbprint": f.fresh.SHA256()}).Want(succeeded)
				if b.Machine.Bound() != f.fresh.SHA256() {
					t.Errorf("the binding serves %q, want the certificate that was named", b.Machine.Bound())
				}
			})
		})
	}
}

// A binding that was made is removed again when terminals do not accept it; nothing else is.
func TestBindingThatWasMadeIsRemoved(t *testing.T) {
	f := bindFleet(t, unbind)
	f.distrusts["T-1"] = "not trusted here"
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		b.Run(bind, map[string]string{"thumbprint": f.fresh.SHA256()}).Want(rolledBack).WantReason("T-1: not trusted here")
		list, err := b.Host().Bindings.List(t.Context())
		if err != nil || len(list) > 0 {
			t.Errorf("bindings are %v, %v; want none as before", list, err)
		}
		if !holds(t, b, storeWebHosting, f.fresh.SHA256()) {
			t.Error("the certificate is gone, which this has not brought")
		}
	})
}

func TestBindingDiesAnywhere(t *testing.T) {
	f := bindFleet(t, nil)
	runnertest.Crash(t, runnertest.Case{
		Action: httpsBindingSet{}, Params: map[string]string{"thumbprint": f.fresh.SHA256()}, Setup: f.setup(),
		May: []actionv1.TaskStatus{succeeded, rolledBack, actionv1.TaskStatus_TASK_STATUS_FAILED},
		Check: func(t *testing.T, m *hosttest.Memory, _ *actionv1.TaskResult) {
			if m.Bound() != f.old.SHA256() && m.Bound() != f.fresh.SHA256() {
				t.Errorf("the binding serves %q, want the old or the new certificate", m.Bound())
			}
		},
	})
}
