package main

import (
	"net/url"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// ownHost is what the server knows of the NES host of the run.
type ownHost struct {
	// names are those by which it is used, the first one first in the site's settings.
	names []string
	// path is the one of its URL ("/nes/").
	path string
}

// ownHostOf returns nil when the server does not know this machine as a NES host.
func ownHostOf(site *actionv1.Surroundings) *ownHost {
	var own ownHost
	for _, h := range site.GetNesHosts() {
		if !h.GetSelf() {
			continue
		}
		name := h.GetHost()
		if u, err := url.Parse(h.GetUrl()); err == nil && u.Hostname() != "" {
			name = u.Hostname()
			if own.path == "" {
				own.path = u.Path
			}
		}
		if name != "" && !own.has(name) {
			own.names = append(own.names, name)
		}
	}
	if len(own.names) == 0 {
		return nil
	}
	return &own
}

func (o *ownHost) has(name string) bool {
	return slices.ContainsFunc(o.names, func(n string) bool { return strings.EqualFold(n, name) })
}

// target is where terminals reach a binding of this host.
func (o *ownHost) target(b *actionv1.Binding) *actionv1.ProbeTarget {
	name := o.names[0]
	if b.GetHost() != "" {
		name = b.GetHost()
	}
	return &actionv1.ProbeTarget{Host: name, Port: b.GetPort(), Tls: true}
}

// inUse are the names for which a binding must be good: those of the host, its own, and those of the certificate that it serves now but
// for the ones that are given up.
func (o *ownHost) inUse(b *actionv1.Binding, present *actionv1.Certificate, given []string) []string {
	names := slices.Clone(o.names)
	if b.GetHost() != "" {
		names = []string{b.GetHost()}
	}
	for _, name := range slices.Concat(present.GetDnsNames(), present.GetIpAddresses()) {
		same := func(n string) bool { return strings.EqualFold(n, name) }
		if !slices.ContainsFunc(names, same) && !slices.ContainsFunc(given, same) {
			names = append(names, name)
		}
	}
	return names
}
