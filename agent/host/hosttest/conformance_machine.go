package hosttest

import (
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

func testAdapter(t *testing.T, f Fixture) {
	state, err := f.Host.Devices.USB(t.Context(), host.AdapterVendor, host.AdapterProduct)
	if err != nil || len(state.GetDevices()) != 1 {
		t.Fatalf("USB = %v, %v; want exactly the one adapter", state, err)
	}
	adapter := state.GetDevices()[0]
	if adapter.GetInstance() == "" || adapter.GetName() == "" || adapter.GetPort() == "" || adapter.GetProblemCode() != 0 {
		t.Errorf("adapter = %v, want instance, name and port, and no problem", adapter)
	}
}

func testNoDevice(t *testing.T, f Fixture) {
	state, err := f.Host.Devices.USB(t.Context(), "ffff", "fffe")
	if err != nil || len(state.GetDevices()) != 0 {
		t.Errorf("USB = %v, %v; want no devices and no error: absence is an answer", state, err)
	}
}

func testReachable(t *testing.T, f Fixture) {
	result, err := f.Host.Network.ProbeTCP(t.Context(), f.Reachable, 5*time.Second)
	if err != nil || !result.GetReachable() || result.GetReason() != "" {
		t.Errorf("ProbeTCP(%s) = %v, %v; want reachable, without a reason", f.Reachable, result, err)
	}
}

func testUnreachable(t *testing.T, f Fixture) {
	result, err := f.Host.Network.ProbeTCP(t.Context(), f.Unreachable, 5*time.Second)
	if err != nil || result.GetReachable() || !strings.Contains(result.GetReason(), "refused") {
		t.Errorf("ProbeTCP(%s) = %v, %v; want unreachable because the connection was refused, without an error", f.Unreachable, result, err)
	}
}

func testBadAddress(t *testing.T, f Fixture) {
	if result, err := f.Host.Network.ProbeTCP(t.Context(), "no-port", time.Second); err == nil {
		t.Errorf("ProbeTCP = %v; want an error: an address without a port is a mistake, not an unreachable peer", result)
	}
}

const registryKey, registryValue = `SOFTWARE\Bandfleet Test\Conformance`, "URL"

func testRegistry(t *testing.T, f Fixture) {
	registry, ctx := f.Host.Registry, t.Context()
	if !f.Registry {
		_, err := registry.Get(ctx, registryKey, registryValue)
		wantError(t, "Get", err, host.ErrNotSupported, "registry")
		wantError(t, "Set", registry.Set(ctx, registryKey, registryValue, "x"), host.ErrNotSupported, "registry")
		wantError(t, "Delete", registry.Delete(ctx, registryKey, registryValue), host.ErrNotSupported, "registry")
		return
	}
	for _, data := range []string{"https://nes.example/nes/", "", "Ä\\%PATH%"} {
		if err := registry.Set(ctx, registryKey, registryValue, data); err != nil {
			t.Fatalf("Set = %v, want success", err)
		}
		if got, err := registry.Get(ctx, strings.ToUpper(registryKey), "url"); err != nil || got != data {
			t.Errorf("Get in another case = %q, %v; want %q", got, err, data)
		}
	}
	if err := registry.Delete(ctx, registryKey, registryValue); err != nil {
		t.Fatalf("Delete = %v, want success", err)
	}
	wantError(t, "second Delete", registry.Delete(ctx, registryKey, registryValue), host.ErrNotExist, registryValue)
	_, err := registry.Get(ctx, registryKey, registryValue)
	wantError(t, "Get after Delete", err, host.ErrNotExist, registryValue)
	_, err = registry.Get(ctx, registryKey+`\No Such Key`, registryValue)
	wantError(t, "Get below a key that is not there", err, host.ErrNotExist, "No Such Key")
	if err := registry.Prune(ctx, registryKey, 1); err != nil {
		t.Errorf("Prune = %v, want success: nothing of the test stays", err)
	}
}

func testSystem(t *testing.T, f Fixture) {
	state, err := f.Host.System.Describe(t.Context())
	if err != nil {
		t.Fatalf("Describe = %v, want success", err)
	}
	if state.GetHostname() == "" || state.GetOs() == "" || state.GetOsVersion() == "" || state.GetBootId() == "" || len(state.GetAddresses()) == 0 {
		t.Errorf("Describe = %v, want every field set", state)
	}
	again, err := f.Host.System.Describe(t.Context())
	if err != nil || again.GetBootId() != state.GetBootId() {
		t.Errorf("boot id %q, then %q (%v): it changes only when the machine starts", state.GetBootId(), again.GetBootId(), err)
	}
}
