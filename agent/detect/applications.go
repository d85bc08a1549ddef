package detect

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// ownApplications asks the applications of this NES host at its own address. Where they are, the web server is asked for now and then only: to
// ask takes the start of a program. One goroutine uses it.
type ownApplications struct {
	apps  []application
	asked time.Time
}

// read asks the enrolment service and the console.
func (o *ownApplications) read(ctx context.Context, v view) ([]Reading, error) {
	url := ownURL(v)
	if url == "" {
		return nil, errors.New("the inventory does not name this machine as a NES host of its site")
	}
	if err := o.find(ctx, v); err != nil {
		return nil, err
	}
	var all []Reading
	for _, a := range o.apps {
		target, err := targetOf(url, strings.TrimSuffix(a.path, "/")+"/")
		if err != nil {
			return nil, err
		}
		switch a.name {
		case console:
			all = append(all, o.ask(ctx, v, "console", target, consoleValue))
		case enrollment:
			all = append(all, o.ask(ctx, v, "enrollment-service", target, enrollmentValue))
		}
	}
	return all, nil
}

func (o *ownApplications) find(ctx context.Context, v view) error {
	if !o.asked.IsZero() && time.Since(o.asked) < v.cfg.Timings.Web {
		return nil
	}
	inv, err := v.cfg.Host.IIS.Inventory(ctx)
	if err != nil {
		return err
	}
	o.apps, o.asked = applicationsOf(inv), time.Now()
	return nil
}

// ownURL is that of the NES host that this machine is; empty when the site does not know it as one.
func ownURL(v view) string {
	for _, h := range v.site.GetNesHosts() {
		if h.GetSelf() {
			return h.GetUrl()
		}
	}
	return ""
}

func (*ownApplications) ask(ctx context.Context, v view, signal string, target *actionv1.ProbeTarget, value func(*actionv1.NetProbeResult) string) Reading {
	subject := addressOf(target) + target.GetHttpPath()
	p, err := v.cfg.Host.Network.Probe(ctx, target, probeTimeout)
	if err != nil {
		return unknownOf(signal, subject, err)
	}
	if p.GetHandshake() && !p.GetTrusted() && p.GetHttpStatus() == 0 {
		// The probe goes no further than a chain that is not trusted: nobody has asked the application.
		return unknownOf(signal, subject, errors.New(p.GetTrustProblem()))
	}
	return readOf(signal, subject, value(p), said("address", subject), said("answer", answerText(p)))
}

func answerText(p *actionv1.NetProbeResult) string {
	if p.GetHttpStatus() != 0 {
		return statusText(p)
	}
	_, cause := step(p, "", time.Now())
	return cause
}

func enrollmentValue(p *actionv1.NetProbeResult) string {
	return either(p.GetHttpStatus() == 0 || broken(p.GetHttpStatus()), "failed", "ok")
}

func consoleValue(p *actionv1.NetProbeResult) string {
	const badConfiguration = 19
	switch {
	case p.GetHttpStatus() == http.StatusInternalServerError && p.GetHttpSubstatus() == badConfiguration:
		return "error-500-19"
	case p.GetHttpStatus() == 0 || broken(p.GetHttpStatus()):
		return "error"
	}
	return "ok"
}

// The lists of revoked certificates, as the guide has their addresses.
func revocationPaths() []string { return []string{"/crl/NESL1CA.crl", "/crl/NymiInfraRootCA.crl"} }

// readRevocation fetches the lists over plain HTTP, on a host that has the CA: elsewhere they are somebody else's.
func readRevocation(ctx context.Context, v view) ([]Reading, error) {
	const signal, port = "crl", 80
	state, err := v.cfg.Host.Services.State(ctx, caService)
	if err != nil || !state.GetInstalled() {
		return nil, err
	}
	var all []Reading
	for _, path := range revocationPaths() {
		subject := "http://localhost" + path
		p, err := v.cfg.Host.Network.Probe(ctx, &actionv1.ProbeTarget{Host: "localhost", Port: port, HttpPath: path}, probeTimeout)
		if err != nil {
			all = append(all, unknownOf(signal, subject, err))
			continue
		}
		all = append(all, readOf(signal, subject, revocationValue(p), said("address", subject), said("answer", plainAnswer(p))))
	}
	return all, nil
}

func revocationValue(p *actionv1.NetProbeResult) string {
	switch p.GetHttpStatus() {
	case http.StatusOK:
		return "ok"
	case http.StatusForbidden:
		return "forbidden"
	}
	return "failed"
}

// plainAnswer is answerText of a probe without TLS.
func plainAnswer(p *actionv1.NetProbeResult) string {
	switch {
	case p.GetHttpStatus() != 0:
		return statusText(p)
	case !p.GetConnected():
		return p.GetConnectProblem()
	}
	return p.GetHttpProblem()
}

// authValue is what an answer of the authentication service says of its address. A host that does not answer, or one whose certificate is not
// trusted, says nothing of it.
func authValue(p *actionv1.NetProbeResult, now time.Time) string {
	switch {
	case len(p.GetAddresses()) == 0 && !p.GetConnected():
		return "unresolved"
	case p.GetHandshake() && !p.GetTrusted() && distrust(p, "", now) == "expired":
		return "expired"
	case p.GetHttpStatus() == http.StatusNotFound:
		return "not-found"
	case p.GetHttpStatus() == 0 || broken(p.GetHttpStatus()):
		return catalogue.Unknown
	}
	return "ok"
}
