package faults_test

import (
	"testing"

	"github.com/bandfleet/bandfleet/server/faults"
	"github.com/bandfleet/bandfleet/server/store"
)

func TestVerifyFindsWhatDoesNotAgree(t *testing.T) {
	for name, spoil := range map[string]func(f *fixture, w store.Writer) error{
		"a fault is gone": func(_ *fixture, w store.Writer) error { return w.Delete(store.TableFaults, store.Number(1)) },
		"an open one is not listed": func(_ *fixture, w store.Writer) error {
			return w.Delete(store.TableOpenFaults, store.OpenFaultKey("lyon", 1))
		},
		"one too many is listed": func(_ *fixture, w store.Writer) error {
			return w.Put(store.TableOpenFaults, store.OpenFaultKey("lyon", 99), nil)
		},
		"one that is due is not listed": func(f *fixture, w store.Writer) error {
			return w.Delete(store.TableDueFaults, store.PairKey(uint64(f.now().UnixNano()), 1))
		},
		"its key leads elsewhere": func(_ *fixture, w store.Writer) error {
			return w.Put(store.TableFaultKeys, store.FaultKey("T-0001", "nbe-missing", ""), store.Number(2))
		},
		"an incident is counted wrongly": func(_ *fixture, w store.Writer) error {
			text, err := w.Get(store.TableFaults, store.Number(3))
			if err != nil {
				return err
			}
			return w.Put(store.TableFaults, store.Number(4), text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.tell("T-0001", f.saw("nbe-missing", ""))
			f.tell("T-0002", f.saw("nbe-missing", ""))
			f.tell("T-0001", f.saw(netDown, ""))
			f.tell("T-0002", f.saw(netDown, ""))
			f.terminal("T-0005", "lyon")
			f.tell("T-0005", f.saw(netDown, ""))
			f.sound()
			if err := f.store.Update(t.Context(), func(w store.Writer) error { return spoil(f, w) }); err != nil {
				t.Fatal(err)
			}
			if found, err := faults.Verify(t.Context(), f.store); err == nil {
				t.Errorf("found %q, and nothing wrong with it", found)
			}
		})
	}
}
