package hosttest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// memoryIIS is Memory's host.IIS.
type memoryIIS struct{ m *Memory }

// Inventory implements host.IIS. What is to run, runs while its service does.
func (v memoryIIS) Inventory(_ context.Context, locations ...string) (*actionv1.IISInventory, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	w := v.m.web
	if w == nil {
		return &actionv1.IISInventory{}, nil
	}
	inventory := &actionv1.IISInventory{Installed: true, SslFlags: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(w.sites)) {
		inventory.Sites = append(inventory.Sites, &actionv1.IISSite{Name: name, Started: w.sites[name] && v.m.runs(WebService)})
	}
	for _, name := range slices.Sorted(maps.Keys(w.pools)) {
		p := w.pools[name]
		inventory.Pools = append(inventory.Pools, &actionv1.IISPool{
			Name: name, Started: p.started && v.m.runs(ProcessService), Identity: p.identity,
		})
	}
	for _, a := range w.applications {
		inventory.Applications = append(inventory.Applications, proto.CloneOf(a))
	}
	for _, location := range locations {
		if flags, ok := w.flags[location]; ok {
			inventory.SslFlags[location] = flags
		}
	}
	return inventory, nil
}

// runs says whether a service runs. Called with mu held.
func (m *Memory) runs(name string) bool {
	s, err := m.find(name)
	return err == nil && s.status == running
}

// Set implements host.IIS.
func (v memoryIIS) Set(_ context.Context, attribute actionv1.IISAttribute, object, value string) error {
	return v.change("iis-set", object, func(w *web) error {
		switch attribute {
		case actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS:
			if _, ok := w.flags[object]; !ok {
				return host.ErrNotExist
			}
			w.flags[object] = value
			return nil
		case actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY:
			p, ok := w.pools[object]
			if !ok {
				return host.ErrNotExist
			}
			p.identity = value
			return nil
		}
		return fmt.Errorf("%v: %w", attribute, host.ErrNotSupported)
	})
}

// StartSite implements host.IIS.
func (v memoryIIS) StartSite(_ context.Context, site string) error {
	return v.change("site-start", site, func(w *web) error {
		if _, ok := w.sites[site]; !ok {
			return host.ErrNotExist
		}
		if !v.m.runs(WebService) {
			return fmt.Errorf("service %q does not run: start it first", WebService)
		}
		w.sites[site] = true
		return nil
	})
}

// StartPool implements host.IIS.
func (v memoryIIS) StartPool(_ context.Context, name string) error {
	return v.change("pool-start", name, func(w *web) error {
		p, ok := w.pools[name]
		if !ok {
			return host.ErrNotExist
		}
		if !v.m.runs(ProcessService) {
			return fmt.Errorf("service %q does not run: start it first", ProcessService)
		}
		p.started = true
		return nil
	})
}

// RecyclePool implements host.IIS.
func (v memoryIIS) RecyclePool(_ context.Context, name string) error {
	return v.change("pool-recycle", name, func(w *web) error {
		p, ok := w.pools[name]
		if !ok {
			return host.ErrNotExist
		}
		if !p.started || !v.m.runs(ProcessService) {
			return fmt.Errorf("it is stopped: start it first")
		}
		p.recycled++
		return nil
	})
}

// change records a call, and does it when there is a web server. Errors name the object.
func (v memoryIIS) change(verb, object string, do func(*web) error) error {
	if err := v.m.mutating(verb, object); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.m.web == nil {
		return lacksWeb()
	}
	if err := do(v.m.web); err != nil {
		return fmt.Errorf("web server: %q: %w", object, err)
	}
	return nil
}
