package neshost

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// probeTimeout is how long one answer may take: an application that was restarted compiles itself at its first request.
	probeTimeout = 20 * time.Second
	// probeTries is how often an application is asked, probePause the pause between.
	probeTries = 3
	probePause = 3 * time.Second
	// serverError is the first of the statuses with which an application says that it does not work.
	serverError = 500
	httpPort    = 80
	httpsPort   = 443
)

// Own is the NES host that this terminal is, as the server knows the site; nil when the server does not know it as one.
func Own(s *actionv1.Surroundings) *actionv1.NESHost {
	for _, h := range s.GetNesHosts() {
		if h.GetSelf() {
			return h
		}
	}
	return nil
}

// Target makes what is connected to for an https URL, with a GET of path unless it is empty.
func Target(text, path string) (*actionv1.ProbeTarget, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no https URL", text)
	}
	port := uint64(httpsPort)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return nil, fmt.Errorf("%q has no port that could be", text)
		}
	}
	return &actionv1.ProbeTarget{Host: u.Hostname(), Port: uint32(port), Tls: true, HttpPath: path}, nil
}

// Address is a target's "host:port".
func Address(t *actionv1.ProbeTarget) string {
	return net.JoinHostPort(t.GetHost(), strconv.FormatUint(uint64(t.GetPort()), 10))
}

// Words says how far a probe got, for people: "no address: no such host", "HTTP 200", "HTTP 403, but the certificate is not trusted: …".
func Words(p *actionv1.NetProbeResult) string {
	switch {
	case len(p.GetAddresses()) == 0 && !p.GetConnected():
		return "no address: " + reason(p.GetNameProblem())
	case !p.GetConnected():
		return "no connection: " + reason(p.GetConnectProblem())
	case p.GetHttpStatus() != 0:
		return untrusted(fmt.Sprintf("HTTP %d", p.GetHttpStatus()), p)
	case p.GetTlsProblem() != "":
		return "no TLS: " + p.GetTlsProblem()
	case p.GetHandshake() && !p.GetTrusted():
		return "the certificate is not trusted: " + reason(p.GetTrustProblem())
	case p.GetHttpProblem() != "":
		return "no HTTP answer: " + p.GetHttpProblem()
	case p.GetHandshake():
		return "TLS, certificate trusted"
	default:
		return "connected"
	}
}

func untrusted(text string, p *actionv1.NetProbeResult) string {
	if p.GetHandshake() && !p.GetTrusted() {
		text += ", but the certificate is not trusted: " + reason(p.GetTrustProblem())
	}
	return text
}

func reason(problem string) string {
	if problem == "" {
		return "the reason is not known"
	}
	return problem
}

// Serves says whether an application is not broken as far as a probe could tell: something accepts connections and no 5xx was answered.
// Whether the certificate is good is another question.
func Serves(p *actionv1.NetProbeResult) bool {
	return p.GetConnected() && p.GetHttpProblem() == "" && p.GetHttpStatus() < serverError
}

// Checks probes applications on the host's own address, each a few times until it serves. When that address is not known, it returns no
// checks and says why.
func Checks(ctx context.Context, r *sdk.Run, apps []Application) (checks []*actionv1.Check, notProbed string, err error) {
	site, err := r.Site(ctx)
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if err != nil {
		return nil, fmt.Sprintf("the server could not be asked for this host's address: %v", err), nil
	}
	own := Own(site)
	if own == nil || len(apps) == 0 {
		return nil, unknownHost(own), nil
	}
	for _, a := range apps {
		target, err := Target(own.GetUrl(), strings.TrimSuffix(a.Path, "/")+"/")
		if err != nil {
			return nil, fmt.Sprintf("the address of this NES host in the inventory cannot be used: %v", err), nil
		}
		check, err := checkOne(ctx, r, a, target)
		if err != nil {
			return nil, "", err
		}
		checks = append(checks, check)
	}
	return checks, "", nil
}

func unknownHost(own *actionv1.NESHost) string {
	if own == nil {
		return "the inventory does not name this terminal as a NES host of its site"
	}
	return "the web server names no NES applications"
}

func checkOne(ctx context.Context, r *sdk.Run, a Application, target *actionv1.ProbeTarget) (*actionv1.Check, error) {
	p, err := probe(ctx, r, target)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s answers at https://%s%s", a.Name, Address(target), target.GetHttpPath())
	return sdk.Check(name, "an answer that is not 5xx", Words(p), Serves(p)), nil
}

func probe(ctx context.Context, r *sdk.Run, target *actionv1.ProbeTarget) (*actionv1.NetProbeResult, error) {
	for try := 1; ; try++ {
		p, err := r.ProbeNet(ctx, target, probeTimeout)
		if err != nil || Serves(p) || try == probeTries {
			return p, err
		}
		if err := r.Wait(ctx, probePause); err != nil {
			return nil, err
		}
	}
}

// Known says whether a target may be connected to, by the rule that the agent holds every action to: a NES host of the site on the port of
// its URL and on those of the web, on any if it is this machine; another known host on the port that it is known with.
func Known(s *actionv1.Surroundings, t *actionv1.ProbeTarget) bool {
	for _, h := range s.GetNesHosts() {
		own, err := Target(h.GetUrl(), "")
		named := strings.EqualFold(h.GetHost(), t.GetHost()) || strings.EqualFold(own.GetHost(), t.GetHost())
		samePort := err == nil && strings.EqualFold(own.GetHost(), t.GetHost()) && own.GetPort() == t.GetPort()
		if samePort || named && (h.GetSelf() || webPort(t)) {
			return true
		}
	}
	for _, k := range s.GetKnownHosts() {
		if strings.EqualFold(k.GetAddress(), Address(t)) {
			return true
		}
	}
	return false
}

func webPort(t *actionv1.ProbeTarget) bool {
	return t.GetPort() == httpPort || t.GetPort() == httpsPort
}

// PathOf is the path of a URL, "/" when it has none.
func PathOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.EscapedPath() == "" {
		return "/"
	}
	return u.EscapedPath()
}
