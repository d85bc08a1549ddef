//go:build realhost

package host_test

import (
	"context"
	"errors"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
)

// TestRegistryPrunesWhatItMade: undo removes the keys that Set made, in its own view, and nothing that others use.
func TestRegistryPrunesWhatItMade(t *testing.T) {
	h, err := host.Local(host.LocalConfig{})
	if err != nil {
		t.Fatal(err)
	}
	const top, key = `SOFTWARE\Bandfleet Prune Test`, `SOFTWARE\Bandfleet Prune Test\A\B`
	for name, r := range map[string]host.Registry{"64-bit view": h.Registry, "32-bit view": h.Registry.View32()} {
		wantLevels(t, name, r, key, 1)
		if err := r.Set(t.Context(), key, "URL", name); err != nil {
			t.Fatal(err)
		}
		wantLevels(t, name, r, key, 4)
		if err := r.Prune(t.Context(), key, 1); err != nil {
			t.Fatal(err)
		}
		wantLevels(t, name+", with a value in it", r, key, 4)
		if err := errors.Join(r.Delete(t.Context(), key, "URL"), r.Set(t.Context(), top, "other", "x"), r.Prune(t.Context(), key, 1)); err != nil {
			t.Fatal(err)
		}
		wantLevels(t, name+", with a value two levels up", r, key, 2)
		if err := errors.Join(r.Delete(t.Context(), top, "other"), r.Prune(t.Context(), key, 2)); err != nil {
			t.Fatal(err)
		}
		wantLevels(t, name+", two levels kept", r, key, 2)
		if err := r.Prune(t.Context(), key, 1); err != nil {
			t.Fatal(err)
		}
		wantLevels(t, name+", pruned", r, key, 1)
	}
}

// TestRegistryViewsAreApart: what is set in one view is not in the other.
func TestRegistryViewsAreApart(t *testing.T) {
	h, err := host.Local(host.LocalConfig{})
	if err != nil {
		t.Fatal(err)
	}
	const key = `SOFTWARE\Bandfleet View Test`
	if err := h.Registry.View32().Set(t.Context(), key, "URL", "32"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(h.Registry.View32().Delete(context.Background(), key, "URL"), h.Registry.View32().Prune(context.Background(), key, 1)); err != nil {
			t.Error(err)
		}
	})
	if got, err := h.Registry.Get(t.Context(), key, "URL"); !errors.Is(err, host.ErrNotExist) {
		t.Errorf("the 64-bit view has %q, %v; want that it does not exist: the agent must know which program reads it", got, err)
	}
}

func wantLevels(t *testing.T, when string, r host.Registry, key string, want uint32) {
	t.Helper()
	if got, err := r.Levels(t.Context(), key); err != nil || got != want {
		t.Errorf("%s: %q has %d levels, %v; want %d", when, key, got, err, want)
	}
}
