package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// targetPattern is one element of targets: a word, a word or host with a port, or a port.
	targetPattern = `[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}`

	targetNES        = "nes"
	targetEnrollment = "https-enrollment"
	labelDomain      = "domain"
	labelDirectory   = "ad"

	httpsPort = 443
)

// named is a target with the rule that its findings have.
type named struct {
	rule   string
	target *actionv1.ProbeTarget
}

// targets is what is to be probed, or why it may not be.
type targets struct {
	list    []named
	problem string
}

// readTargets works out what the parameter means. Only hosts and ports that the inventory knows are ever connected to.
func readTargets(ctx context.Context, r *sdk.Run) (targets, error) {
	site, err := r.Site(ctx)
	if err != nil {
		return targets{}, err
	}
	var out targets
	previous := ""
	for element := range strings.SplitSeq(r.String("targets"), ",") {
		if _, err := strconv.ParseUint(element, 10, 16); err == nil {
			if previous == "" {
				return targets{problem: fmt.Sprintf("target %q is a port, and there is no target before it", element)}, nil
			}
			element = previous + ":" + element
		}
		previous = nameOf(element)
		list, problem, err := resolve(ctx, r, site, element)
		if err != nil || problem != "" {
			return targets{problem: problem}, err
		}
		out.list = append(out.list, list...)
	}
	return out, nil
}

// nameOf is an element without its port.
func nameOf(element string) string {
	if host, _, err := net.SplitHostPort(element); err == nil {
		return host
	}
	return element
}

func resolve(ctx context.Context, r *sdk.Run, site *actionv1.Surroundings, element string) ([]named, string, error) {
	switch element {
	case targetNES:
		return nesTargets(site, "")
	case targetEnrollment:
		path, err := enrollmentPath(ctx, r)
		if err != nil {
			return nil, "", err
		}
		return nesTargets(site, path)
	}
	label, port := element, ""
	if host, p, err := net.SplitHostPort(element); err == nil {
		label, port = host, p
	}
	var list []named
	for _, t := range knownTargets(site, label) {
		if port == "" || strconv.FormatUint(uint64(t.GetPort()), 10) == port {
			list = append(list, named{ruleOf(site, label), t})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Sprintf("%q is not known to the inventory of site %s", element, r.Terminal().GetSite()), nil
	}
	return list, "", nil
}

// nesTargets are the NES hosts that this machine uses or is; path stands in place of the URL's own unless it is empty.
func nesTargets(site *actionv1.Surroundings, path string) ([]named, string, error) {
	rule := targetNES
	if path != "" {
		rule = "enrollment"
	}
	var list []named
	for _, h := range site.GetNesHosts() {
		if !h.GetUsed() && !h.GetSelf() {
			continue
		}
		at := path
		switch own := neshost.PathOf(h.GetUrl()); path {
		case "":
			at = own
		case besideConsole:
			at = strings.TrimSuffix(own, "/") + enrollmentSuffix
		}
		t, err := neshost.Target(h.GetUrl(), at)
		if err != nil {
			return nil, fmt.Sprintf("NES host %q: %v; correct it in the site's NES hosts", h.GetHost(), err), nil
		}
		list = append(list, named{rule, t})
	}
	if len(list) == 0 {
		return nil, "the inventory has no NES host for this terminal", nil
	}
	return list, "", nil
}

// Where the enrolment service is when IIS cannot be asked: beside the console, with this ending (guide: names of the log folders).
const (
	besideConsole    = "beside the console"
	enrollmentSuffix = "_ES/"
)

// enrollmentPath is the path of the enrolment service as this host's IIS has it.
func enrollmentPath(ctx context.Context, r *sdk.Run) (string, error) {
	if r.Terminal().GetRole() != neshost.Role {
		return besideConsole, nil
	}
	inv, err := r.IIS(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range neshost.Applications(inv) {
		if a.Name == neshost.Enrollment {
			return strings.TrimSuffix(a.Path, "/") + "/", nil
		}
	}
	return besideConsole, nil
}

// knownTargets are the addresses that the inventory has under a label or for a host.
func knownTargets(site *actionv1.Surroundings, name string) []*actionv1.ProbeTarget {
	list := labelledTargets(site, name)
	if name == labelDomain && len(list) == 0 {
		list = labelledTargets(site, labelDirectory)
	}
	for _, k := range site.GetKnownHosts() {
		t := tcpTarget(k.GetAddress())
		if t != nil && strings.EqualFold(t.GetHost(), name) && k.GetLabel() != name {
			list = append(list, t)
		}
	}
	for _, h := range site.GetNesHosts() {
		if t, err := neshost.Target(h.GetUrl(), neshost.PathOf(h.GetUrl())); err == nil && (strings.EqualFold(t.GetHost(), name) || strings.EqualFold(h.GetHost(), name)) {
			list = append(list, t)
		}
	}
	return list
}

// ruleOf names the findings of a target: by its label when it has one.
func ruleOf(site *actionv1.Surroundings, name string) string {
	labelled := slices.ContainsFunc(site.GetKnownHosts(), func(k *actionv1.KnownHost) bool { return k.GetLabel() == name })
	if labelled || name == labelDomain {
		return strings.ToLower(name)
	}
	return "host"
}

func labelledTargets(site *actionv1.Surroundings, label string) []*actionv1.ProbeTarget {
	var list []*actionv1.ProbeTarget
	for _, k := range site.GetKnownHosts() {
		if t := tcpTarget(k.GetAddress()); k.GetLabel() == label && t != nil {
			list = append(list, t)
		}
	}
	return list
}

// tlsPorts are those on which TLS is negotiated at once: https, and LDAP over TLS with the global catalogue's.
func tlsPorts() []uint32 { return []uint32{httpsPort, 636, 3269} }

// tcpTarget reads "host:port"; nil when it is none.
func tcpTarget(address string) *actionv1.ProbeTarget {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return nil
	}
	return &actionv1.ProbeTarget{Host: host, Port: uint32(port), Tls: slices.Contains(tlsPorts(), uint32(port))}
}
