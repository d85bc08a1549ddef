package cli

import (
	"context"

	"github.com/spf13/cobra"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type publishOptions struct {
	file, signature, reason string
	dryRun                  bool
}

func newCataloguePublish(a *app) *cobra.Command {
	o := &publishOptions{}
	c := &cobra.Command{
		Use:   "publish FILE",
		Short: "Bring a signed pack into force",
		Long: `Sends a pack and its signature to the server, which takes it when a key that it trusts signed it, nothing is wrong in it, and it is no older
than the version that is in force. From then on agents look for its faults. You must be an administrator of all sites.`,
		Example: `  fleetctl catalogue publish lyon.yaml --dry-run
  fleetctl catalogue publish lyon.yaml --reason INC-4711`,
		Args: takes(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = args[0]
			return runPublish(cmd.Context(), a, o)
		},
	}
	addSignature(c, &o.signature)
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "have the server check it, and change nothing")
	addReason(c, &o.reason)
	return c
}

func runPublish(ctx context.Context, a *app, o *publishOptions) error {
	_, text, err := readPack(o.file)
	if err != nil {
		return err
	}
	sum, err := readSignature(o.file, o.signature)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Catalogue.PublishPack(ctx, &fleetv1.PublishPackRequest{
		Content: text, Signature: sum.Bytes, KeyId: sum.KeyID, Reason: o.reason, DryRun: o.dryRun,
	})
	if err != nil {
		return err
	}
	p := resp.GetPack()
	return printObject(a, p, p.GetName(), func() {
		if o.dryRun {
			a.out.Line("pack %s %s, %s: nothing is wrong; nothing was changed", p.GetName(), p.GetVersion(), entriesWord(int(p.GetEntries())))
			return
		}
		a.out.Line("pack %s %s, %s, is in force", p.GetName(), p.GetVersion(), entriesWord(int(p.GetEntries())))
	})
}

func newCatalogueRemove(a *app) *cobra.Command {
	reason, yes := "", false
	c := &cobra.Command{
		Use:               "remove PACK",
		Short:             "Take a pack out of force",
		Long:              `Removes a pack from the server. Agents do not look for its faults any more, and those that are open are resolved.`,
		Example:           "  fleetctl catalogue remove lyon --reason INC-4711 --yes",
		Args:              takes(1, "PACK"),
		ValidArgsFunction: byPlace(a.completePacks),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.people().Line("pack %s is to be taken out of force: agents will not look for its faults any more", args[0])
			if err := a.confirm(cmd.Context(), yes); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Catalogue.RemovePack(cmd.Context(), &fleetv1.RemovePackRequest{Name: args[0], Reason: reason}); err != nil {
				return err
			}
			a.people().Line("pack %s is removed", args[0])
			return nil
		},
	}
	addReason(c, &reason)
	addYes(c, &yes)
	return c
}
