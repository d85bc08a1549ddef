package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

// AddAdministrator makes another administrator for a fleet whose administrators are all locked out, writes the context file to
// out, and returns the name. server is what fleetctl dials. The server must be stopped: whoever may write to the data directory
// commands the fleet anyway, and nobody else gets here. It is audited.
func AddAdministrator(ctx context.Context, dataDir, server, out string) (name string, err error) {
	if _, err := os.Stat(upkeep.Path(dataDir)); err != nil {
		return "", fmt.Errorf("data directory %q: holds no fleet: %w", dataDir, err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("context file %q: is there already; name another file", out)
	}
	st, err := store.Open(upkeep.Path(dataDir))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := mustHaveCA(ctx, dataDir, st); err != nil {
		return "", err
	}
	ca, err := pki.Open(pki.Config{Dir: dataDir})
	if err != nil {
		return "", err
	}
	inv := inventory.New(inventory.Config{Store: st, CA: ca.Fingerprint()})
	return addAdministrator(ctx, inv, ca, server, out)
}

// addAdministrator takes the first name that is free.
func addAdministrator(ctx context.Context, inv *inventory.Inventory, ca *pki.Authority, server, out string) (string, error) {
	csr, save, err := newContext(ca, server, out)
	if err != nil {
		return "", err
	}
	for n := 2; ; n++ {
		name := fmt.Sprintf("admin-%d", n)
		err := inv.AddAdministrator(ctx, name, "made offline with fleetd admin-context", csr, operators(ca), save)
		var no *refusal.Error
		if errors.As(err, &no) && no.Kind == refusal.Exists {
			continue
		}
		return name, err
	}
}
