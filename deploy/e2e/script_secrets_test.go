package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"software.sslmate.com/src/go-pkcs12"
)

// secretCommands look for a PFX and its password wherever they must never be.
func secretCommands(f *fleet) map[string]command {
	var w *watch
	return map[string]command{
		// watch-for-secret PFX PASSWORD: from now to the end of the script, looks for this PFX, its key and its password in the command lines
		// and environments of all processes that it may see.
		"watch-for-secret": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 || w != nil {
				ts.Fatalf("usage, once: watch-for-secret PFX PASSWORD")
			}
			w = watchProcesses(secretsOf(ts, []byte(ts.ReadFile(args[0])), strings.TrimSpace(ts.ReadFile(args[1]))))
			ts.Defer(w.end)
		},
		// no-trace JOB...: the secret that is watched for is nowhere in what the server and the agents keep and have logged, nor in what is
		// shown and reported of these jobs, nor was it in any process's command line or environment.
		"no-trace": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) == 0 || w == nil {
				ts.Fatalf("usage, after watch-for-secret: no-trace JOB...")
			}
			wantNoTrace(ts, w.secrets, f.traces(ts, args))
			wantUnseen(ts, w)
		},
		// no-core-dumps NAME: the agent of a terminal leaves no core dump when it crashes.
		"no-core-dumps": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 || f.agents[args[0]] == nil {
				ts.Fatalf("usage: no-core-dumps NAME")
			}
			wantNoCores(ts, f.agents[args[0]].process.cmd.Process.Pid)
		},
	}
}

// failer is what a script and a test have in common.
type failer interface {
	Fatalf(format string, args ...any)
}

// secretsOf are the pieces of a PFX by which it would be found: of its file, of its key, and its password.
func secretsOf(t failer, file []byte, password string) secretForms {
	key, _, _, err := pkcs12.DecodeChain(file, password)
	if err != nil {
		t.Fatalf("the PFX to look for: %v", err)
	}
	return formsOf(map[string][]byte{
		"password": []byte(password), "PFX in its first half": file[len(file)/4:][:32], "PFX in its second half": file[len(file)*3/4:][:32],
		"key": privatePart(t, key),
	})
}

// privatePart are some bytes of a key that are in no certificate.
func privatePart(t failer, key any) []byte {
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("the key of the PFX is a %T, want one of an elliptic curve, as the simulated authority makes them", key)
	}
	raw, err := ec.Bytes()
	if err != nil {
		t.Fatalf("the key of the PFX: %v", err)
	}
	return raw[:24]
}

// secretForms are the ways in which secrets may stand somewhere, by what each is.
type secretForms map[string][]byte

func formsOf(secrets map[string][]byte) secretForms {
	forms := secretForms{}
	for name, secret := range secrets {
		forms[name+" as it is"] = secret
		forms[name+" in hexadecimal"] = []byte(hex.EncodeToString(secret))
		forms[name+" in capital hexadecimal"] = []byte(strings.ToUpper(hex.EncodeToString(secret)))
		// Base64 looks in three ways, by what stands before.
		for from := range 3 {
			piece := secret[from:]
			piece = piece[:len(piece)-len(piece)%3]
			forms[fmt.Sprintf("%s in base64 from byte %d", name, from)] = []byte(base64.RawStdEncoding.EncodeToString(piece))
			forms[fmt.Sprintf("%s in base64 for URLs from byte %d", name, from)] = []byte(base64.RawURLEncoding.EncodeToString(piece))
		}
	}
	return forms
}

// in names the secret that stands in a text, and in which form; empty when none does.
func (s secretForms) in(text []byte) string {
	for form, piece := range s {
		if bytes.Contains(text, piece) {
			return form
		}
	}
	return ""
}

// traces are all that is kept, logged, shown and reported, by where it stands. The simulated machines' own folders are left out: a
// certificate store has the key, and nothing else there is the product's.
func (f *fleet) traces(t failer, jobs []string) map[string][]byte {
	all := map[string][]byte{}
	logs := func(of string, processes []*process) {
		for i, p := range processes {
			all[fmt.Sprintf("log %d of %s", i+1, of)] = []byte(p.log.String())
		}
	}
	logs("the server", f.servers)
	readBelow(t, f.dataDir, all)
	for name, a := range f.agents {
		logs("the agent of "+name, a.processes)
		readBelow(t, a.dataDir, all)
	}
	for _, job := range jobs {
		all["job show "+job] = []byte(f.mustCtl("job", "show", job, "-o", "json"))
		for _, task := range f.tasks(job) {
			all["job show "+job+" "+task.GetTerminalName()] = []byte(f.mustCtl("job", "show", job, task.GetTerminalName(), "-o", "json"))
		}
		reports := f.t.TempDir()
		f.ctl("job", "report", job, "-f", filepath.Join(reports, "report.json")) // its code says how the job went
		readBelow(t, reports, all)
	}
	return all
}

// readBelow adds all files below a folder.
func readBelow(t failer, dir string, to map[string][]byte) {
	n := len(to)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // taken away meanwhile
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if text, err := os.ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
			to[path] = text
			return err
		}
		return nil
	})
	if err != nil || len(to) == n {
		t.Fatalf("files below %s: %d, %v; want at least one to look into", dir, len(to)-n, err)
	}
}

func wantNoTrace(t failer, secrets secretForms, traces map[string][]byte) {
	for place, text := range traces {
		if secret := secrets.in(text); secret != "" {
			t.Fatalf("the %s stands in %s: a secret must be nowhere but sealed, and in the machine's own store", secret, place)
		}
	}
}

func wantUnseen(t failer, w *watch) {
	looks, hits := w.result()
	if looks == 0 || len(hits) > 0 {
		t.Fatalf("of %d looks at all processes these found a secret, want none: %s", looks, strings.Join(hits, "; "))
	}
}

// watch looks at the processes again and again.
type watch struct {
	secrets secretForms
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once

	mu    sync.Mutex
	looks int
	hits  []string
}

func watchProcesses(secrets secretForms) *watch {
	w := &watch{secrets: secrets, stop: make(chan struct{})}
	w.look()
	w.stopped.Go(func() {
		const pause = 50 * time.Millisecond
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(pause):
				w.look()
			}
		}
	})
	return w
}

// end may be called more than once.
func (w *watch) end() {
	w.once.Do(func() { close(w.stop) })
	w.stopped.Wait()
}

func (w *watch) result() (looks int, hits []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks, slices.Clone(w.hits)
}

// look reads what there is to read: of a process of somebody else, or one that lets nobody look, the environment is not.
func (w *watch) look() {
	var hits []string
	for _, file := range []string{"cmdline", "environ"} {
		paths, _ := filepath.Glob("/proc/[0-9]*/" + file) // the pattern is right
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			if secret := w.secrets.in(text); secret != "" {
				hits = append(hits, secret+" in "+path)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	w.hits = append(w.hits, hits...)
}

func wantNoCores(ts *testscript.TestScript, pid int) {
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/limits")
	ts.Check(err)
	for line := range strings.Lines(string(limits)) {
		rest, ok := strings.CutPrefix(line, "Max core file size")
		if !ok {
			continue
		}
		if f := strings.Fields(rest); len(f) < 2 || f[0] != "0" || f[1] != "0" {
			ts.Fatalf("the agent's limit is %q, want 0: a core dump would hold secrets", strings.TrimSpace(line))
		}
		return
	}
	ts.Fatalf("the limits of process %d have no line for core files: %s", pid, limits)
}
