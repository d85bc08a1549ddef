package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	iisFile     = "iis.json"
	webFolder   = "inetpub/wwwroot"
	defaultSite = "Default Web Site"
	nesPool     = "NES"
	// httpPort and httpsPort are the ports of the default site, as the host has them; really they are others.
	httpPort, httpsPort = 80, 443
)

// webRecord is the configuration of the web server.
type webRecord struct {
	// Sites says by name whether a site is to run.
	Sites map[string]bool       `json:"sites"`
	Pools map[string]poolRecord `json:"pools"`
	// Applications are the pools of the applications of the default site, by path ("/nes").
	Applications map[string]string `json:"applications"`
	// Flags are the SSL flags by location.
	Flags map[string]string `json:"ssl_flags"`
	// Answers are HTTP statuses by path, in place of what would be answered.
	Answers map[string]int `json:"answers,omitempty"`
	// Substatus is what the page of an error says besides, by path.
	Substatus map[string]int `json:"substatus,omitempty"`
}

type poolRecord struct {
	Started  bool   `json:"started"`
	Identity string `json:"identity"`
	Recycled int    `json:"recycled,omitempty"`
}

// newWeb is the web server of a healthy NES host.
func newWeb() webRecord {
	web := webRecord{
		Sites:        map[string]bool{defaultSite: true},
		Pools:        map[string]poolRecord{nesPool: {Started: true, Identity: "LocalSystem"}},
		Applications: map[string]string{},
		Flags:        map[string]string{defaultSite: "Ssl", defaultSite + "/crl": "None"},
	}
	for _, application := range sample.Applications() {
		web.Applications["/"+application] = nesPool
	}
	return web
}

func (t *terminal) web() (webRecord, error) { return readRecord[webRecord](t, iisFile) }

// iis is a simulated NES host's host.IIS.
type iis struct{ *terminal }

// Inventory implements host.IIS.
func (v iis) Inventory(_ context.Context, locations ...string) (*actionv1.IISInventory, error) {
	web, err := v.web()
	webRuns, err2 := v.runs(webKey)
	poolsRun, err3 := v.runs(processKey)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, fmt.Errorf("web server: %w", err)
	}
	inventory := &actionv1.IISInventory{Installed: true, SslFlags: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(web.Sites)) {
		inventory.Sites = append(inventory.Sites, &actionv1.IISSite{Name: name, Started: web.Sites[name] && webRuns})
	}
	for _, name := range slices.Sorted(maps.Keys(web.Pools)) {
		p := web.Pools[name]
		inventory.Pools = append(inventory.Pools, &actionv1.IISPool{Name: name, Started: p.Started && poolsRun, Identity: p.Identity})
	}
	for _, path := range slices.Sorted(maps.Keys(web.Applications)) {
		inventory.Applications = append(inventory.Applications, &actionv1.IISApplication{
			Site: defaultSite, Path: path, Pool: web.Applications[path], Folder: filepath.Join(v.dir, applicationFolder(path[1:])),
		})
	}
	for _, location := range locations {
		if flags, ok := web.Flags[location]; ok {
			inventory.SslFlags[location] = flags
		}
	}
	return inventory, nil
}

// runs says whether a service runs, by its key.
func (t *terminal) runs(key string) (bool, error) {
	s, err := t.service(key)
	if err != nil {
		return false, err
	}
	seen, err := s.observe()
	return seen.Status == statusRunning, err
}

// Set implements host.IIS.
func (v iis) Set(ctx context.Context, attribute actionv1.IISAttribute, object, value string) error {
	return v.change(ctx, object, func(web *webRecord) error {
		switch attribute {
		case actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS:
			return replace(web.Flags, object, func(string) string { return value })
		case actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY:
			return replace(web.Pools, object, func(p poolRecord) poolRecord { p.Identity = value; return p })
		}
		return fmt.Errorf("%v: %w", attribute, host.ErrNotSupported)
	})
}

// StartSite implements host.IIS.
func (v iis) StartSite(ctx context.Context, site string) error {
	return v.change(ctx, site, func(web *webRecord) error {
		return errors.Join(v.mustRun(webKey), replace(web.Sites, site, func(bool) bool { return true }))
	})
}

// StartPool implements host.IIS.
func (v iis) StartPool(ctx context.Context, pool string) error {
	return v.change(ctx, pool, func(web *webRecord) error {
		return errors.Join(v.mustRun(processKey), replace(web.Pools, pool, func(p poolRecord) poolRecord { p.Started = true; return p }))
	})
}

// RecyclePool implements host.IIS.
func (v iis) RecyclePool(ctx context.Context, pool string) error {
	return v.change(ctx, pool, func(web *webRecord) error {
		if p, ok := web.Pools[pool]; ok && !p.Started {
			return errors.New("it is stopped: start it first")
		}
		return errors.Join(v.mustRun(processKey), replace(web.Pools, pool, func(p poolRecord) poolRecord { p.Recycled++; return p }))
	})
}

func (t *terminal) mustRun(key string) error {
	runs, err := t.runs(key)
	if err == nil && !runs {
		err = fmt.Errorf("service %q does not run: start it first", key)
	}
	return err
}

// replace changes an entry that must be there.
func replace[V any](entries map[string]V, key string, do func(V) V) error {
	value, ok := entries[key]
	if !ok {
		return host.ErrNotExist
	}
	entries[key] = do(value)
	return nil
}

// change changes the web server's configuration. Errors name the object.
func (v iis) change(ctx context.Context, object string, do func(*webRecord) error) error {
	if err := changeRecord(ctx, v.terminal, iisFile, do); err != nil {
		return fmt.Errorf("web server: %q: %w", object, err)
	}
	return nil
}
