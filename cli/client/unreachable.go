package client

import (
	"strings"

	"github.com/bandfleet/bandfleet/cli/exit"
)

// cause is one way in which a connection does not come about. gRPC hands these over as text only.
type cause struct {
	// sign is found in gRPC's message.
	sign string
	says string
	next string
}

// causes are looked through in order; the first whose sign is found counts.
func causes() []cause {
	return []cause{
		{"certificate signed by unknown authority", "its certificate is not of the CA in your context file",
			"check the address, or use the context file that came from this server (--config)"},
		{"certificate has expired or is not yet valid", "its certificate is not valid at this machine's time",
			"check this machine's clock; if it is right, restart fleetd, which renews its certificate"},
		{"not a server", "it is not a Bandfleet server", "check the address in the context file"},
		{"x509: certificate is", "it is not a Bandfleet server", "check the address in the context file"},
		{"x509: certificate is not valid", "it is not a Bandfleet server", "check the address in the context file"},
		{"is not of this fleet", "it is not a Bandfleet server", "check the address in the context file"},
		{"tls: expired certificate", "it says that your certificate has expired", "ask an administrator for a new context file"},
		{"tls: unknown certificate authority", "it does not know the CA of your certificate",
			"use a context file that came from this server (--config)"},
		{"tls: bad certificate", "it refused your certificate", "use a context file that came from this server (--config)"},
		{"first record does not look like a TLS handshake", "it does not speak TLS", "check the address and port in the context file"},
		{"no application protocol", "it does not speak gRPC", "check the address and port in the context file"},
		{"connection refused", "nothing listens there", "check that fleetd runs, and the address in the context file"},
		{"no such host", "its name is not known here", "check the address in the context file, and name resolution"},
		{"missing port in address", "the address has no port", "write HOST:PORT in the context file"},
		{"no route to host", "there is no way to it", "check the network, and the address in the context file"},
		{"network is unreachable", "there is no way to it", "check the network, and the address in the context file"},
		{"error reading from server", "the connection broke", "check that fleetd runs and that this machine reaches it, then try again"},
		{"i/o timeout", "it did not answer in time", "check the network and firewalls, and that fleetd runs"},
		{"context deadline exceeded", "it did not answer in time", "check the network and firewalls, and that fleetd runs"},
		// The server refuses a certificate only after the client's side of the handshake is over; then the refusal often gets lost
		// in the closed connection.
		{"server preface", "it closed the connection, most likely because it refuses your certificate",
			"use a context file that came from this server (--config), and compare the clocks of both machines"},
		{"client preface", "it closed the connection, most likely because it refuses your certificate",
			"use a context file that came from this server (--config), and compare the clocks of both machines"},
		{"connection reset by peer", "it closed the connection, most likely because it refuses your certificate",
			"use a context file that came from this server (--config), and compare the clocks of both machines"},
	}
}

// unreachable says in words why the server could not be reached.
func (f failures) unreachable(message string) *exit.Error {
	for _, c := range causes() {
		if strings.Contains(message, c.sign) {
			return exit.Errorf(exit.Unreachable, "server %s: %s", f.server, c.says).Then("%s", c.next)
		}
	}
	return exit.Errorf(exit.Unreachable, "server %s: %s", f.server, message).
		Then("check that fleetd runs and that this machine reaches it, then try again")
}
