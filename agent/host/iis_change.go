package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// sslFlagNames and poolIdentities are what may be set (IIS schema: access sslFlags, processModel identityType). An account with a
// password is only ever set back to: its name and password stay in the configuration, where nobody here reads them.
func sslFlagNames() []string {
	return []string{"Ssl", "SslNegotiateCert", "SslRequireCert", "SslMapCert", "Ssl128"}
}

func poolIdentities() []string {
	return []string{"LocalSystem", "LocalService", "NetworkService", "ApplicationPoolIdentity", "SpecificUser"}
}

// Set implements IIS.
func (i appcmdIIS) Set(ctx context.Context, attribute actionv1.IISAttribute, object, value string) error {
	switch attribute {
	case actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS:
		return i.setFlags(ctx, object, value)
	case actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY:
		return i.setIdentity(ctx, object, value)
	}
	return fmt.Errorf("web server: attribute %v of %q: %w", attribute, object, ErrNotSupported)
}

func (i appcmdIIS) setFlags(ctx context.Context, location, flags string) error {
	if flags != noFlags {
		for name := range strings.SplitSeq(flags, ",") {
			if !slices.Contains(sslFlagNames(), name) {
				return fmt.Errorf("location %q: ssl flag %q: want %s, or names of %q", location, name, noFlags, sslFlagNames())
			}
		}
	}
	var inventory actionv1.IISInventory
	if err := i.readSites(ctx, &inventory); err != nil {
		return fmt.Errorf("web server: %w", err)
	}
	there, err := i.locationExists(ctx, location, &inventory)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("location %q: %w", location, ErrNotExist)
	}
	// In the server's own file: a web.config of the location may not set it, since the section is locked by default.
	if err := i.do(ctx, "set", "config", location, "/section:"+accessSection, "/sslFlags:"+flags, "/commit:apphost"); err != nil {
		return fmt.Errorf("location %q: %w", location, err)
	}
	return nil
}

func (i appcmdIIS) setIdentity(ctx context.Context, pool, identity string) error {
	if !slices.Contains(poolIdentities(), identity) {
		return fmt.Errorf("application pool %q: identity %q: want one of %q", pool, identity, poolIdentities())
	}
	if _, err := i.pool(ctx, pool); err != nil {
		return err
	}
	return poolError(pool, i.do(ctx, "set", "apppool", "/apppool.name:"+pool, "/processModel.identityType:"+identity))
}

// pool finds a pool.
func (i appcmdIIS) pool(ctx context.Context, name string) (appcmdPool, error) {
	if err := checkIISName("application pool", name); err != nil {
		return appcmdPool{}, err
	}
	pools, err := i.pools(ctx)
	if err != nil {
		return appcmdPool{}, poolError(name, err)
	}
	at := slices.IndexFunc(pools, func(p appcmdPool) bool { return p.Name == name })
	if at < 0 {
		return appcmdPool{}, poolError(name, ErrNotExist)
	}
	return pools[at], nil
}

func poolError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("application pool %q: %w", name, err)
}

// StartSite implements IIS. A site that has started is left alone.
func (i appcmdIIS) StartSite(ctx context.Context, site string) error {
	if err := checkIISName("site", site); err != nil {
		return err
	}
	sites, err := i.sites(ctx)
	if err != nil {
		return fmt.Errorf("site %q: %w", site, err)
	}
	at := slices.IndexFunc(sites, func(s appcmdSite) bool { return s.Name == site })
	if at < 0 {
		return fmt.Errorf("site %q: %w", site, ErrNotExist)
	}
	if sites[at].State == "Started" {
		return nil
	}
	if err := i.do(ctx, "start", "site", "/site.name:"+site); err != nil {
		return fmt.Errorf("site %q: %w", site, err)
	}
	return nil
}

// StartPool implements IIS. A pool that has started is left alone.
func (i appcmdIIS) StartPool(ctx context.Context, pool string) error {
	found, err := i.pool(ctx, pool)
	if err != nil || found.State == "Started" {
		return err
	}
	return poolError(pool, i.do(ctx, "start", "apppool", "/apppool.name:"+pool))
}

// RecyclePool implements IIS.
func (i appcmdIIS) RecyclePool(ctx context.Context, pool string) error {
	if _, err := i.pool(ctx, pool); err != nil {
		return err
	}
	return poolError(pool, i.do(ctx, "recycle", "apppool", "/apppool.name:"+pool))
}
