package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

const (
	// setPatience bounds a change.
	setPatience = 90 * time.Second
	// stopPatience is how long a service may take to stop before `set … stopped` kills it.
	stopPatience = 2 * time.Second
)

// setter is one thing that can be set.
type setter struct {
	// usage is what follows the name.
	usage string
	// values is how many words that is.
	values int
	do     func(ctx context.Context, t *terminal, values []string) error
}

// setters are what can be set on each machine, by name.
func setters() map[string]setter {
	return map[string]setter{
		"service": {"NAME STATE-OR-BEHAVIOUR", 2, func(ctx context.Context, t *terminal, v []string) error {
			return host.ServiceError(v[0], t.setService(ctx, v[0], v[1]))
		}},
		"user": {"NAME active|idle|away|none", 2, func(ctx context.Context, t *terminal, v []string) error {
			return named("user", v[0], t.signIn(ctx, v[0], v[1]))
		}},
		"adapter": {"present|absent|stuck|broken|updating|several", 1, func(ctx context.Context, t *terminal, v []string) error {
			return t.plugAdapter(ctx, v[0])
		}},
		"tool": {"NAME " + strings.Join(toolModes(), "|"), 2, func(ctx context.Context, t *terminal, v []string) error {
			return named("tool", v[0], t.changeTool(ctx, v[0], v[1]))
		}},
		"host": {"NAME[:PORT] ADDRESS[:PORT]|none", 2, func(ctx context.Context, t *terminal, v []string) error {
			return named("host", v[0], t.addHost(ctx, v[0], v[1]))
		}},
		"reach":          {"DIR-OF-NES-HOST", 1, func(ctx context.Context, t *terminal, v []string) error { return t.reach(ctx, v[0]) }},
		"trust":          {"FILE.pem|DIR-OF-NES-HOST", 1, func(ctx context.Context, t *terminal, v []string) error { return t.trust(ctx, v[0]) }},
		"distrust":       {"FILE.pem|DIR-OF-NES-HOST|SHA256", 1, func(ctx context.Context, t *terminal, v []string) error { return t.distrust(ctx, v[0]) }},
		"nes-url":        {"URL|none", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setNESURL(ctx, v[0]) }},
		"usb-suspend":    {"on|off|policy", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setUSBSuspend(ctx, v[0]) }},
		"feature":        {"NAME installed|absent|unknown", 2, func(ctx context.Context, t *terminal, v []string) error { return t.setFeature(ctx, v[0], v[1]) }},
		"dotnet":         {"RELEASE", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setDotNet(ctx, v[0]) }},
		"clock":          {"OFFSET", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setClock(ctx, v[0]) }},
		"free":           {"MEBIBYTES", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setFree(ctx, v[0]) }},
		"domain":         {"NAME|none", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setDomain(ctx, v[0]) }},
		"domain-role":    {"NUMBER", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setDomainRole(ctx, v[0]) }},
		"windows":        {"VERSION|none", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setWindows(ctx, v[0]) }},
		"registry":       {`KEY\VALUE DATA|none`, 2, func(ctx context.Context, t *terminal, v []string) error { return t.setRegistry(ctx, v[0], v[1]) }},
		"root":           {"valid-for=DURATION", 1, func(ctx context.Context, t *terminal, v []string) error { return t.newRoot(ctx, v[0]) }},
		"reboot-pending": {"yes|no", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setRebootPending(ctx, v[0]) }},
		"reboot":         {"now|ends-agent|keeps-agent", 1, func(ctx context.Context, t *terminal, v []string) error { return t.setReboot(ctx, v[0]) }},
	}
}

// named puts what an error is about before it.
func named(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", kind, name, err)
}

// Set changes a simulated machine, also while an agent uses it. args are what to set and its values, as an error without any lists them.
func Set(dir string, args ...string) error {
	t, err := load(dir)
	if err != nil {
		return err
	}
	all := t.setters()
	if len(args) == 0 {
		return errors.New("what to set: use " + strings.Join(usages(all), ", or "))
	}
	s, ok := all[args[0]]
	switch {
	case !ok:
		return fmt.Errorf("what to set: %q is not known here: use %s", args[0], strings.Join(usages(all), ", or "))
	case len(args) != s.values+1:
		return fmt.Errorf("what to set: use `%s %s`", args[0], s.usage)
	}
	ctx, cancel := context.WithTimeout(context.Background(), setPatience)
	defer cancel()
	return s.do(ctx, t, args[1:])
}

// setters are those of the machine's role.
func (t *terminal) setters() map[string]setter {
	all := setters()
	more := nbeSetters()
	if t.isNES() {
		more = webSetters()
	}
	for name, s := range more {
		all[name] = s
	}
	return all
}

func (t *terminal) setService(ctx context.Context, name, value string) error {
	s, err := t.service(name)
	if err != nil {
		var names []string
		for _, s := range t.services() {
			names = append(names, fmt.Sprintf("%q", s.name))
		}
		return fmt.Errorf("%w: it has %s", err, strings.Join(names, " and "))
	}
	switch value {
	case statusRunning:
		return s.start(ctx)
	case statusStopped:
		return s.stopNow(ctx)
	case statusStarting, statusStopping, missing:
		return s.putInto(ctx, value)
	}
	behaves, err := parseBehaviour(value)
	if err != nil {
		return fmt.Errorf("%w; or set it %s, %s, %s or %s", err, statusRunning, statusStopped, statusStarting, statusStopping)
	}
	return t.exclusively(ctx, func() error { return s.setBehaviour(behaves) })
}

// stuckFor is how long a service that is set to be starting goes on starting.
const stuckFor = 24 * time.Hour

// putInto has a service be in a state that it does not get out of by itself, until its behaviour is set again.
func (s *service) putInto(ctx context.Context, state string) error {
	behaves := map[string]behaviour{
		statusStarting: {kind: slowStart, after: stuckFor}, statusStopping: {kind: hangOnStop}, missing: {kind: missing},
	}[state]
	if state != statusStopping {
		if err := s.stopNow(ctx); err != nil {
			return err
		}
	}
	if err := s.exclusively(ctx, func() error { return s.setBehaviour(behaves) }); err != nil {
		return err
	}
	switch state {
	case statusStarting:
		return s.launch(ctx)
	case statusStopping:
		return s.hang(ctx)
	}
	return nil
}

// hang asks a service that hangs to stop, and waits until it says that it is stopping.
func (s *service) hang(ctx context.Context) error {
	asked := false
	return host.Poll(ctx, poll, func() (bool, error) {
		seen, err := s.observe()
		switch {
		case err != nil:
			return false, err
		case seen.Status == statusStopped:
			return false, errors.New("does not run, so it cannot be stopping")
		case !asked && seen.ControlPort != 0:
			asked = s.ask(ctx, seen.processRecord)
		}
		return seen.Status == statusStopping, nil
	})
}

// stopNow stops a service, and kills it if it hangs.
func (s *service) stopNow(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	err := s.stop(soon)
	if !errors.Is(err, host.ErrTimeout) {
		return err
	}
	seen, err := s.observe()
	if err != nil {
		return err
	}
	return s.kill(ctx, seen.PID)
}

// Shutdown ends the processes of the machine. Its folder stays, with its services stopped.
func Shutdown(dir string) error {
	t, err := load(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), setPatience)
	defer cancel()
	errs := []error{programs{t}.EndAll(ctx)}
	for _, s := range t.services() {
		errs = append(errs, host.ServiceError(s.name, s.stopNow(ctx)))
	}
	return errors.Join(errs...)
}
