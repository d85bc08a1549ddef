// Package facts collects what the agent tells the server of its machine: names, addresses, versions, the Nymi services, the
// Bluetooth adapter and who is signed in. It only reads, through package host. Package agent runs it and hands what it finds to the link.
package facts

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	// every is the time between two looks at the machine.
	every = 10 * time.Second
	// patience bounds one look.
	patience = 5 * time.Second
)

// Config is what a collector is made of.
type Config struct {
	Host *host.Host
	// AgentVersion is this program's version.
	AgentVersion string
	// Simulated is true for a simulated machine, which says so instead of naming an operating system.
	Simulated bool
	Log       *slog.Logger
}

// Collector collects facts. What cannot be read at the moment stays as it was last seen.
type Collector struct {
	config Config
	last   *agentv1.Facts
	// broken names what could not be read the last time, so that each trouble is logged once.
	broken map[string]bool
}

// New makes a collector.
func New(c Config) *Collector {
	return &Collector{config: c, last: &agentv1.Facts{}, broken: map[string]bool{}}
}

// Collect looks at the machine once. The answer is the caller's. It must not be called by two goroutines at a time.
func (c *Collector) Collect(ctx context.Context) *agentv1.Facts {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f := &agentv1.Facts{Architecture: runtime.GOARCH, AgentVersion: c.config.AgentVersion}
	c.describe(ctx, f)
	f.Adapter = c.adapter(ctx)
	f.UserSessions = c.users(ctx)
	// Last, because a service manager may hang.
	for _, name := range []string{host.EndpointService, host.AgentService} {
		if s := c.service(ctx, name); s != nil {
			f.Services = append(f.Services, s)
		}
	}
	c.last = f
	return proto.CloneOf(f)
}

// Watch looks at the machine every ten seconds and calls changed with the facts whenever they differ from before, starting
// from what Collect found last. It returns when ctx ends.
func (c *Collector) Watch(ctx context.Context, changed func(*agentv1.Facts)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		before := c.last
		if now := c.Collect(ctx); ctx.Err() == nil && differ(before, now) {
			changed(now)
		}
	}
}

// differ says whether facts are worth a message. People who pause and go on would cost one each time, so what they are doing
// does not count; that they come and go does.
func differ(a, b *agentv1.Facts) bool {
	return !proto.Equal(withoutActivity(a), withoutActivity(b))
}

func withoutActivity(f *agentv1.Facts) *agentv1.Facts {
	f = proto.CloneOf(f)
	for _, s := range f.GetUserSessions() {
		s.Activity, s.IdleSince = actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED, nil
	}
	slices.SortFunc(f.GetUserSessions(), func(a, b *actionv1.UserSession) int { return strings.Compare(a.GetUser(), b.GetUser()) })
	return f
}

func (c *Collector) describe(ctx context.Context, f *agentv1.Facts) {
	s, err := c.config.Host.System.Describe(ctx)
	if c.failed("machine", err) {
		f.Hostname, f.Os, f.OsVersion = c.last.GetHostname(), c.last.GetOs(), c.last.GetOsVersion()
		f.BootId, f.Addresses = c.last.GetBootId(), c.last.GetAddresses()
		return
	}
	f.Hostname, f.Os, f.OsVersion, f.BootId = s.GetHostname(), s.GetOs(), s.GetOsVersion(), s.GetBootId()
	if c.config.Simulated {
		f.Os = "sim"
	}
	f.Addresses = slices.Sorted(slices.Values(s.GetAddresses()))
}

func (c *Collector) service(ctx context.Context, name string) *actionv1.ServiceState {
	s, err := c.config.Host.Services.State(ctx, name)
	if !c.failed(name, err) {
		return s
	}
	for _, s := range c.last.GetServices() {
		if s.GetService() == name {
			return s
		}
	}
	return nil
}

func (c *Collector) adapter(ctx context.Context) *actionv1.DeviceState {
	d, err := c.config.Host.Devices.USB(ctx, host.AdapterVendor, host.AdapterProduct)
	if c.failed("adapter", err) {
		return c.last.GetAdapter()
	}
	return d
}

// users reads who is signed in. A machine that has nobody to ask is no trouble.
func (c *Collector) users(ctx context.Context) []*actionv1.UserSession {
	s, err := c.config.Host.Users.Sessions(ctx)
	if errors.Is(err, host.ErrNotSupported) {
		return nil
	}
	if c.failed("user sessions", err) {
		return c.last.GetUserSessions()
	}
	return s
}

// failed notes whether something could be read. It logs only a change, because a look is every ten seconds.
func (c *Collector) failed(what string, err error) bool {
	if err != nil && !c.broken[what] {
		c.config.Log.Warn("a fact cannot be read; the last known one stays", "what", what, "cause", err)
	}
	c.broken[what] = err != nil
	return err != nil
}
