package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// Services of a NES host.
const webServer, certService = "W3SVC", "CertSvc"

// authConfig is where the console reads the authentication service's address.
const authConfig = "inetpub/wwwroot/nes_lyon/nes/web.config"

func (w *world) remove(a *agent, file string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(a.machine, file)); err != nil {
		w.t.Fatal(err)
	}
}

// cutOff has the terminal find nobody where the NES host was.
func (w *world) cutOff() {
	w.sim(w.terminal, "host", w.nes.name+".example:443", freeAddress(w.t, "127.0.0.1"))
}

func (w *world) reconnect() { w.sim(w.terminal, "reach", w.nes.machine) }

func (w *world) distrust() { w.sim(w.terminal, "distrust", w.nes.machine) }

// approveRoot puts a second root on the site's list, which no machine has yet. The one in use stays on it.
func (w *world) approveRoot() {
	dir := w.t.TempDir()
	root := filepath.Join(dir, "root.pem")
	w.certificate(dir, "--stranger", "--root-out", root)
	w.hall.fleet.mustCtl("site", "set", w.site, "--approve-root", "Root="+w.rootFile(), "--approve-root", "Next root="+root)
}

// certificate makes a PFX of the NES host's authority, or of a stranger, and returns its SHA-256.
func (w *world) certificate(dir string, more ...string) string {
	w.t.Helper()
	return strings.TrimSpace(mustRun(w.t, program("fleet-agent"), append([]string{"sim", "certificate", w.nes.machine,
		"--out", filepath.Join(dir, "new.pfx"), "--password-out", filepath.Join(dir, "new.password")}, more...)...))
}

// successor puts a new certificate where only the NES host can open it, and names it.
func (w *world) successor() map[string]string {
	dir := w.t.TempDir()
	sha256 := w.certificate(dir)
	if w.terminal != nil { // whether terminals trust its root is known from scans
		w.hall.fleet.mustCtl("fix", "--site", w.site, "cert-scan", "--yes")
	}
	w.hall.fleet.mustCtl("secret", "put", "next.pfx", "--for", w.nes.name, "--file", filepath.Join(dir, "new.pfx"), "--pfx",
		"--password-file", filepath.Join(dir, "new.password"), "--password-secret", "next.password")
	return map[string]string{"pfx": "secret:next.pfx", "pfx_password": "secret:next.password", "expected_thumbprint": sha256}
}

// bound names the certificate that was bound before.
func (w *world) bound() map[string]string {
	var shown struct {
		Certificates map[string][]string `json:"certificates"`
	}
	out := mustRun(w.t, program("fleet-agent"), "sim", "show", w.nes.machine)
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		w.t.Fatalf("sim show: %v in %s", err, out)
	}
	if all := shown.Certificates["WebHosting"]; len(all) > 0 {
		return map[string]string{"thumbprint": all[0]}
	}
	w.t.Fatalf("sim show has no certificate in WebHosting: %s", out)
	return nil
}

// authURL is the address of the authentication service on this host.
func (w *world) authURL() string { return "https://" + w.nes.name + ".example/authenticationservice/" }

// sampleAuthURL is what a sample NES host has.
const sampleAuthURL = "https://nes-lyon-1.example/authenticationservice/"

func (w *world) wrongAuthURL() {
	w.editFile(w.nes, authConfig, w.authURL(), "https://"+w.nes.name+".example/nothing/")
}

func (w *world) rightAuthURL() map[string]string { return map[string]string{"url": w.authURL()} }

func (w *world) expireAuth() { w.sim(w.nes, "certificate", "valid-for=-24h") }

// breakConfig leaves web.config of the console cut off, as an editor does that runs out of room.
func (w *world) breakConfig() { w.editFile(w.nes, authConfig, "</configuration>", "</configuration") }

func (w *world) mendConfig() { w.editFile(w.nes, authConfig, "</configuration", "</configuration>") }

// knownHost has the site name a host that takes no connections.
func (w *world) knownHost(label string) {
	w.hall.fleet.mustCtl("site", "set", w.site, "--known-host", label+"="+freeAddress(w.t, "127.0.0.1"))
}

// confirm answers what a job asks the person at the terminal.
func (w *world) confirm(job string) {
	_ = w.hall.fleet.ctl("job", "confirm", job, w.terminal.name, "--note", "lies on the charger") // it is asked again until it is taken
}
