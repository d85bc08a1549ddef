package cli

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func supported() *fleetv1.Terminal {
	t := fakeTerminal("T-0001", "lyon-01", "lyon", true)
	t.Facts = &agentv1.Facts{Os: "windows", OsVersion: "10.0.19045", Architecture: "amd64", Services: []*actionv1.ServiceState{
		{Service: "Nymi Bluetooth Endpoint", Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING}, {Service: "Nymi Agent"},
	}}
	return t
}

func TestARequestSaysWhatIsKnown(t *testing.T) {
	diagnosis := &actionv1.TaskResult{Findings: []*actionv1.Finding{
		{Rule: "a", Level: actionv1.FindingLevel_FINDING_LEVEL_GOOD, Message: "all is well here"},
		{Rule: "b", Level: actionv1.FindingLevel_FINDING_LEVEL_PROBLEM, Subject: "nbe.toml", Value: "0", Expected: "-42", Message: "taps are switched off"},
	}}
	text := requestText(supported(), diagnosis, "taps\x1b[2J are ignored", testNow, []string{"logs: it is offline"})
	for _, want := range []string{
		"To: support@nymi.com", "Type of request: Nymi Customers - Technical Support", "System: windows 10.0.19045, amd64",
		`Service "Nymi Bluetooth Endpoint": running`, `Service "Nymi Agent": not installed`,
		"PROBLEM: nbe.toml: taps are switched off (is 0, expected -42)", "Missing: logs: it is offline",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the request lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "all is well") || strings.Contains(text, "\x1b") {
		t.Errorf("the request has what is good, or a control character:\n%s", text)
	}
}

func TestABundleIsWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle.zip")
	for _, good := range []bool{false, true} {
		b, err := newBundle(path, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.text("request.txt", "help\n"); err != nil {
			t.Fatal(err)
		}
		if err := b.manifest("1.0.0", supported()); err != nil {
			t.Fatal(err)
		}
		if err := b.close(good); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != map[bool]int{true: 1}[good] {
			t.Fatalf("after close(%v) the folder has %v, %v", good, entries, err)
		}
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	content := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content[f.Name] = string(text)
	}
	var m bundleManifest
	if err := json.Unmarshal([]byte(content["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content["request.txt"]))
	if len(m.Parts) != 1 || m.Parts[0].SHA256 != hex.EncodeToString(sum[:]) || m.Terminal != "lyon-01" || !m.Personal {
		t.Errorf("the manifest is %+v, want the request with its hash, of lyon-01, as personal data", m)
	}
	if _, err := newBundle(path, testNow); err == nil {
		t.Error("a bundle that is there would be written over")
	}
}

func TestLogsOfTwoByteCharactersAreShown(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "logs.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z := zip.NewWriter(file)
	w, err := z.Create("nba/nem.log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("h\x00i\x00\n\x00")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.OpenReader(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := readEntry(r.File[0]); err != nil || text != "hi\n" {
		t.Errorf("the log reads %q, %v; want it as text", text, err)
	}
}
