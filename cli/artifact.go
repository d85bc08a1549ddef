package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newArtifact(a *app) *cobra.Command {
	return newGroup("artifact", "List and fetch what tasks have brought from terminals",
		`Artefacts are files that tasks bring from terminals beside their results: the whole output of a plugin of which a result has
only the end, collected logs, the firmware log of a band. The server keeps them for 90 days unless it was told otherwise; they are not part of its backups.`,
		"  fleetctl artifact list --job 01JD...\n  fleetctl artifact get 01JE...",
		newArtifactList(a), newArtifactGet(a))
}

// defaultArtifactLimit is how many artefacts a list shows unless told otherwise.
const defaultArtifactLimit = 100

type artifactListOptions struct {
	job, terminal string
	limit         int
}

func newArtifactList(a *app) *cobra.Command {
	o := &artifactListOptions{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List artefacts, newest first",
		Long: `Lists the artefacts on your sites, newest first. When there are more than --limit, the rest is left out and the list says so
(as JSON: nextPageToken is set). One that is still coming shows how much of it has come.`,
		Example: "  fleetctl artifact list --job 01JD...\n  fleetctl artifact list --terminal lyon-01 -o wide\n  fleetctl artifact list --job 01JD... --limit 0 -o name",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runArtifactList(cmd.Context(), a, o) },
	}
	c.Flags().StringVar(&o.job, "job", "", "artefacts of this `job` only")
	c.Flags().StringVar(&o.terminal, "terminal", "", "artefacts of this `terminal` only")
	c.Flags().IntVar(&o.limit, "limit", defaultArtifactLimit, "most artefacts to list; 0 means all")
	mustComplete(c, "job", a.completeJobs)
	mustComplete(c, "terminal", a.completeTerminals)
	return c
}

func runArtifactList(ctx context.Context, a *app, o *artifactListOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.ListArtifacts(ctx, &fleetv1.ListArtifactsRequest{JobId: o.job, Terminal: o.terminal}, o.limit)
	if err != nil {
		return err
	}
	err = printList(a, listing[*fleetv1.Artifact]{
		noun: "artefacts", document: resp, rows: resp.GetArtifacts(), columns: artifactColumns(a), name: (*fleetv1.Artifact).GetId,
	})
	if err == nil && resp.GetNextPageToken() != "" {
		a.info.Line("there are older artefacts; --limit 0 lists all")
	}
	return err
}

func artifactColumns(a *app) []output.Column[*fleetv1.Artifact] {
	return []output.Column[*fleetv1.Artifact]{
		{Title: "ARTIFACT", Text: (*fleetv1.Artifact).GetId},
		{Title: "TERMINAL", Text: (*fleetv1.Artifact).GetTerminalName},
		{Title: "SITE", Text: (*fleetv1.Artifact).GetSite},
		{Title: "KIND", Text: func(f *fleetv1.Artifact) string { return kindWord(f.GetKind(), f.GetSubject()) }},
		{Title: "SIZE", Text: sizeWord},
		{Title: "CREATED", Text: func(f *fleetv1.Artifact) string { return output.Ago(f.GetCreated(), a.now()) }},
		{Title: "JOB", Text: (*fleetv1.Artifact).GetJobId},
		{Title: "EXPIRES", Wide: true, Text: func(f *fleetv1.Artifact) string { return output.UTC(f.GetExpires()) }},
		{Title: "NAME", Wide: true, Text: (*fleetv1.Artifact).GetName},
		{Title: "SHA256", Wide: true, Text: (*fleetv1.Artifact).GetSha256},
	}
}

// kindWord is the kind, and what the file is about when that is not the terminal.
func kindWord(kind, subject string) string {
	if subject == "" {
		return kind
	}
	return kind + " of " + subject
}

// sizeWord is the size, and of what is still coming how much has come.
func sizeWord(f *fleetv1.Artifact) string {
	if f.GetComplete() {
		return bytesWord(f.GetSize())
	}
	return bytesWord(f.GetReceived()) + " of " + bytesWord(f.GetSize())
}

// bytesWord writes a number of bytes for people.
func bytesWord(n uint64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
}

func (a *app) completeArtifacts(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListArtifacts(ctx, &fleetv1.ListArtifactsRequest{}, defaultArtifactLimit)
		return namesOf(resp.GetArtifacts(), (*fleetv1.Artifact).GetId), err
	})
}
