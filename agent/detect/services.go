package detect

import (
	"context"
	"strconv"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Services, by display name or by the key that Windows has for them in every language.
const (
	endpointService = host.EndpointService
	agentService    = host.AgentService
	webService      = "W3SVC"
	processService  = "WAS"
	caService       = "CertSvc"
)

// readService reads a signal that is the state of a service.
func readService(signal, service string) func(context.Context, view) ([]Reading, error) {
	return func(ctx context.Context, v view) ([]Reading, error) {
		state, err := v.cfg.Host.Services.State(ctx, service)
		if err != nil {
			return nil, err
		}
		return []Reading{serviceReading(signal, state)}, nil
	}
}

func serviceReading(signal string, s *actionv1.ServiceState) Reading {
	value := serviceValue(s)
	details := []seen{said("service", s.GetService())}
	if s.GetPid() != 0 {
		details = append(details, varying("process", strconv.FormatUint(uint64(s.GetPid()), 10)))
	}
	if s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED && s.GetInstalled() {
		details = append(details, said("exit code", strconv.FormatInt(s.GetExitCode(), 10)))
	}
	return read(signal, value, details...)
}

// serviceValue is a service's state in the words of the catalogue.
func serviceValue(s *actionv1.ServiceState) string {
	switch {
	case !s.GetInstalled():
		return "missing"
	case s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING:
		return "running"
	case s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STARTING:
		return "starting"
	case s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPING:
		return "stopping"
	case s.GetDisabled():
		return "disabled"
	}
	return "stopped"
}

// readAgentService reads the Nymi Agent's service. A terminal that uses a central one needs none.
func (c *nbeCache) readAgentService(ctx context.Context, v view) ([]Reading, error) {
	const signal = "nymi-agent-service"
	if elsewhere := c.elsewhere(ctx, v); elsewhere != "" {
		return []Reading{read(signal, "running", said("service", agentService), said("host", elsewhere))}, nil
	}
	return readService(signal, agentService)(ctx, v)
}

// elsewhere names the host of the Nymi Agent that this terminal uses; empty when that is this machine, or cannot be told.
func (c *nbeCache) elsewhere(ctx context.Context, v view) string {
	if v.site.GetCentralAgent() {
		return either(v.site.GetCentralAgentUrl() != "", v.site.GetCentralAgentUrl(), "the site's central one")
	}
	config, err := c.get(ctx, v.cfg.Host.Files)
	if err != nil {
		return ""
	}
	url, err := config.agentURL()
	if err != nil {
		return ""
	}
	here, err := v.cfg.Host.System.Describe(ctx)
	if err != nil || url.pointsTo(here) {
		return ""
	}
	return url.host
}
