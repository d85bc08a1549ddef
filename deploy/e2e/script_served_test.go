package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os/exec"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// servedCommands judge what the web server of a NES host gives to whoever connects.
func servedCommands() map[string]command {
	return map[string]command{
		// serves MACHINE SHA256: a TLS handshake with the web server of a simulated NES host gives this certificate.
		"serves": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("usage: serves MACHINE SHA256")
			}
			served, err := handshake(args[0])
			ts.Check(err)
			if served != args[1] {
				ts.Fatalf("a handshake gives the certificate %s, want %s", served, args[1])
			}
		},
		// served MACHINE: sets $SERVED to the SHA-256 of the certificate that a handshake gives now.
		"served": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: served MACHINE")
			}
			served, err := handshake(args[0])
			ts.Check(err)
			ts.Setenv("SERVED", served)
		},
		// fingerprint FILE: sets $FINGERPRINT to the SHA-256 of the certificate in a PEM file.
		"fingerprint": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: fingerprint FILE")
			}
			block, _ := pem.Decode([]byte(ts.ReadFile(args[0])))
			if block == nil {
				ts.Fatalf("%s has no PEM block", args[0])
			}
			ts.Setenv("FINGERPRINT", fingerprint(block.Bytes))
		},
	}
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// handshake connects to the web server of a simulated NES host and returns the SHA-256 of the certificate that it gives. Whether it is to
// be trusted is for the terminals to say.
func handshake(machine string) (string, error) {
	out, err := exec.Command(program("fleet-agent"), "sim", "show", machine).Output()
	if err != nil {
		return "", fmt.Errorf("sim show %s: %w", machine, err)
	}
	var shown struct {
		Hostname string `json:"hostname"`
		Web      struct {
			Address string `json:"https_address"`
		} `json:"web"`
	}
	if err := json.Unmarshal(out, &shown); err != nil {
		return "", fmt.Errorf("sim show %s: %w", machine, err)
	}
	const patience = 10 * time.Second
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", shown.Web.Address, &tls.Config{ServerName: shown.Hostname, InsecureSkipVerify: true})
	if err != nil {
		return "", fmt.Errorf("the web server of %s: %w", shown.Hostname, err)
	}
	defer conn.Close()
	return fingerprint(conn.ConnectionState().PeerCertificates[0].Raw), nil
}
