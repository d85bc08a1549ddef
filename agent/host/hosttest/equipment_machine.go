package hosttest

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func (e Equipment) mustWrite(t *testing.T, name, content string) {
	t.Helper()
	if err := e.Host.Files.Write(t.Context(), e.FilesRoot, name, []byte(content)); err != nil {
		t.Fatalf("Write(%q) = %v, want success", name, err)
	}
}

func testStatAndOpen(t *testing.T, e Equipment) {
	files, ctx := e.Host.Files, t.Context()
	state, err := files.Stat(ctx, e.FilesRoot, fileName)
	if err != nil || state.GetExists() || state.GetPath() != fileName || state.GetRoot() != e.FilesRoot {
		t.Errorf("Stat = %v, %v; want the file named and not there, without an error: absence is an answer", state, err)
	}
	_, err = files.Open(ctx, e.FilesRoot, fileName)
	wantError(t, "Open", err, host.ErrNotExist, fileName)
	begun := time.Now().Add(-2 * time.Second) // file systems keep coarse times
	e.mustWrite(t, fileName, "12345")
	state, err = files.Stat(ctx, e.FilesRoot, fileName)
	if err != nil || !state.GetExists() || state.GetSize() != 5 || state.GetModified().AsTime().Before(begun) {
		t.Errorf("Stat = %v, %v; want 5 bytes, written just now", state, err)
	}
	for _, name := range RefusedPaths() {
		_, statErr := files.Stat(ctx, e.FilesRoot, name)
		_, openErr := files.Open(ctx, e.FilesRoot, name)
		if statErr == nil || openErr == nil {
			t.Errorf("Stat(%q) = %v, Open = %v; want both refused", name, statErr, openErr)
		}
	}
}

func testOpenWhileReplaced(t *testing.T, e Equipment) {
	e.mustWrite(t, fileName, "before")
	file, err := e.Host.Files.Open(t.Context(), e.FilesRoot, fileName)
	if err != nil {
		t.Fatalf("Open = %v, want success", err)
	}
	e.mustWrite(t, fileName, "after")
	content, err := io.ReadAll(file)
	if closeErr := file.Close(); err != nil || closeErr != nil || string(content) != "before" {
		t.Errorf("content = %q, %v, %v; want what was there when it was opened: reading is shared", content, err, closeErr)
	}
	if err := e.Host.Files.Remove(t.Context(), e.FilesRoot, fileName); err != nil {
		t.Errorf("Remove = %v, want success", err)
	}
}

func testPower(t *testing.T, e Equipment) {
	before, err := e.Host.Power.Get(t.Context(), e.Power)
	if err != nil || !proto.Equal(before.GetSetting(), e.Power) {
		t.Fatalf("Get = %v, %v; want the setting's state", before, err)
	}
	for _, want := range [][2]uint32{{0, 0}, {1, 0}, {before.GetAc(), before.GetDc()}} {
		err := e.Host.Power.Set(t.Context(), e.Power, want[0], want[1])
		now, readErr := e.Host.Power.Get(t.Context(), e.Power)
		if err != nil || readErr != nil || now.GetAc() != want[0] || now.GetDc() != want[1] {
			t.Errorf("Set(%v) = %v, then %v, %v; want it set", want, err, now, readErr)
		}
	}
	none := &actionv1.PowerSetting{Subgroup: e.Power.GetSubgroup(), Setting: "00000000-0000-0000-0000-000000000001"}
	if state, err := e.Host.Power.Get(t.Context(), none); err == nil {
		t.Errorf("Get of a setting that is not there = %v, want an error", state)
	}
	if err := e.Host.Power.Set(t.Context(), none, 0, 0); err == nil {
		t.Error("Set of a setting that is not there = nil, want an error")
	}
}

func testFeatures(t *testing.T, e Equipment) {
	names := []string{e.Features.Installed, e.Features.Addable, e.Features.Unknown}
	read := func() []*actionv1.Feature {
		states, err := e.Host.Features.State(t.Context(), names)
		if err != nil || len(states.GetFeatures()) != len(names) {
			t.Fatalf("State = %v, %v; want one state for each name, in order", states, err)
		}
		return states.GetFeatures()
	}
	before := read()
	if !before[0].GetInstalled() || before[1].GetInstalled() || !before[1].GetKnown() || before[2].GetKnown() {
		t.Fatalf("features are %v, want the first installed, the second known, the third not", before)
	}
	if err := e.Host.Features.Add(t.Context(), names, ""); err == nil || read()[1].GetInstalled() {
		t.Errorf("Add with one that is not known = %v; want an error, and none added", err)
	}
	if err := e.Host.Features.Add(t.Context(), names[:2], ""); err != nil || !read()[1].GetInstalled() {
		t.Errorf("Add = %v; want both installed", err)
	}
}

const prunedKey = `SOFTWARE\Bandfleet Test\One\Two`

func testLevels(t *testing.T, e Equipment) {
	registry, ctx := e.Host.Registry, t.Context()
	levels := func(want uint32) {
		t.Helper()
		if got, err := registry.Levels(ctx, prunedKey); err != nil || got != want {
			t.Fatalf("Levels = %d, %v; want %d", got, err, want)
		}
	}
	levels(1)
	for _, value := range []string{"A", "B"} {
		if err := registry.Set(ctx, prunedKey, value, "x"); err != nil {
			t.Fatal(err)
		}
	}
	levels(4)
	remove := func(value string) {
		t.Helper()
		if err := registry.Delete(ctx, prunedKey, value); err != nil {
			t.Fatal(err)
		}
		if err := registry.Prune(ctx, strings.ToUpper(prunedKey), 2); err != nil {
			t.Fatalf("Prune = %v, want success", err)
		}
	}
	remove("A")
	levels(4) // it is not empty
	remove("B")
	levels(2)
	if err := registry.Prune(ctx, prunedKey, 1); err != nil {
		t.Fatalf("Prune = %v, want success", err)
	}
	levels(1)
}

func testViews(t *testing.T, e Equipment) {
	ctx, other := t.Context(), e.Host.Registry.View32()
	const key, value = `SOFTWARE\Bandfleet Test`, "URL"
	if err := other.Set(ctx, key, value, "32"); err != nil {
		t.Fatalf("Set in the 32-bit view = %v, want success", err)
	}
	_, err := e.Host.Registry.Get(ctx, key, value)
	wantError(t, "Get in the 64-bit view", err, host.ErrNotExist, value)
	if got, err := e.Host.Registry.View32().Get(ctx, key, value); err != nil || got != "32" {
		t.Errorf("Get in the 32-bit view = %q, %v; want what was set there", got, err)
	}
	if err := other.Delete(ctx, key, value); err != nil {
		t.Errorf("Delete = %v, want success", err)
	}
	if err := other.Prune(ctx, key, 1); err != nil {
		t.Errorf("Prune = %v, want success", err)
	}
}

func (e Equipment) adapter(t *testing.T) *actionv1.Device {
	t.Helper()
	state, err := e.Host.Devices.USB(t.Context(), host.AdapterVendor, host.AdapterProduct)
	if err != nil || len(state.GetDevices()) != 1 {
		t.Fatalf("USB = %v, %v; want exactly the one adapter, also while it is disabled", state, err)
	}
	return state.GetDevices()[0]
}

func testSetEnabled(t *testing.T, e Equipment) {
	before := e.adapter(t)
	set := func(enabled bool) *actionv1.Device {
		t.Helper()
		err := e.Host.Devices.SetEnabled(within(t, longWait), before.GetInstance(), host.AdapterVendor, host.AdapterProduct, enabled)
		if err != nil {
			t.Fatalf("SetEnabled(%v) = %v, want success", enabled, err)
		}
		return e.adapter(t)
	}
	for range 2 {
		if d := set(false); !d.GetDisabled() || d.GetProblemCode() != problemDisabled {
			t.Errorf("disabled adapter is %v, want it disabled, with problem code 22", d)
		}
	}
	for range 2 {
		if d := set(true); !proto.Equal(d, before) {
			t.Errorf("enabled adapter is %v, want %v again", d, before)
		}
	}
}

func testSetEnabledOther(t *testing.T, e Equipment) {
	instance := e.adapter(t).GetInstance()
	for name, err := range map[string]error{
		"another instance": e.Host.Devices.SetEnabled(t.Context(), `USB\NONE`, host.AdapterVendor, host.AdapterProduct, false),
		"other USB ids":    e.Host.Devices.SetEnabled(t.Context(), instance, "ffff", "fffe", false),
	} {
		if err == nil {
			t.Errorf("SetEnabled with %s = nil, want an error", name)
		}
	}
	if d := e.adapter(t); d.GetDisabled() {
		t.Errorf("adapter is %v, want it enabled: only what was meant may be disabled", d)
	}
}

func testDetail(t *testing.T, e Equipment) {
	detail, err := e.Host.System.Detail(within(t, longWait))
	if err != nil {
		t.Fatalf("Detail = %v, want success", err)
	}
	for field, told := range map[string]bool{
		"boot_time": detail.GetBootTime() != nil, "free_bytes": detail.GetFreeBytes() > 0, "domain_role": detail.DomainRole != nil,
		"nfc_readers": detail.NfcReaders != nil,
	} {
		if told == slices.Contains(detail.GetUnknown(), field) {
			t.Errorf("field %s: told is %v, but unknown is %q: what cannot be told is named there", field, told, detail.GetUnknown())
		}
	}
	if detail.GetDotnetRelease() > 0 && slices.Contains(detail.GetUnknown(), "dotnet_release") {
		t.Errorf("release of .NET is %d and unknown: want one of the two; 0 means that it is not installed", detail.GetDotnetRelease())
	}
}

func testReboot(t *testing.T, e Equipment) {
	before, err := e.Host.System.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Host.System.Reboot(t.Context(), 200*time.Millisecond, "a test"); err != nil {
		t.Fatalf("Reboot = %v, want success", err)
	}
	if now, err := e.Host.System.Describe(t.Context()); err != nil || now.GetBootId() != before.GetBootId() {
		t.Errorf("boot id right after Reboot: %v, %v; want the old one: it comes back before the start", now, err)
	}
	err = host.Poll(within(t, longWait), 50*time.Millisecond, func() (bool, error) {
		now, err := e.Host.System.Describe(t.Context())
		return now.GetBootId() != before.GetBootId(), err
	})
	if err != nil {
		t.Errorf("waiting for another boot id: %v", err)
	}
}
