package runner

import (
	"context"
	"fmt"
	"io"
	"unicode/utf8"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// kindOutput is the kind of artefact that a plugin's whole output is.
const kindOutput = "output"

// Spool keeps whole what a result has no room for, until the server has it. Package agent/spool implements it.
type Spool interface {
	// Begin begins a file of a kind.
	Begin(kind string) Whole
	// Add keeps what from holds, durably, as a file of a kind about a subject (empty for the terminal), and has it brought to the server. What
	// is kept is bounded; the reference says when it was cut. An error says why nothing is kept: there is nothing in it, from failed, ctx ended,
	// no room.
	Add(ctx context.Context, k *agentv1.TaskKey, kind, subject string, from io.Reader) (*actionv1.ArtifactReference, error)
}

// Whole takes all that a plugin writes. It ends with Keep or Discard.
type Whole interface {
	// Writer never fails and never blocks for long; what is kept of what it takes is bounded.
	io.Writer
	// Seen is how many bytes were written to it.
	Seen() uint64
	// Keep makes it durable for a task, and has it brought to the server. An error says why nothing is kept.
	Keep(k *agentv1.TaskKey) (*actionv1.ArtifactReference, error)
	Discard() error
}

// keepOutput takes the end of what the plugin wrote into the result, and sees to it that the whole is kept when that is not all.
func (c *course) keepOutput(text string, cut bool) {
	c.result.output(text, cut)
	whole := c.whole
	c.whole = nil
	if whole == nil || !c.result.truncated {
		c.result.markCut(0, nil)
		c.discard(whole)
		return
	}
	ref, err := whole.Keep(c.key())
	if err != nil {
		c.log.Warn("the whole output of a plugin is not kept", "plugin", c.plugin.Name(), "bytes", whole.Seen(), "error", err)
		c.result.saw("output", fmt.Sprintf("the whole output, %d bytes, is not kept: %v", whole.Seen(), err))
	} else {
		c.result.artifacts = append(c.result.artifacts, ref)
	}
	c.result.markCut(whole.Seen(), ref)
}

// beginOutput makes the place where all that the plugin writes goes; nil when there is none.
func (c *course) beginOutput() io.Writer {
	spool := c.r.spool(c.key())
	if spool == nil {
		return nil
	}
	c.whole = spool.Begin(kindOutput)
	return c.whole
}

func (c *course) discard(whole Whole) {
	if whole == nil {
		return
	}
	if err := whole.Discard(); err != nil {
		c.log.Warn("a plugin's output was not removed; it is at the next start", "error", err)
	}
}

// markCut begins a text whose beginning was cut with a line that says so. seen is how much the plugin wrote, 0 when nobody
// counted; ref is where it is whole, nil when nowhere.
func (c *collector) markCut(seen uint64, ref *actionv1.ArtifactReference) {
	if !c.truncated {
		return
	}
	mark := "[cut here: the beginning is left out"
	if seen > 0 {
		mark = fmt.Sprintf("[cut here: this is the end of %d bytes", seen)
	}
	switch {
	case ref == nil:
		mark += "; the rest was not kept]\n"
	case ref.GetTruncated():
		mark += fmt.Sprintf("; the first %d are kept as an artefact]\n", ref.GetSize())
	default:
		mark += "; the whole is kept as an artefact]\n"
	}
	c.text = mark + lastOf(c.text, maxOutput-len(mark))
}

// lastOf returns the end of valid UTF-8, at most limit bytes, without the rest of a character that was cut in two.
func lastOf(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[len(s)-limit:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}
