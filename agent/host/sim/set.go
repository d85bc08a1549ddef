package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

const (
	// setPatience bounds a change.
	setPatience = 20 * time.Second
	// stopPatience is how long a service may take to stop before `set … stopped` kills it.
	stopPatience = 2 * time.Second
)

// Set changes a simulated terminal, also while an agent uses it:
//
//	service NAME stopped|running                    now
//	service NAME normal|hang-on-stop|disabled       from now on; the service is left running
//	service NAME crash-on-start|die-after=DURATION  from the next start on; die-after counts from each start
//	adapter present|absent                          now
//	user NAME active|idle|away|none                 now; none signs the person out
func Set(dir string, args ...string) error {
	t, err := load(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), setPatience)
	defer cancel()
	switch {
	case len(args) == 3 && args[0] == "service":
		return host.ServiceError(args[1], t.setService(ctx, args[1], args[2]))
	case len(args) == 3 && args[0] == "user":
		if err := t.signIn(ctx, args[1], args[2]); err != nil {
			return fmt.Errorf("user %q: %w", args[1], err)
		}
		return nil
	case len(args) == 2 && args[0] == "adapter":
		return t.plugAdapter(ctx, args[1])
	}
	return errors.New("what to set: use `service NAME STATE-OR-BEHAVIOUR`, `adapter present|absent` or `user NAME active|idle|away|none`")
}

func (t *terminal) setService(ctx context.Context, name, value string) error {
	s, err := t.service(name)
	if err != nil {
		return fmt.Errorf("%w: it has %q and %q", err, host.EndpointService, host.AgentService)
	}
	switch value {
	case statusRunning:
		return s.start(ctx)
	case statusStopped:
		return s.stopNow(ctx)
	}
	behaves, err := parseBehaviour(value)
	if err != nil {
		return fmt.Errorf("%w; or set it %s or %s", err, statusRunning, statusStopped)
	}
	return t.exclusively(ctx, func() error { return s.setBehaviour(behaves) })
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

func (t *terminal) plugAdapter(ctx context.Context, value string) error {
	if value != "present" && value != "absent" {
		return fmt.Errorf("adapter: %q: use present or absent", value)
	}
	return t.exclusively(ctx, func() error { return t.setAdapter(value == "present") })
}

// Shutdown ends the processes of all services. The terminal stays, with its services stopped.
func Shutdown(dir string) error {
	t, err := load(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), setPatience)
	defer cancel()
	var errs []error
	for _, s := range t.services() {
		errs = append(errs, host.ServiceError(s.name, s.stopNow(ctx)))
	}
	return errors.Join(errs...)
}
