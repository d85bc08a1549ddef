package sim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sim"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const probeTimeout = 5 * time.Second

// probeNES connects from a machine to the NES host with what the machine trusts.
func probeNES(t *testing.T, dir string) *actionv1.NetProbeResult {
	t.Helper()
	target := &actionv1.ProbeTarget{Host: nesName, Port: 443, Tls: true, HttpPath: "/nes/"}
	result, err := open(t, dir).Network.Probe(t.Context(), target, probeTimeout)
	if err != nil {
		t.Fatalf("Probe = %v, want a result", err)
	}
	return result
}

func awaitCondition(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := host.Poll(ctx, 10*time.Millisecond, func() (bool, error) { return holds(), nil }); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

func TestRotationIsServedOnTheNextHandshake(t *testing.T) {
	nes, terminal := newNES(t), newTerminal(t, sim.Options{})
	set(t, terminal, "reach", nes)
	old := showNES(t, nes).Web.Bindings[0].SHA256
	if r := probeNES(t, terminal); !r.GetHandshake() || r.GetTrusted() {
		t.Errorf("before the root is trusted: %v, want a handshake that is not trusted", r)
	}
	set(t, terminal, "trust", nes)
	if r := probeNES(t, terminal); !r.GetTrusted() || r.GetHttpStatus() != 200 || r.GetChain()[0].GetSha256() != old {
		t.Fatalf("before the switch: %v, want the old certificate, trusted, and 200", r)
	}
	h, issued := open(t, nes), issue(t, nes, sim.IssueOptions{})
	if err := h.Certificates.Import(t.Context(), "WebHosting", issued.PFX, issued.Password); err != nil {
		t.Fatalf("Import = %v, want success", err)
	}
	if r := probeNES(t, terminal); r.GetChain()[0].GetSha256() != old {
		t.Errorf("after the import: %v, want the old certificate still served", r)
	}
	if err := h.Bindings.Set(t.Context(), nesBinding(issued.SHA256)); err != nil {
		t.Fatalf("Set = %v, want success", err)
	}
	for name, dir := range map[string]string{"the terminal": terminal, "the host itself": nes} {
		if r := probeNES(t, dir); !r.GetTrusted() || r.GetHttpStatus() != 200 || r.GetChain()[0].GetSha256() != issued.SHA256 {
			t.Errorf("after the switch, from %s: %v, want the new certificate, trusted, and 200", name, r)
		}
	}
	if err := h.Bindings.Set(t.Context(), nesBinding(old)); err != nil {
		t.Fatalf("Set = %v, want success", err)
	}
	if r := probeNES(t, terminal); r.GetChain()[0].GetSha256() != old {
		t.Errorf("after the switch back: %v, want the old certificate", r)
	}
	set(t, terminal, "distrust", nes)
	if r := probeNES(t, terminal); r.GetTrusted() || r.GetTrustProblem() == "" {
		t.Errorf("after the root is gone: %v, want it not trusted, and why", r)
	}
}

func TestCertificateOfAStrangerIsNotTrusted(t *testing.T) {
	nes := newNES(t)
	issued := issue(t, nes, sim.IssueOptions{Stranger: true, Legacy: true})
	h := open(t, nes)
	err := errors.Join(
		h.Certificates.Import(t.Context(), "WebHosting", issued.PFX, issued.Password), h.Bindings.Set(t.Context(), nesBinding(issued.SHA256)))
	if err != nil {
		t.Fatal(err)
	}
	if r := probeNES(t, nes); r.GetTrusted() || r.GetChain()[0].GetSha256() != issued.SHA256 {
		t.Errorf("Probe = %v, want the stranger's certificate, not trusted", r)
	}
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, issued.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	set(t, nes, "trust", root)
	if r := probeNES(t, nes); !r.GetTrusted() {
		t.Errorf("Probe = %v, want it trusted once its root is", r)
	}
	set(t, nes, "certificate", "valid-for=-1d")
	if r := probeNES(t, nes); r.GetTrusted() {
		t.Errorf("Probe = %v, want an expired certificate not trusted", r)
	}
}

// Files that tell a switching process what to do.
const switchPFX, switchPassword, switchOld = "switch.pfx", "switch.password", "switch.old"

// switchMain is a process that rotates a NES host's certificate there and back for ever, until it is killed.
func switchMain(dir string) int {
	if err := switchForEver(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func switchForEver(dir string) error {
	pfx, err1 := os.ReadFile(filepath.Join(dir, switchPFX))
	password, err2 := os.ReadFile(filepath.Join(dir, switchPassword))
	old, err3 := os.ReadFile(filepath.Join(dir, switchOld))
	h, err4 := sim.Open(dir)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := os.Stdout.WriteString("begun\n"); err != nil {
		return err
	}
	for {
		if err := h.Certificates.Import(ctx, "WebHosting", bytes.Clone(pfx), string(password)); err != nil {
			return err
		}
		fresh, err := newest(ctx, h, string(old))
		if err != nil {
			return err
		}
		for _, step := range []func() error{
			func() error { return h.Bindings.Set(ctx, nesBinding(fresh)) },
			func() error { return h.Bindings.Set(ctx, nesBinding(string(old))) },
			func() error { return h.Certificates.Remove(ctx, "WebHosting", fresh) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
	}
}

// newest is the certificate of the store that is not the old one.
func newest(ctx context.Context, h *host.Host, old string) (string, error) {
	list, err := h.Certificates.List(ctx, "WebHosting")
	if err != nil {
		return "", err
	}
	for _, c := range list {
		if c.GetSha256() != old {
			return c.GetSha256(), nil
		}
	}
	return "", errors.New("store WebHosting: the new certificate is not there")
}

// TestSomethingIsServedWhoeverIsKilled kills a process that rotates at any of its steps, many times, while handshakes go on: each is served
// the old or the new certificate, whole, and never none.
func TestSomethingIsServedWhoeverIsKilled(t *testing.T) {
	nes := newNES(t)
	old, issued := showNES(t, nes).Web.Bindings[0].SHA256, issue(t, nes, sim.IssueOptions{})
	for name, content := range map[string][]byte{switchPFX: issued.PFX, switchPassword: []byte(issued.Password), switchOld: []byte(old)} {
		if err := os.WriteFile(filepath.Join(nes, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := showNES(t, nes).Web.HTTPSAddress
	served := map[string]int{}
	var news atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(stop) }); <-ended }
	defer end()
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				sha256, err := handshake(address)
				if err != nil || sha256 != old && sha256 != issued.SHA256 {
					t.Errorf("handshake = %q, %v; want the old or the new certificate", sha256, err)
					return
				}
				served[sha256]++
				if sha256 != old {
					news.Add(1)
				}
			}
		}
	}()
	// On a busy machine few of the processes get as far as the switch: it goes on until one has.
	const least, most = 40, 400
	for n := 0; n < least || n < most && news.Load() == 0; n++ {
		killSwitching(t, nes)
	}
	end()
	if served[old] == 0 || served[issued.SHA256] == 0 {
		t.Errorf("served %v, want both certificates seen: else nothing was tried", served)
	}
}

// killSwitching lets a process rotate for a moment and kills it.
func killSwitching(t *testing.T, dir string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command(self, "switch-certificates", dir)
	cmd.Stderr = &output
	begun, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It says when it begins; an end without a word is told by what it wrote to its standard error.
	_, _ = begun.Read(make([]byte, 1))
	time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond) // the moment of the kill is the point
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if output.Len() > 0 {
		t.Fatalf("the switching process says %s, want it to work until it is killed", output.String())
	}
}

// handshake says which certificate is served.
func handshake(address string) (string, error) {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // what is served is compared by its hash
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw)
	return hex.EncodeToString(sum[:]), conn.Close()
}
