package main

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	succeeded  = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	unchanged  = actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
	rolledBack = actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK
	isRefused  = actionv1.TaskStatus_TASK_STATUS_REFUSED
	rotate     = "tls-cert-rotate"
)

// holds says whether a store of the machine has a certificate.
func holds(t *testing.T, b *runnertest.Bench, store, sha256 string) bool {
	t.Helper()
	list, err := b.Host().Certificates.List(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(list, func(c *actionv1.Certificate) bool { return c.GetSha256() == sha256 })
}

func TestRotation(t *testing.T) {
	f := newFleet(t)
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		dry := b.DryRun(rotate, f.rotation()).Want(succeeded)
		if len(b.Machine.Calls()) > 0 || len(dry.GetPlan().GetEffects()) != 3 {
			t.Fatalf("a dry run has done %v and plans %v, want nothing done and three effects", b.Machine.Calls(), dry.GetPlan().GetEffects())
		}
		o := b.Run(rotate, f.rotation()).Want(succeeded)
		if b.Machine.Bound() != f.fresh.SHA256() {
			t.Errorf("the binding serves %s, want the new certificate %s", b.Machine.Bound(), f.fresh.SHA256())
		}
		if !holds(t, b, storeWebHosting, f.old.SHA256()) {
			t.Error("the earlier certificate is gone; nothing may ever remove it")
		}
		if v := o.EffectOf(effectCanaries).GetAfter().GetPeers().GetVerdicts(); len(v) != 2 {
			t.Errorf("%d terminals have tried it, want the 2 canaries", len(v))
		}
		for _, want := range []string{"trust", "names in use", "bound now", "bound after"} {
			if !slices.ContainsFunc(o.GetEvidence(), func(e *actionv1.Evidence) bool { return e.GetName() == want }) {
				t.Errorf("there is no evidence %q", want)
			}
		}
		before := len(b.Machine.Calls())
		b.Run(rotate, f.rotation()).Want(unchanged)
		if got := b.Machine.Calls(); len(got) != before {
			t.Errorf("a second run did %v, want nothing: the certificate is bound", got[before:])
		}
	})
}

// What goes wrong after the switch has the old certificate bound again within seconds.
func TestRotationThatGoesWrongIsTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(f *fleet)
		reason  string
	}{
		"a canary does not trust it": {func(f *fleet) { f.distrusts["T-2"] = "the chain ends at a root that is not trusted here" }, "T-2: the chain ends at a root"},
		"the host itself is served something else": {func(f *fleet) {
			f.arrange = func(m *hosttest.Memory) {
				m.SetProbe(hosttest.NESHostname, 443, served(&actionv1.Certificate{Sha256: f.old.SHA256(), Subject: "CN=old"}))
			}
		}, "it serves"},
		"an application does not work with it": {func(f *fleet) {
			f.arrange = func(m *hosttest.Memory) { m.Answer("/nes/", 503) }
		}, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			c.arrange(f)
			runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
				begun := time.Now()
				o := b.Run(rotate, f.rotation()).Want(rolledBack).WantReason(c.reason).WantUndone("binding", actionv1.UndoOutcome_UNDO_OUTCOME_DONE)
				if b.Machine.Bound() != f.old.SHA256() {
					t.Errorf("the binding serves %s, want the old certificate again", b.Machine.Bound())
				}
				if holds(t, b, storeWebHosting, f.fresh.SHA256()) || !holds(t, b, storeWebHosting, f.old.SHA256()) {
					t.Error("the stores are not as before: want the new certificate gone and the old one there")
				}
				if took := time.Since(begun); took > 15*time.Second {
					t.Errorf("it took %s until the old certificate was bound again, want seconds", took)
				}
				if o.GetNextStep() == "" {
					t.Error("there is no next step")
				}
				proves := func(u *actionv1.Undo) bool { return strings.Contains(u.GetReason(), "a handshake shows") }
				if !slices.ContainsFunc(o.GetUndone(), proves) {
					t.Errorf("undone is %v, want a handshake that proves the earlier certificate", o.GetUndone())
				}
			})
		})
	}
}

// What reads as before and is not served is no rollback.
func TestRollbackIsNotSaidWithoutAHandshake(t *testing.T) {
	f := newFleet(t)
	f.distrusts["T-1"] = "not trusted here"
	f.arrange = func(m *hosttest.Memory) {
		m.SetProbe("localhost", 443, &actionv1.NetProbeResult{ConnectProblem: "connection refused"})
	}
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		o := b.Run(rotate, f.rotation()).Want(actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED).
			WantUndone("binding", actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION)
		if b.Machine.Bound() != f.old.SHA256() {
			t.Errorf("the binding serves %s, want the old certificate again", b.Machine.Bound())
		}
		if !strings.Contains(o.GetUndone()[0].GetReason(), "connection refused") {
			t.Errorf("undone is %v, want why the handshake did not come about", o.GetUndone())
		}
	})
}

// TestRotationsThatAreRefused: nothing is touched, and the reason names what is wrong.
func TestRotationsThatAreRefused(t *testing.T) {
	names := []string{hosttest.NESHostname}
	year := 365 * day
	for name, c := range map[string]struct {
		wanted  sample.Wanted
		arrange func(t *testing.T, f *fleet)
		params  []string
		reason  string
	}{
		"wrong password": {arrange: func(_ *testing.T, f *fleet) { f.put("nes-lyon-1.password", []byte("wrong")) }, reason: "its password does not open it"},
		"no PFX":         {arrange: func(_ *testing.T, f *fleet) { f.put("nes-lyon-1.pfx", []byte("no PFX")) }, reason: "cannot be read as a PFX"},
		"another certificate": {arrange: func(_ *testing.T, f *fleet) { f.putPFX(f.old) },
			reason: "not the one with the expected thumbprint"},
		"expired":       {wanted: sample.Wanted{Names: names, NotBefore: bubbleTime().Add(-year), NotAfter: bubbleTime().Add(-time.Hour)}, reason: "it expired on"},
		"not yet valid": {wanted: sample.Wanted{Names: names, NotBefore: bubbleTime().Add(day)}, reason: "it is not valid before"},
		"too few days":  {wanted: sample.Wanted{Names: names, NotAfter: bubbleTime().Add(20 * day)}, reason: "it ends in 20 days, min_days is 30"},
		"clients only":  {wanted: sample.Wanted{Names: names, ClientOnly: true}, reason: "may not be used by TLS servers"},
		"another name":  {wanted: sample.Wanted{Names: []string{"nes.example"}}, reason: "it is not for the names in use " + hosttest.NESHostname},
		"a name of the present certificate": {arrange: func(_ *testing.T, f *fleet) {
			f.arrange = func(m *hosttest.Memory) {
				m.Bind(m.Issue(sample.Wanted{Names: []string{hosttest.NESHostname, "nes.lyon.example"}}))
			}
		}, reason: "names in use nes.lyon.example"},
		"a root that is not trusted here": {arrange: func(_ *testing.T, f *fleet) {
			f.arrange = func(m *hosttest.Memory) { m.Drop(storeRoot, f.authority.SHA256()) }
		}, reason: "is not trusted on this host"},
		"terminals without trust": {arrange: func(_ *testing.T, f *fleet) {
			f.coverage = &actionv1.Coverage{Users: 415, Trusting: 412, Missing: []string{"T-0007", "T-0100"}, Unknown: []string{"T-0300"}}
		}, params: []string{"accept_missing", "T-0007,T-0300"}, reason: "412 of 415 terminals that use this host trust the new certificate's root; these do not, or it is not known of them: T-0100"},
		"accepted without need": {params: []string{"accept_missing", "T-0001"}, reason: "accept_missing names T-0001"},
		"too many to name": {arrange: func(_ *testing.T, f *fleet) {
			f.coverage = &actionv1.Coverage{Users: 3000, Trusting: 1, Missing: []string{"T-2"}}
		}, params: []string{"accept_missing", "T-2"}, reason: "2999 of 3000 terminals"},
		"a host that the server does not know": {arrange: func(_ *testing.T, f *fleet) { f.site.NesHosts[0].Self = false }, reason: "does not know this machine"},
		"no such site":                         {params: []string{"site", "Intranet"}, reason: `no site "Intranet"`},
		"a host header of another host":        {params: []string{"host", "nes-lyon-2.example"}, reason: "none of the names of this host"},
		"no secret":                            {arrange: func(_ *testing.T, f *fleet) { delete(f.secrets, "nes-lyon-1.pfx") }, reason: "does not exist"},
		"a secret of another terminal": {arrange: func(_ *testing.T, f *fleet) {
			f.secrets["nes-lyon-1.pfx"].Ciphertext[0] ^= 1
		}, reason: "does not open"},
		"no server": {arrange: func(_ *testing.T, f *fleet) { f.offline = true }, reason: "no session with the server"},
	} {
		t.Run(name, func(t *testing.T) {
			var f *fleet
			if c.wanted.Names != nil {
				f = newFleet(t, c.wanted)
			} else {
				f = newFleet(t)
			}
			if c.arrange != nil {
				c.arrange(t, f)
			}
			runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
				was := b.Machine.Bound()
				o := b.Run(rotate, f.rotation(c.params...)).Want(isRefused).WantReason(c.reason)
				if len(b.Machine.Calls()) > 0 || b.Machine.Bound() != was {
					t.Errorf("the machine was told to %v, want nothing", b.Machine.Calls())
				}
				if o.GetNextStep() == "" {
					t.Error("there is no next step")
				}
			})
		})
	}
}

// A terminal that was accepted to be cut off is not asked: its verdict is known, and must not take the change back.
func TestRotationDoesNotAskWhoIsAccepted(t *testing.T) {
	f := newFleet(t)
	f.coverage = &actionv1.Coverage{Users: 3, Trusting: 2, Missing: []string{"T-1"}}
	f.distrusts["T-1"] = "not trusted here"
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		o := b.Run(rotate, f.rotation("accept_missing", "T-1")).Want(succeeded)
		for _, v := range o.EffectOf(effectCanaries).GetAfter().GetPeers().GetVerdicts() {
			if v.GetTerminal() == "T-1" {
				t.Error("T-1 was asked, want only terminals that are to trust the new certificate")
			}
		}
	})
}

// Names that nobody uses any more may be given up, by name.
func TestRotationGivesUpNames(t *testing.T) {
	f := newFleet(t)
	f.arrange = func(m *hosttest.Memory) {
		m.Bind(m.Issue(sample.Wanted{Names: []string{hosttest.NESHostname, "nes.lyon.example"}}))
	}
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		b.Run(rotate, f.rotation("drop_names", "nes.lyon.example")).Want(succeeded)
	})
}

// TestRotationDiesAnywhere: whenever the agent dies, the old or the new certificate is bound in the end, and what was promised of
// canaries holds.
func TestRotationDiesAnywhere(t *testing.T) {
	for name, change := range map[string]func(*fleet){
		"it would succeed":             func(*fleet) {},
		"a canary does not trust it":   func(f *fleet) { f.distrusts["T-1"] = "not trusted here" },
		"nobody uses the host":         func(f *fleet) { f.coverage = &actionv1.Coverage{} },
		"an application does not work": func(f *fleet) { f.arrange = func(m *hosttest.Memory) { m.Answer("/nes/", 503) } },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			change(f)
			runnertest.Crash(t, runnertest.Case{
				Action: tlsCertRotate{}, Params: f.rotation(), Setup: f.setup(), Twice: name == "it would succeed",
				May: []actionv1.TaskStatus{succeeded, rolledBack, actionv1.TaskStatus_TASK_STATUS_FAILED},
				Check: func(t *testing.T, m *hosttest.Memory, res *actionv1.TaskResult) {
					want := f.old.SHA256()
					if res.GetStatus() == succeeded {
						want = f.fresh.SHA256()
					}
					if m.Bound() != want {
						t.Errorf("the result is %s (%s) and the binding serves %q, want %q", res.GetStatus(), res.GetReason(), m.Bound(), want)
					}
				},
			})
		})
	}
}

// TestSecretsLeaveNoTrace looks for the secrets in all that the agent keeps, logs and reports, after a run that succeeds and one that fails.
func TestSecretsLeaveNoTrace(t *testing.T) {
	f := newFleet(t)
	var log bytes.Buffer
	f.log = &log
	file, err := f.fresh.PFX(pfxPassword)
	if err != nil {
		t.Fatal(err)
	}
	f.put("nes-lyon-1.pfx", file)
	key, err := x509.MarshalPKCS8PrivateKey(f.fresh.Key)
	if err != nil {
		t.Fatal(err)
	}
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		var traces [][]byte
		f.distrusts["T-1"] = "not trusted here"
		outcomes := []*runnertest.Outcome{b.Run(rotate, f.rotation()).Want(rolledBack)}
		delete(f.distrusts, "T-1")
		outcomes = append(outcomes, b.Run(rotate, f.rotation()).Want(succeeded))
		for _, o := range outcomes {
			text, err := protojson.Marshal(o.TaskResult)
			if err != nil {
				t.Fatal(err)
			}
			traces = append(traces, text)
		}
		traces = append(traces, log.Bytes(), []byte(strings.Join(b.Machine.Calls(), "\n")))
		traces = append(traces, filesBelow(t, b.Folder())...)
		for what, secret := range map[string][]byte{"password": []byte(pfxPassword), "PFX": file[len(file)/2:][:32], "key": key[len(key)/2:][:32]} {
			for i, trace := range traces {
				if at := find(trace, secret); at != "" {
					t.Errorf("the %s stands in trace %d, %s: %d bytes", what, i, at, len(trace))
				}
			}
		}
	})
}

func filesBelow(t *testing.T, dir string) (all [][]byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, content)
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("the agent keeps %d files, %v; want its journal at least", len(all), err)
	}
	return all
}

// find says in which form a secret stands somewhere, "" when it does not. Base64 looks in three ways, by what stands before.
func find(trace, secret []byte) string {
	forms := map[string][]byte{"as it is": secret, "in hexadecimal": []byte(hex.EncodeToString(secret))}
	for from := range 3 {
		forms[fmt.Sprintf("in base64, from byte %d", from)] = []byte(base64.RawStdEncoding.EncodeToString(secret[from : from+9]))
	}
	for form, text := range forms {
		if bytes.Contains(trace, text) {
			return form
		}
	}
	return ""
}
