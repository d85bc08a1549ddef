//go:build real

package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Outcomes of tasks on real parts, beside those of other tests.
const (
	refused  = actionv1.TaskStatus_TASK_STATUS_REFUSED
	noChange = actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
)

// nesServer answers as NES does, with a certificate of an authority that no machine trusts by itself.
type nesServer struct {
	root *sample.Authority
	// url ends with the path of the service, rootFile is the root in PEM.
	url, rootFile string
}

func serveNES(t *testing.T) *nesServer { return serveNESOn(t, "127.0.0.1") }

// serveNESOn serves on a free port of an address.
func serveNESOn(t *testing.T, address string) *nesServer {
	t.Helper()
	root, err := sample.NewAuthority("Plant root of the tests")
	must(t, err)
	identity, err := root.Issue(sample.Wanted{Names: []string{address}})
	must(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{identity.Certificate.Raw}, PrivateKey: identity.Key}}}
	must(t, s.Listener.Close())
	s.Listener, err = net.Listen("tcp", freeAddress(t, address))
	must(t, err)
	s.StartTLS()
	t.Cleanup(s.Close)
	n := &nesServer{root: root, url: "https://" + s.Listener.Addr().String() + "/nes/", rootFile: filepath.Join(t.TempDir(), "root.pem")}
	must(t, os.WriteFile(n.rootFile, sample.CertificatePEM(root.Certificate.Raw), 0o600))
	return n
}

// wantTask checks how a task ended, and that its reason holds a text.
func wantTask(t testing.TB, task *fleetv1.Task, want actionv1.TaskStatus, reason string) {
	t.Helper()
	if got := task.GetResult(); got.GetStatus() != want || !strings.Contains(got.GetReason(), reason) {
		t.Fatalf("status %v (%s), want %v because of %q\n%v", got.GetStatus(), got.GetReason(), want, reason, got)
	}
}

func wantText(t testing.TB, of, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%s: want that it holds %q:\n%s", of, want, text)
	}
}

// wantFindings checks that a diagnosis succeeded and found each of these: "GOOD adapter".
func wantFindings(t testing.TB, task *fleetv1.Task, wanted ...string) {
	t.Helper()
	wantTask(t, task, succeeded, "")
	var found []string
	for _, f := range task.GetResult().GetFindings() {
		found = append(found, strings.TrimPrefix(f.GetLevel().String(), "FINDING_LEVEL_")+" "+f.GetRule())
	}
	for _, want := range wanted {
		if !slices.Contains(found, want) {
			t.Errorf("the diagnosis lacks %q; it found %q\n%v", want, found, task.GetResult().GetFindings())
		}
	}
}

// wantRestarted checks that a task stopped one process of the endpoint and started another.
func wantRestarted(t testing.TB, task *fleetv1.Task) {
	t.Helper()
	var stopped, started uint32
	for _, e := range task.GetResult().GetEffects() {
		if stopped == 0 {
			stopped = e.GetBefore().GetService().GetPid()
		}
		started = e.GetAfter().GetService().GetPid()
	}
	if stopped == 0 || started == 0 || stopped == started {
		t.Errorf("process %d was stopped and process %d started, want two: the endpoint reads nbe.toml only when it starts\n%v", stopped, started, task.GetResult().GetEffects())
	}
}

// unzip reads an archive: its files' contents by their names.
func unzip(t testing.TB, archive []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatalf("%d bytes are no zip archive: %v", len(archive), err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	return files
}

func names(files map[string]string) []string { return slices.Sorted(maps.Keys(files)) }
