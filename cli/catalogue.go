package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newCatalogue(a *app) *cobra.Command {
	return newGroup("catalogue", "Read the catalogue of faults, and add to it",
		`The catalogue is what can be wrong, how it is noticed, what remedies it and what a person does. It comes with fleetctl, so reading it needs
no server. Operators add entries of their own in packs, which must be signed by a key that the server trusts.`,
		`  fleetctl catalogue list
  fleetctl catalogue show nbe-missing
  fleetctl catalogue lint lyon.yaml
  fleetctl catalogue publish lyon.yaml --reason INC-4711`,
		newCatalogueList(a), newCatalogueShow(a), newCatalogueLint(a), newCatalogueTest(a), newCatalogueDiff(a),
		newCatalogueKeygen(a), newCatalogueSign(a), newCatalogueVerify(a), newCataloguePublish(a), newCatalogueRemove(a),
	)
}

// cataloguePatience is how long a server may take before the catalogue that came with fleetctl has to do.
const cataloguePatience = 3 * time.Second

// known is a catalogue with where it comes from.
type known struct {
	*catalogue.Catalogue
	// source is "server" or "fleetctl".
	source string
	// packs are those of the server, and actions what its terminals offer; nil when no server was asked.
	packs   []*fleetv1.Pack
	actions catalogue.Actions
}

func addOffline(c *cobra.Command, offline *bool) {
	c.Flags().BoolVar(offline, "offline", false, "ask no server for its packs")
}

// catalogue reads the catalogue that came with fleetctl and adds the packs of the server, when one can be reached. Which of the two it is, is
// said where a person reads it.
func (a *app) catalogue(ctx context.Context, offline bool) (*known, error) {
	builtin, err := catalogue.Load()
	if err != nil {
		return nil, exit.Errorf(exit.Internal, "catalogue: %v", err)
	}
	if offline {
		return &known{Catalogue: builtin, source: "fleetctl"}, nil
	}
	k, err := a.serversCatalogue(ctx, builtin)
	if err == nil {
		return k, nil
	}
	a.info.Line("the catalogue is the one that came with fleetctl, without packs of a server: %s", exit.From(err).Message)
	return &known{Catalogue: builtin, source: "fleetctl"}, nil
}

func (a *app) serversCatalogue(ctx context.Context, builtin *catalogue.Catalogue) (*known, error) {
	ctx, stop := context.WithTimeout(ctx, cataloguePatience)
	defer stop()
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	resp, err := c.Catalogue.GetCatalogue(ctx, &fleetv1.GetCatalogueRequest{})
	if err != nil {
		return nil, err
	}
	if resp.GetVersion() != builtin.Version() {
		a.info.Line("the server's catalogue is %s and that of fleetctl is %s: what is read here may differ from what the server goes by", resp.GetVersion(), builtin.Version())
	}
	k := &known{Catalogue: builtin, source: "server", packs: resp.GetPacks()}
	for _, p := range resp.GetPacks() {
		a.add(k, p)
	}
	return k, k.askActions(ctx, c)
}

// add adds a pack, or says why it is left out.
func (a *app) add(k *known, p *fleetv1.Pack) {
	pack, err := catalogue.ParsePack(p.GetContent())
	if err == nil {
		var with *catalogue.Catalogue
		if with, err = k.With(pack); err == nil {
			k.Catalogue = with
		}
	}
	if err != nil {
		a.info.Line("pack %s of the server is left out: %v", p.GetName(), err)
	}
}

func (k *known) askActions(ctx context.Context, c *client.Client) error {
	offered, err := c.Inventory.ListActions(ctx, &fleetv1.ListActionsRequest{})
	if err != nil {
		return err
	}
	k.actions = catalogue.Actions{}
	for _, o := range offered.GetActions() {
		k.actions = append(k.actions, o.GetAction())
	}
	return nil
}

// completeEntries completes with the entries that came with fleetctl.
func (a *app) completeEntries(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := catalogue.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, e := range c.Entries() {
		ids = append(ids, e.ID+"\t"+e.Title)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeChapters completes with the chapters that came with fleetctl.
func (a *app) completeChapters(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := catalogue.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return chapters(c), cobra.ShellCompDirectiveNoFileComp
}

// completePacks completes with the packs of the server.
func (a *app) completePacks(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Catalogue.GetCatalogue(ctx, &fleetv1.GetCatalogueRequest{})
		return namesOf(resp.GetPacks(), (*fleetv1.Pack).GetName), err
	})
}
