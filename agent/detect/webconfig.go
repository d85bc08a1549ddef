package detect

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/configfile"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const webConfig = "web.config"

// settingsOf reads the values of an application's web.config in a format.
func settingsOf(ctx context.Context, v view, application string, format actionv1.ConfigFormat) ([]*actionv1.ConfigValue, error) {
	const most = 1 << 20
	content, more, err := v.cfg.Host.Files.Read(ctx, application, webConfig, most)
	if err == nil && more {
		err = fmt.Errorf("file %q: is longer than %d bytes", application+"/"+webConfig, most)
	}
	if err != nil {
		return nil, err
	}
	file, err := configfile.Parse(format, content)
	if err != nil {
		return nil, fmt.Errorf("file %q: %w", application+"/"+webConfig, err)
	}
	return file.Values, nil
}

// readLogLevels reads the switches of the three applications. Raised ones that nobody will put back fill the disk.
func readLogLevels(ctx context.Context, v view) ([]Reading, error) {
	const signal = "verbose-logging"
	var leases []*actionv1.LeaseState
	if v.cfg.Leases != nil {
		leases = v.cfg.Leases()
	}
	var all []Reading
	for _, name := range applicationNames() {
		subject := name + "/" + webConfig
		switches, err := settingsOf(ctx, v, name, actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES)
		if err != nil {
			all = append(all, unknownOf(signal, subject, err))
			continue
		}
		all = append(all, levels(subject, switches, leases))
	}
	return all, nil
}

func levels(subject string, switches []*actionv1.ConfigValue, leases []*actionv1.LeaseState) Reading {
	details := []seen{said("file", subject)}
	value := "off"
	for _, s := range switches {
		details = append(details, said(s.GetKey(), s.GetValue()))
		if strings.EqualFold(s.GetValue(), "Verbose") || strings.EqualFold(s.GetValue(), "All") {
			value = "on"
		}
	}
	if until := leasedUntil(leases, subject); value == "on" && until != "" {
		value = "leased"
		details = append(details, said("until", until))
	}
	return readOf("verbose-logging", subject, value, details...)
}

// leasedUntil says until when a lease holds a file, empty when none does.
func leasedUntil(leases []*actionv1.LeaseState, file string) string {
	for _, l := range leases {
		held := slices.ContainsFunc(l.GetResources(), func(r string) bool { return strings.Contains(r, strconv.Quote(file)) })
		if held && !l.GetEnded() {
			return l.GetUntil().AsTime().UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// readAuthURL judges the console's address of the authentication service.
func readAuthURL(ctx context.Context, v view) ([]Reading, error) {
	const signal, key = "auth-url", "AuthenticationService"
	settings, err := settingsOf(ctx, v, console, actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SETTINGS)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(settings, func(s *actionv1.ConfigValue) bool { return s.GetKey() == key })
	if at < 0 || strings.TrimSpace(settings[at].GetValue()) == "" {
		return []Reading{read(signal, "missing", said("file", console+"/"+webConfig))}, nil
	}
	return []Reading{authReading(ctx, v, strings.TrimSpace(settings[at].GetValue()))}, nil
}

func authReading(ctx context.Context, v view, text string) Reading {
	const signal = "auth-url"
	target, err := targetOf(text, "")
	if err != nil {
		return readOf(signal, text, "unresolved", said("value", text), said("cause", err.Error()))
	}
	if !mayProbe(v, target) && !pointsHere(ctx, v, text) {
		return unknownHost(ctx, v, text, target.GetHost())
	}
	p, err := v.cfg.Host.Network.Probe(ctx, target, probeTimeout)
	if err != nil {
		return unknownOf(signal, text, err)
	}
	return readOf(signal, text, authValue(p, time.Now()), append([]seen{said("value", text), said("answer", answerText(p))}, served(p)...)...)
}

// unknownHost judges an address whose host the site does not know: nothing is connected to, but a name that leads nowhere is told.
func unknownHost(ctx context.Context, v view, text, name string) Reading {
	const signal = "auth-url"
	_, problem, err := v.cfg.Host.Network.Resolve(ctx, name, probeTimeout)
	switch {
	case err != nil:
		return unknownOf(signal, text, err)
	case problem != "":
		return readOf(signal, text, "unresolved", said("value", text), said("cause", problem))
	}
	return unknownOf(signal, text, errors.New("the site does not know this host, so it is not connected to"))
}

// pointsHere says whether a URL's host is this machine.
func pointsHere(ctx context.Context, v view, text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	here, err := v.cfg.Host.System.Describe(ctx)
	return err == nil && agentURL{host: u.Hostname()}.pointsTo(here)
}
