package host

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Roots of a NES host's applications: each is a folder with a web.config. Unless they are configured, the web server tells where they are.
const (
	NESRoot            = "nes"
	EnrollmentRoot     = "nenrollment"
	AuthenticationRoot = "authenticationservice"
)

// WritableRoots are the roots that actions may change files below. All that is served for its logs alone is only read.
func WritableRoots() []string {
	return []string{EndpointRoot, NESRoot, EnrollmentRoot, AuthenticationRoot}
}

// rootFolders says which folder a root is, and what may be done there.
type rootFolders struct {
	folders map[string]string
	// readOnly are the roots below which nothing is written or removed.
	readOnly map[string]bool
	// web finds roots that are not in folders; nil where there is no web server.
	web *webRoots
}

// newRoots joins the configured roots with the machine's own.
func newRoots(cfg LocalConfig) rootFolders {
	r := rootFolders{folders: map[string]string{}, readOnly: map[string]bool{}}
	add := func(folders map[string]string, readOnly bool) {
		for name, folder := range folders {
			r.folders[name], r.readOnly[name] = folder, readOnly
		}
	}
	add(cfg.Logs, true)
	if cfg.Roots == nil {
		add(DefaultRoots(), false)
	}
	add(cfg.Roots, false)
	return r
}

// folder is the folder of a root.
func (r rootFolders) folder(ctx context.Context, root string) (string, error) {
	if folder, ok := r.folders[root]; ok {
		return folder, nil
	}
	if r.web != nil {
		return r.web.folder(ctx, root)
	}
	return "", fmt.Errorf("file root %q: %w", root, ErrNotExist)
}

// webRoots finds the folders of a NES instance by the applications of the web server.
type webRoots struct {
	iis IIS
	now func() time.Time

	mu sync.Mutex
	// found is what the web server said at the time read; it is asked again after a while.
	found []string
	read  time.Time
}

// webRootsAge is how long the web server's answer is believed: asking takes a program start.
const webRootsAge = 30 * time.Second

func (w *webRoots) folder(ctx context.Context, root string) (string, error) {
	if !slices.Contains(WritableRoots(), root) {
		return "", fmt.Errorf("file root %q: %w", root, ErrNotExist)
	}
	folders, err := w.applicationFolders(ctx)
	if err != nil {
		return "", fmt.Errorf("file root %q: %w", root, err)
	}
	return folderNamed(root, folders)
}

func (w *webRoots) applicationFolders(ctx context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.read.IsZero() && w.now().Sub(w.read) < webRootsAge {
		return w.found, nil
	}
	inventory, err := w.iis.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	w.found, w.read = foldersOf(inventory), w.now()
	return w.found, nil
}

// foldersOf are the different folders of a web server's applications.
func foldersOf(inventory *actionv1.IISInventory) []string {
	folders := map[string]string{}
	for _, application := range inventory.GetApplications() {
		folder := strings.TrimRight(application.GetFolder(), `\/`)
		folders[strings.ToLower(folder)] = folder
	}
	return slices.Sorted(maps.Values(folders))
}

// folderNamed is the one folder whose last element is the root's name.
func folderNamed(root string, folders []string) (string, error) {
	var named []string
	for _, folder := range folders {
		if strings.EqualFold(path.Base(strings.ReplaceAll(folder, `\`, "/")), root) {
			named = append(named, folder)
		}
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return "", fmt.Errorf("file root %q: no application of the web server has a folder of that name, so it %w: set roots.%s in the agent's configuration", root, ErrNotExist, root)
	}
	return "", fmt.Errorf("file root %q: the web server has several: %s: say which one by roots.%s in the agent's configuration",
		root, strings.Join(named, ", "), root)
}
