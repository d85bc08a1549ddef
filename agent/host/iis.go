package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// appcmdIIS is IIS by its own command line.
type appcmdIIS struct {
	appcmd
	// expand replaces %variables% in the paths of folders.
	expand func(string) string
	// folderExists tells whether a location that is neither application nor virtual directory is there.
	folderExists func(string) bool
}

const accessSection = "system.webServer/security/access"

// Inventory implements IIS.
func (i appcmdIIS) Inventory(ctx context.Context, locations ...string) (*actionv1.IISInventory, error) {
	inventory := &actionv1.IISInventory{Installed: true, SslFlags: map[string]string{}}
	for _, read := range []func(context.Context, *actionv1.IISInventory) error{i.readSites, i.readPools, i.readApplications} {
		if err := read(ctx, inventory); err != nil {
			return nil, fmt.Errorf("web server: %w", err)
		}
	}
	for _, location := range locations {
		there, err := i.locationExists(ctx, location, inventory)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		if inventory.SslFlags[location], err = i.sslFlags(ctx, location); err != nil {
			return nil, err
		}
	}
	return inventory, nil
}

func (i appcmdIIS) readSites(ctx context.Context, into *actionv1.IISInventory) error {
	sites, err := i.sites(ctx)
	for _, s := range sites {
		into.Sites = append(into.Sites, &actionv1.IISSite{Name: s.Name, Started: s.State == "Started"})
	}
	return err
}

func (i appcmdIIS) readPools(ctx context.Context, into *actionv1.IISInventory) error {
	pools, err := i.pools(ctx)
	for _, p := range pools {
		into.Pools = append(into.Pools, &actionv1.IISPool{Name: p.Name, Started: p.State == "Started", Identity: p.Model.Identity})
	}
	return err
}

func (i appcmdIIS) pools(ctx context.Context) ([]appcmdPool, error) {
	answer, err := i.list(ctx, "apppool", "/config:*")
	if err != nil {
		return nil, err
	}
	return answer.Pools, nil
}

// readApplications also finds each application's folder: that of its virtual directory "/".
func (i appcmdIIS) readApplications(ctx context.Context, into *actionv1.IISInventory) error {
	apps, err := i.list(ctx, "app")
	if err != nil {
		return err
	}
	folders, err := i.directories(ctx)
	if err != nil {
		return err
	}
	for _, a := range apps.Apps {
		into.Applications = append(into.Applications, &actionv1.IISApplication{
			Site: a.Site, Path: a.Path, Pool: a.Pool, Folder: folders[strings.TrimSuffix(a.Site+a.Path, "/")],
		})
	}
	return nil
}

// directories are the folders of all virtual directories, those of applications included, by location ("Default Web Site/crl").
func (i appcmdIIS) directories(ctx context.Context) (map[string]string, error) {
	answer, err := i.list(ctx, "vdir")
	if err != nil {
		return nil, err
	}
	folders := map[string]string{}
	for _, d := range answer.Dirs {
		folders[strings.TrimSuffix(d.Name, "/")] = i.expand(d.Folder)
	}
	return folders, nil
}

// locationExists says whether there is something at a location: a site, an application, a virtual directory, or a folder below one.
func (i appcmdIIS) locationExists(ctx context.Context, location string, inventory *actionv1.IISInventory) (bool, error) {
	site, _, _ := strings.Cut(location, "/")
	if err := checkLocation(location); err != nil {
		return false, err
	}
	if !slices.ContainsFunc(inventory.GetSites(), func(s *actionv1.IISSite) bool { return s.GetName() == site }) {
		return false, nil
	}
	folders, err := i.directories(ctx)
	if err != nil {
		return false, fmt.Errorf("web server: %w", err)
	}
	if site == location || folders[location] != "" {
		return true, nil
	}
	// The nearest directory above it, by its longest name.
	above := slices.SortedFunc(maps.Keys(folders), func(a, b string) int { return len(b) - len(a) })
	for _, directory := range above {
		if rest, below := strings.CutPrefix(location, directory+"/"); below {
			return i.folderExists(folders[directory] + "/" + rest), nil
		}
	}
	return false, nil
}

func checkLocation(location string) error {
	for name := range strings.SplitSeq(location, "/") {
		if err := checkIISName("location", name); err != nil || name == "." || name == ".." {
			return fmt.Errorf("location %q: is not allowed as a name", location)
		}
	}
	return nil
}

// sslFlags reads what counts at a location.
func (i appcmdIIS) sslFlags(ctx context.Context, location string) (string, error) {
	answer, err := i.list(ctx, "config", location, "/section:"+accessSection, "/config:*")
	if err != nil {
		return "", fmt.Errorf("location %q: %w", location, err)
	}
	for _, part := range answer.Parts {
		for _, section := range part.Sections {
			if flags := joined(section.SSLFlags); flags != "" {
				return flags, nil
			}
		}
	}
	return noFlags, nil
}

const noFlags = "None"

// joined writes names of flags as the contract does: without blanks.
func joined(flags string) string {
	var names []string
	for name := range strings.SplitSeq(flags, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
