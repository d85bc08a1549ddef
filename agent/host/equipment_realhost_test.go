//go:build realhost

package host_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// TestLocalConformsInEquipment runs the suite on what this machine itself has.
func TestLocalConformsInEquipment(t *testing.T) {
	hosttest.ConformanceOfEquipment(t, func(t *testing.T) hosttest.Equipment {
		programs, names := fixturePrograms(t)
		h, err := host.Local(host.LocalConfig{Roots: map[string]string{"files": emptyFolder(t)}, Programs: programs})
		if err != nil {
			t.Fatal(err)
		}
		e := hosttest.Equipment{
			Host: h, FilesRoot: "files", Programs: names, Detail: true, Stranger: servingTLS(t, nil),
			Missing: map[string]string{
				"Reboot": "a test cannot start this machine again",
				"Web":    "no web server is installed here; see testdata/iis",
			},
		}
		describeEquipment(t, &e)
		return e
	})
}

// fixturePrograms is a list of programs, each the test program in a folder of its own.
func fixturePrograms(t *testing.T) (map[string]host.Program, *hosttest.ProgramEquipment) {
	t.Helper()
	own, hash := testProgram(t)
	act := func(arguments ...string) host.Program {
		return host.Program{Path: own, SHA256: []string{hash}, Arguments: append([]string{programArgument}, arguments...), Folder: emptyFolder(t)}
	}
	changed, absent := act("end", "0"), act("end", "0")
	changed.SHA256 = []string{sample.SHA256([]byte("an earlier release"))}
	absent.Path = filepath.Join(absent.Folder, "absent.exe")
	list := map[string]host.Program{
		"writes": act("write", "0"), "hangs": act("hang"), "fails": act("end", "7"), "changed": changed, "absent": absent,
	}
	return list, &hosttest.ProgramEquipment{Writes: "writes", Hangs: "hangs", Fails: "fails", ExitCode: 7, Changed: "changed", Absent: "absent"}
}

// loopback is an address and no name: not every machine knows "localhost".
const loopback = "127.0.0.1"

// servingTLS is a server of this machine's loopback that answers "/nes/". Its certificate is of authority, or of one that nobody knows.
func servingTLS(t *testing.T, authority *sample.Authority) *actionv1.ProbeTarget {
	t.Helper()
	if authority == nil {
		var err error
		if authority, err = sample.NewAuthority("Bandfleet test stranger"); err != nil {
			t.Fatal(err)
		}
	}
	identity, err := authority.Issue(sample.Wanted{Names: []string{loopback}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{identity.Certificate.Raw, authority.Certificate.Raw}, PrivateKey: identity.Key,
	}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return localTarget(t, server.URL)
}

func localTarget(t *testing.T, address string) *actionv1.ProbeTarget {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(parsed.Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return &actionv1.ProbeTarget{Host: loopback, Port: uint32(port)}
}

// testProgram is the program that runs this test, and its hash.
func testProgram(t *testing.T) (path, hash string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, sample.SHA256(content)
}
