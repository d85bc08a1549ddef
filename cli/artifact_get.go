package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type artifactGetOptions struct {
	id   string
	file string
}

func newArtifactGet(a *app) *cobra.Command {
	o := &artifactGetOptions{}
	c := &cobra.Command{
		Use:   "get ARTIFACT [-f FILE]",
		Short: "Fetch an artefact into a file",
		Long: `Fetches an artefact into a file that must not be there yet; without -f under its own name in the present folder. The file
appears when all of it has arrived and has the artefact's SHA-256. What has arrived before the connection broke stays in
FILE.ID.part: the same command goes on from there.

With "-f -" it goes to standard output as it comes, unchecked until its end: exit code 0 alone says that it was whole. An output
may hold control characters, so this is refused when standard output is a terminal.`,
		Example:           "  fleetctl artifact get 01JE...\n  fleetctl artifact get 01JE... -f output.log\n  fleetctl artifact get 01JE... -f - | less",
		Args:              takes(1, "ARTIFACT"),
		ValidArgsFunction: byPlace(a.completeArtifacts),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runArtifactGet(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVarP(&o.file, "file", "f", "", "`file` to write, - for standard output")
	return c
}

func runArtifactGet(ctx context.Context, a *app, o *artifactGetOptions) error {
	if o.file == "-" && isTerminal(a.stdout) {
		return exit.Errorf(exit.BadInput, "artifact get: standard output is a terminal, and an output may hold control characters").
			Then("name a file with -f, or write `fleetctl artifact get %s -f - | less`", o.id)
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Artifacts.GetArtifact(ctx, &fleetv1.GetArtifactRequest{Id: o.id})
	if err != nil {
		return err
	}
	f := resp.GetArtifact()
	if o.file == "-" {
		d := &download{artifact: f, to: a.stdout, sum: sha256.New(), progress: func(uint64) {}}
		if err := d.run(ctx, c); err != nil {
			return err
		}
		return d.check("what was written is not to be used")
	}
	if o.file == "" {
		o.file = ownName(f)
	}
	return fetchFile(ctx, a, c, f, o.file)
}

// plainName is a file name that can do no harm in any folder.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// ownName is the name that the server gave a file, or its id when that name is none.
func ownName(f *fleetv1.Artifact) string {
	if plainName.MatchString(f.GetName()) {
		return f.GetName()
	}
	return ownID(f)
}

// fetchFile goes on with what an earlier run has left, and gives the file its name when it is whole.
func fetchFile(ctx context.Context, a *app, c *client.Client, f *fleetv1.Artifact, path string) error {
	p, err := openPart(path, f)
	if err != nil {
		return err
	}
	defer p.close()
	bar := a.progressBar(f)
	d := &download{artifact: f, to: p.file, sum: p.sum, size: p.size, progress: bar.draw}
	err = d.run(ctx, c)
	bar.clear()
	if err != nil {
		e := exit.From(err)
		if e.Code == exit.Internal {
			p.discard()
		}
		return goOn(e, d.size, f)
	}
	if err := d.check("it was thrown away"); err != nil {
		p.discard()
		return err
	}
	if err := p.keep(); err != nil {
		return err
	}
	return printObject(a, f, path, func() {
		a.out.Line("artefact %s: %s, %s, SHA-256 %s", f.GetId(), path, bytesWord(f.GetSize()), f.GetSha256())
	})
}

// goOn says that nothing of what has come is lost.
func goOn(e *exit.Error, size uint64, f *fleetv1.Artifact) error {
	if e.Code == exit.Unreachable && size > 0 {
		e.Details = append(e.Details, bytesWord(size)+" of "+bytesWord(f.GetSize())+" are here")
		e.Next = "repeat the command: it goes on from there"
	}
	return e
}

// download is an artefact on its way.
type download struct {
	artifact *fleetv1.Artifact
	to       io.Writer
	sum      hash.Hash
	// size is how much of it is here.
	size     uint64
	progress func(size uint64)
}

// run fetches what is not here yet.
func (d *download) run(ctx context.Context, c *client.Client) error {
	stream, err := c.Artifacts.DownloadArtifact(ctx, &fleetv1.DownloadArtifactRequest{Id: d.artifact.GetId(), Offset: d.size})
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.take(m.GetData()); err != nil {
			return err
		}
	}
}

func (d *download) take(data []byte) error {
	if uint64(len(data)) > d.artifact.GetSize()-d.size {
		return d.wrong("more than its %s came", bytesWord(d.artifact.GetSize()))
	}
	if _, err := d.to.Write(data); err != nil {
		return exit.Errorf(exit.Internal, "artefact %q: %v", d.artifact.GetId(), err).Then("make room, or name a file elsewhere with -f")
	}
	_, _ = d.sum.Write(data) // never fails: see hash.Hash
	d.size += uint64(len(data))
	d.progress(d.size)
	return nil
}

// check compares what has come with what was announced.
func (d *download) check(consequence string) error {
	if d.size == d.artifact.GetSize() && strings.EqualFold(hex.EncodeToString(d.sum.Sum(nil)), d.artifact.GetSha256()) {
		return nil
	}
	return d.wrong("what arrived is not what was stored (%s of %s, or another SHA-256), and %s", bytesWord(d.size), bytesWord(d.artifact.GetSize()), consequence)
}

func (d *download) wrong(format string, args ...any) error {
	return exit.Errorf(exit.Internal, "artefact %q: "+format, append([]any{d.artifact.GetId()}, args...)...).Then("fetch it again")
}

// bar shows on a terminal how much has come.
type bar struct {
	printer  *output.Printer
	live     *output.Live
	artifact *fleetv1.Artifact
	shown    uint64
}

// progressBar makes a bar, which stays invisible where nobody could see it move.
func (a *app) progressBar(f *fleetv1.Artifact) *bar {
	b := &bar{printer: a.out, artifact: f}
	if !a.format.Machine() && a.format != output.Name && output.CursorTerminal(a.stdout) {
		b.live = output.NewLive(a.stdout, func() (int, int) { return output.Size(a.stdout) })
	}
	return b
}

// draw shows each hundredth once.
func (b *bar) draw(size uint64) {
	hundredth := size * 100 / max(b.artifact.GetSize(), 1)
	if b.live == nil || hundredth == b.shown {
		return
	}
	b.shown = hundredth
	line := b.artifact.GetName() + "  " + bytesWord(size) + " of " + bytesWord(b.artifact.GetSize()) + "  " + number(uint32(hundredth)) + "%"
	// What cannot be drawn is not missed.
	_ = b.live.Draw([]output.Painted{b.printer.Paint(output.Plain, line)})
}

func (b *bar) clear() {
	if b.live != nil {
		_ = b.live.Clear()
	}
}
