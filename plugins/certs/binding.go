package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// wanted is the binding that the parameters name.
type wanted struct {
	site, host string
	port       uint32
}

func wantedOf(r *sdk.Run) wanted {
	return wanted{site: r.String("site"), host: r.String("host"), port: uint32(r.Int("port"))} // 1 to 65535 by the manifest
}

// String is what it is called: `"Default Web Site" port 443`.
func (w wanted) String() string {
	if w.host != "" {
		return fmt.Sprintf("%q port %d host %s", w.site, w.port, w.host)
	}
	return fmt.Sprintf("%q port %d", w.site, w.port)
}

// among finds the binding. One that is not there is returned as such, on all addresses; of several the problem says so.
func (w wanted) among(all []*actionv1.Binding) (b *actionv1.Binding, problem string) {
	var found []*actionv1.Binding
	for _, b := range all {
		switch {
		case b.GetPort() != w.port || !strings.EqualFold(b.GetHost(), w.host):
		case strings.EqualFold(b.GetSite(), w.site):
			found = append(found, b)
		case b.GetAddress() == "*" && len(found) == 0:
			problem = fmt.Sprintf("port %d is bound by the site %q", w.port, b.GetSite())
		}
	}
	switch len(found) {
	case 0:
		return &actionv1.Binding{Site: w.site, Address: "*", Port: w.port, Host: w.host, Sni: w.host != ""}, problem
	case 1:
		return proto.CloneOf(found[0]), ""
	}
	return nil, fmt.Sprintf("%s has %d bindings, on the addresses %s", w, len(found), some(addresses(found)))
}

func addresses(bindings []*actionv1.Binding) []string {
	var out []string
	for _, b := range bindings {
		out = append(out, b.GetAddress())
	}
	return out
}

// serving returns the binding as it is when it serves a certificate of a store.
func serving(b *actionv1.Binding, sha256, store string) *actionv1.Binding {
	after := proto.CloneOf(b)
	after.CertificateSha256, after.Store, after.Exists = sha256, store, true
	return after
}
