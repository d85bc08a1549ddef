package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const rolledBack = actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK

// rotationPoint is where the agent of a NES host dies in the middle of a rotation.
type rotationPoint struct {
	// distrusts has the one terminal that uses the host not trust what is served, so that the rotation is taken back.
	distrusts bool
	want      actionv1.TaskStatus
}

// rotationPoints are the points by name. Where the new certificate was bound and nobody could be asked any more, it is taken back.
func rotationPoints() map[string]rotationPoint {
	return map[string]rotationPoint{
		"after start":   {want: failed},
		"before import": {want: failed},
		"after import":  {want: rolledBack},
		"before bind":   {want: rolledBack},
		"after bind":    {want: rolledBack},
		"before finish": {want: succeeded},
		"after finish":  {want: succeeded},
		"before rebind": {distrusts: true, want: rolledBack},
		"after rebind":  {distrusts: true, want: rolledBack},
		"before remove": {distrusts: true, want: rolledBack},
		"after remove":  {distrusts: true, want: rolledBack},
	}
}

// TestRotationKilledAnywhere kills the agent of a NES host at each point of a rotation. At once, and when the agent is back, the old or the
// new certificate is served, never none; the result says which; the old one is still there; and nothing of the secret is left.
func TestRotationKilledAnywhere(t *testing.T) {
	for point, p := range rotationPoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			r := newRotation(t, p.distrusts)
			r.armAt(point)
			job := r.start()
			r.awaitDeath()
			r.wantServed(r.old, r.fresh)
			r.revive()
			task := r.fleet.awaitTask(job)
			wantOneAttempt(t, task)
			if task.GetStatus() != p.want {
				t.Errorf("status %v (%s), want %v", task.GetStatus(), task.GetResult().GetReason(), p.want)
			}
			if task.GetStatus() == succeeded {
				r.wantServed(r.fresh)
			} else {
				r.wantServed(r.old)
			}
			if shown := mustRun(t, program("fleet-agent"), "sim", "show", r.agent.machine); !strings.Contains(shown, r.old) {
				t.Errorf("the certificate %s is gone from the host; what was served before is never removed:\n%s", r.old, shown)
			}
			wantNoTrace(t, r.secrets, r.fleet.traces(t, []string{job}))
		})
	}
}

// rotation is a NES host whose certificate is to be rotated, with one terminal that uses it. crash.agent is the host's.
type rotation struct {
	crash
	// old and fresh are the SHA-256 of the certificate that is served and of the one in the PFX.
	old, fresh string
	secrets    secretForms
	approver   string
}

func newRotation(t *testing.T, distrusts bool) *rotation {
	t.Helper()
	r := &rotation{crash: crash{t: t, fleet: startMortalFleet(t, "")}, approver: filepath.Join(t.TempDir(), "bob.yaml")}
	f := r.fleet
	f.mustCtl("site", "add", "lyon")
	f.mustCtl("operator", "create", "bob", "--role", "approver", "--site", "lyon", "--out", r.approver)
	f.mustCtl("site", "set", "lyon", "--nes-host", "nes-lyon-1=https://nes-lyon-1.example/nes")
	r.agent = f.newMachineWith("lyon", "nes-lyon-1", "plugins", roleNESHost)
	r.victim = func() *process { return r.agent.process }
	terminal := f.newAgent("lyon", "line-1")
	f.agents = map[string]*agent{r.agent.name: r.agent, terminal.name: terminal}
	terminal.sim("reach", r.agent.machine)
	terminal.sim("trust", r.agent.machine)
	f.mustCtl("fix", "cert-scan", "--site", "lyon", "--yes")
	if distrusts {
		terminal.sim("distrust", r.agent.machine)
	}
	r.old = r.served()
	r.putSecret()
	return r
}

// sim changes the simulated machine.
func (a *agent) sim(args ...string) {
	a.t.Helper()
	mustRun(a.t, program("fleet-agent"), append([]string{"sim", "set", a.machine}, args...)...)
}

func (r *rotation) putSecret() {
	file, password, sha256 := newPFX(r.t, r.agent.machine)
	r.fresh, r.secrets = sha256, secretsOf(r.t, file, password)
	folder := filepath.Dir(r.agent.machine)
	r.fleet.mustCtl("secret", "put", "nes.pfx", "--for", "nes-lyon-1", "--file", filepath.Join(folder, "new.pfx"), "--pfx",
		"--password-file", filepath.Join(folder, "new.password"), "--password-secret", "nes.password")
}

// armAt has the host's agent die at a point from now on.
func (r *rotation) armAt(point string) {
	r.agent.stop()
	r.agent.killAt = point
	r.agent.start()
	r.fleet.awaitOnline(r.agent.name)
}

// start has the rotation approved, and returns the job.
func (r *rotation) start() string {
	r.t.Helper()
	job := r.fleet.fix("tls-cert-rotate", "--terminal", "nes-lyon-1", "--param", "pfx=secret:nes.pfx", "--param", "pfx_password=secret:nes.password",
		"--param", "expected_thumbprint="+r.fresh, "--param", "canaries=1")
	digest := r.fleet.job(job).GetApproval().GetDigest()
	mustRun(r.t, program("fleetctl"), "--config", r.approver, "job", "approve", job, "--digest", digest, "--yes")
	return job
}

func (r *rotation) served() string {
	r.t.Helper()
	sha256, err := handshake(r.agent.machine)
	if err != nil {
		r.t.Fatalf("nothing is served: %v; there must be a certificate at every moment", err)
	}
	return sha256
}

func (r *rotation) wantServed(allowed ...string) {
	r.t.Helper()
	got := r.served()
	for _, sha256 := range allowed {
		if got == sha256 {
			return
		}
	}
	r.t.Errorf("certificate %s is served, want one of %q; before it was %s, and %s is the new one", got, allowed, r.old, r.fresh)
}
