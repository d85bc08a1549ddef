package jobs

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// vault has secrets, by terminal and name, with their stamps.
type vault struct{ sync.Map }

func (v *vault) Stamp(_ store.Reader, terminal, name string) (string, error) {
	if stamp, ok := v.Load(terminal + "/" + name); ok {
		return stamp.(string), nil
	}
	return "", refusal.New(refusal.NotFound, "NO_SECRET", "secret %q of terminal %q: is not there", name, terminal).Then("put it")
}

// scans notes whose scans were stored; it fails while told to.
type scans struct {
	mu     sync.Mutex
	stored []string
	fail   bool
}

func (s *scans) Store(w store.Writer, t *fleetv1.Task, r *actionv1.CertificateReport, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("no")
	}
	s.stored = append(s.stored, t.GetTerminalId())
	return w.Put(store.TableCertificates, store.TerminalKey(t.GetTerminalId()), []byte{})
}

// withPFX has the action take a secret, and the job name one.
func withPFX(r *rig) func(*fleetv1.CreateJobRequest) {
	a := r.fleet.actions["aa"]
	a.Params = append(a.Params, &actionv1.Param{Name: "pfx", Type: actionv1.ParamType_PARAM_TYPE_SECRET})
	return func(q *fleetv1.CreateJobRequest) {
		needing(1)(q)
		q.Spec.Params = map[string]string{"pfx": "secret:nes.pfx"}
	}
}

func TestAJobNeedsItsSecretsOnEveryTarget(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ask := withPFX(r)
		r.secrets.Store("T-0000/nes.pfx", "1")
		_, err := r.tryCreate(ask)
		expectRefusal(t, err, "NO_SECRET")
		no, _ := errors.AsType[*refusal.Error](err)
		if no == nil || no.Field != "spec.params[pfx]" || !strings.Contains(no.Message, "T-0001") || no.Next == "" {
			t.Errorf("refused with %+v; want the parameter, the terminal and what to do", no)
		}
		r.secrets.Store("T-0001/nes.pfx", "1")
		if _, err := r.tryCreate(ask); err != nil {
			t.Errorf("every target has the secret, and it was refused: %v", err)
		}
	}, "lyon", "lyon")
}

func TestASecretThatIsPutAgainTakesApprovalsBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ask := withPFX(r)
		r.secrets.Store("T-0000/nes.pfx", "1")
		job := r.create(ask)
		r.mustApprove(approver("bob"), job)
		r.secrets.Store("T-0000/nes.pfx", "2")
		if err := r.engine.SecretChanged(t.Context(), "T-0000", "other"); err != nil {
			t.Fatal(err)
		}
		expect(t, "lapsed by a secret that it does not name", r.job(job).GetApproval().GetApprovals()[0].GetLapsed(), "")
		if err := r.engine.SecretChanged(t.Context(), "T-0000", "nes.pfx"); err != nil {
			t.Fatal(err)
		}
		got := r.job(job).GetApproval()
		expect(t, "lapsed", got.GetApprovals()[0].GetLapsed(), "a secret that it names was put again")
		if got.GetDigest() == job.GetApproval().GetDigest() {
			t.Error("the digest is the same although what is approved is another")
		}
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		r.mustApprove(approver("cleo"), r.job(job))
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

// The server may be killed between the secret and its consequence.
func TestASecretPutBeforeTheServerWasKilledCounts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ask := withPFX(r)
		r.secrets.Store("T-0000/nes.pfx", "1")
		job := r.create(ask)
		r.mustApprove(approver("bob"), job)
		r.secrets.Store("T-0000/nes.pfx", "2")
		r.restart()
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "lapsed", r.job(job).GetApproval().GetApprovals()[0].GetLapsed(), "a secret that it names was put again")
	}, "lyon")
}

func TestAParametersValueCanAskForApprovals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.fleet.actions["aa"]
		a.WhenRules = []*actionv1.WhenRule{{Param: "stop_timeout", Value: "1m0s", Approvals: 1, Reason: "100% of people notice"}}
		if plain := r.create(nil); plain.GetApproval() != nil {
			t.Errorf("without the value it asks for %v", plain.GetApproval())
		}
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Params = map[string]string{"stop_timeout": "60s"} })
		expect(t, "needed", job.GetApproval().GetNeeded(), 1)
		expect(t, "reasons", strings.Join(job.GetApproval().GetReasons(), "; "), "the action asks for 1, because stop_timeout is 1m0s: 100% of people notice")
	}, "lyon")
}

func TestAScanIsStoredWithItsResult(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 3 {
			r.connect(i)
		}
		job := r.create(nil)
		for i := range 3 {
			res := &agentv1.Result{Key: key(job), Result: &actionv1.TaskResult{Status: succeeded, Certificates: &actionv1.CertificateReport{}}}
			stored := make(chan error, 1)
			if err := r.engine.Result(t.Context(), terminalID(i), res, func(err error) { stored <- err }); err != nil {
				t.Fatal(err)
			}
			if err := <-stored; err != nil {
				t.Errorf("result %d: %v", i, err)
			}
		}
		expect(t, "scans stored", strings.Join(r.scans.stored, " "), "T-0000 T-0001 T-0002")
	}, "lyon", "lyon", "lyon")
}

func TestUpdatesOfResultsKeepBelowTheStoresLimit(t *testing.T) {
	scan := &actionv1.TaskResult{Certificates: &actionv1.CertificateReport{}}
	var all []*settlement
	for range 100 {
		all = append(all, &settlement{result: scan}, &settlement{result: &actionv1.TaskResult{}})
	}
	n := 0
	for chunk := range updatesOf(all) {
		weight := 0
		for _, s := range chunk {
			weight += s.weight()
		}
		if n += len(chunk); weight > resultsPerUpdate {
			t.Errorf("an update of weight %d, at most %d are allowed", weight, resultsPerUpdate)
		}
	}
	expect(t, "results written", n, len(all))
}

func TestAResultIsCutToItsBounds(t *testing.T) {
	r := &actionv1.TaskResult{Certificates: &actionv1.CertificateReport{Roots: map[string]bool{}}}
	for range 1000 {
		r.Findings = append(r.Findings, &actionv1.Finding{Message: strings.Repeat("x", 10_000)})
		r.Leases = append(r.Leases, &actionv1.LeaseState{})
		r.Certificates.Certificates = append(r.Certificates.Certificates, &actionv1.Certificate{})
		r.Certificates.Bindings = append(r.Certificates.Bindings, &actionv1.Binding{})
	}
	boundResult(r)
	expect(t, "findings", len(r.GetFindings()), maxFindings)
	expect(t, "bytes of a message", len(r.GetFindings()[0].GetMessage()), maxFinding)
	expect(t, "leases", len(r.GetLeases()), maxLeases)
	expect(t, "certificates", len(r.GetCertificates().GetCertificates()), maxCertificates)
	expect(t, "bindings", len(r.GetCertificates().GetBindings()), maxBindings)
	boundResult(nil)
}
