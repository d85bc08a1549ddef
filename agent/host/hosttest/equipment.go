package hosttest

import (
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Equipment is a machine made ready for the suite of what machines have beside services and files, and what on it the suite may use. As
// with Fixture, what is neither offered nor declared missing, with the reason, fails the suite.
type Equipment struct {
	Host *host.Host
	// FilesRoot names a root whose folder is empty and may be written to.
	FilesRoot string
	// ReplacesOpen: a file can be replaced while a program has it open for reading.
	ReplacesOpen bool
	// Store is a certificate store that may be added to ("My").
	Store string
	// Web is a web server that may be changed.
	Web *WebEquipment
	// Power is a setting that may be changed.
	Power *actionv1.PowerSetting
	// Programs are names on the allow-list.
	Programs *ProgramEquipment
	// Features are names of features.
	Features *FeatureEquipment
	// Registry: there is one.
	Registry bool
	// Device: exactly one healthy adapter is there and may be disabled.
	Device bool
	// Peer is a TLS server that the machine trusts; Stranger one that it does not. Both answer "/nes/" with 200.
	Peer, Stranger *actionv1.ProbeTarget
	// Detail: the machine can tell what a diagnosis wants to know.
	Detail bool
	// Reboot: the machine may be started anew. The call comes back before that, and the machine is up again within longWait.
	Reboot bool
	// Missing are the fields above that this implementation cannot offer, with the reason.
	Missing map[string]string
}

// WebEquipment is a web server with a binding that serves a certificate, and another certificate that may be bound there.
type WebEquipment struct {
	Bound *actionv1.Binding
	// Other is in Bound's store, with its key.
	Other string
	// Site and Pool run. Location has SSL flags.
	Site, Pool, Location string
}

// ProgramEquipment are programs by what they do.
type ProgramEquipment struct {
	// Writes ends with exit code 0 and makes one new file. Hangs does not end. Fails ends with ExitCode and makes no file.
	Writes, Hangs, Fails string
	ExitCode             int64
	// Changed has another hash than the approved one. Absent is not there.
	Changed, Absent string
}

// FeatureEquipment are features by their state.
type FeatureEquipment struct{ Installed, Addable, Unknown string }

// ConformanceOfEquipment runs the suite. equipment is called for each test and returns a machine in the described state.
func ConformanceOfEquipment(t *testing.T, equipment func(t *testing.T) Equipment) {
	t.Helper()
	suite := []struct {
		name  string
		needs string
		test  func(*testing.T, Equipment)
	}{
		{"files/state and content", "FilesRoot", testStatAndOpen},
		{"files/read while it is replaced", "ReplacesOpen", testOpenWhileReplaced},
		{"certificates/life of a certificate", "Store", testCertificate},
		{"certificates/import", "Store", testImport},
		{"certificates/import that is refused", "Store", testImportRefused},
		{"certificates/no such store", "Store", testNoStore},
		{"bindings/rebind", "Web", testRebind},
		{"bindings/refused", "Web", testBindRefused},
		{"bindings/made and removed", "Web", testBindNew},
		{"iis/inventory", "Web", testInventory},
		{"iis/values", "Web", testIISValues},
		{"iis/start and recycle", "Web", testIISRun},
		{"power", "Power", testPower},
		{"programs/look", "Programs", testLook},
		{"programs/run", "Programs", testRun},
		{"programs/fails", "Programs", testFailing},
		{"programs/hangs", "Programs", testHanging},
		{"programs/refused", "Programs", testNotRun},
		{"features", "Features", testFeatures},
		{"registry/levels", "Registry", testLevels},
		{"registry/views", "Registry", testViews},
		{"devices/disable and enable", "Device", testSetEnabled},
		{"devices/another device", "Device", testSetEnabledOther},
		{"network/trusted peer", "Peer", testPeer},
		{"network/stranger", "Stranger", testStranger},
		{"network/no such name", "Peer", testNoName},
		{"system/detail", "Detail", testDetail},
		{"system/reboot", "Reboot", testReboot},
	}
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			e := equipment(t)
			if e.offers(t, c.needs) {
				c.test(t, e)
			}
		})
	}
}

// offers says whether the machine has what a test needs, and fails the test when that is not declared either way.
func (e Equipment) offers(t *testing.T, field string) bool {
	t.Helper()
	offered := map[string]bool{
		"FilesRoot": e.FilesRoot != "", "ReplacesOpen": e.ReplacesOpen, "Store": e.Store != "", "Web": e.Web != nil, "Power": e.Power != nil, "Programs": e.Programs != nil,
		"Features": e.Features != nil, "Registry": e.Registry, "Device": e.Device, "Peer": e.Peer != nil, "Stranger": e.Stranger != nil,
		"Detail": e.Detail, "Reboot": e.Reboot,
	}[field]
	reason, missing := e.Missing[field]
	if offered == missing {
		t.Fatalf("equipment %s: offered is %v and declared missing is %v; each must be exactly one of them", field, offered, missing)
	}
	if missing {
		t.Logf("not offered by this implementation: %s: %s", field, reason)
	}
	return offered
}

// newIdentity makes a certificate of an authority that nobody knows.
func newIdentity(t *testing.T, w sample.Wanted) (*sample.Authority, *sample.Identity) {
	t.Helper()
	authority, err := sample.NewAuthority("Bandfleet test root")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := authority.Issue(w)
	if err != nil {
		t.Fatal(err)
	}
	return authority, identity
}
