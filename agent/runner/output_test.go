package runner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// fakeSpool hands out one place and remembers what became of it.
type fakeSpool struct {
	bytes.Buffer
	began     int
	kept      *agentv1.TaskKey
	discarded int
	refuse    error
	truncated bool
	// order is what was told first.
	order []string
}

func (s *fakeSpool) Begin(string) Whole { s.began++; s.Reset(); return s }
func (s *fakeSpool) Add(context.Context, *agentv1.TaskKey, string, string, io.Reader) (*actionv1.ArtifactReference, error) {
	return nil, errors.New("nothing is added here")
}

func (s *fakeSpool) Seen() uint64   { return uint64(s.Len()) }
func (s *fakeSpool) Discard() error { s.discarded++; return nil }

func (s *fakeSpool) Keep(k *agentv1.TaskKey) (*actionv1.ArtifactReference, error) {
	if s.refuse != nil {
		return nil, s.refuse
	}
	s.kept = k
	s.order = append(s.order, "kept")
	return &actionv1.ArtifactReference{Kind: "output", Size: s.Seen(), Sha256: "00ff", Truncated: s.truncated}, nil
}

// orderedJournal notes when the result is journalled.
type orderedJournal struct {
	Journal
	spool *fakeSpool
}

func (j *orderedJournal) Finish(k *agentv1.TaskKey, r *actionv1.TaskResult, at time.Time) error {
	j.spool.order = append(j.spool.order, "result")
	return j.Journal.Finish(k, r, at)
}

// chatty makes the restarting plugin write text in its plan, of which its process keeps the end.
func chatty(b *bench, text string) {
	b.t.Helper()
	p := b.plugins["restart"]
	plan := p.plan
	p.plan = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
		if p.whole != nil {
			_, _ = p.whole.Write([]byte(text))
		}
		return plan(ctx, start, calls)
	}
	p.output = text[max(0, len(text)-maxOutput):]
	p.cut = len(text) > maxOutput
}

func TestTheWholeOutputIsKeptWhenTheResultHasNoRoom(t *testing.T) {
	long := strings.Repeat("0123456789abcde\n", 1<<16)
	for name, c := range map[string]struct {
		text string
		// without says that there is no spool.
		without   bool
		refuse    error
		truncated bool
		mark      string
		artifacts int
		evidence  string
	}{
		"short":             {text: "fine\n"},
		"long":              {text: long, mark: "[cut here: this is the end of 1048576 bytes; the whole is kept as an artefact]\n", artifacts: 1},
		"too long for that": {text: long, truncated: true, mark: "[cut here: this is the end of 1048576 bytes; the first 1048576 are kept as an artefact]\n", artifacts: 1},
		"disk full":         {text: long, refuse: errors.New("the disk is nearly full"), mark: "[cut here: this is the end of 1048576 bytes; the rest was not kept]\n", evidence: "the disk is nearly full"},
		"without a spool":   {text: long, without: true, mark: "[cut here: the beginning is left out; the rest was not kept]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				if err := b.stop(); err != nil {
					t.Fatal(err)
				}
				s := &fakeSpool{refuse: c.refuse, truncated: c.truncated}
				b.journal = &orderedJournal{b.journal, s}
				if !c.without {
					b.spool = s
				}
				b.start()
				chatty(b, c.text)
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, succeeded)
				if !strings.HasPrefix(res.GetOutput(), c.mark) || len(res.GetOutput()) > maxOutput || res.GetOutputTruncated() != (c.mark != "") {
					t.Errorf("output begins %.100q, has %d bytes, cut: %v; want at most %d, and the cut marked by %q", res.GetOutput(), len(res.GetOutput()), res.GetOutputTruncated(), maxOutput, c.mark)
				}
				if !strings.HasSuffix(c.text, strings.TrimPrefix(res.GetOutput(), c.mark)) {
					t.Error("what follows the mark is not the end of what the plugin wrote")
				}
				if len(res.GetArtifacts()) != c.artifacts {
					t.Errorf("artefacts are %v, want %d", res.GetArtifacts(), c.artifacts)
				}
				if c.evidence != "" && !strings.Contains(res.GetEvidence()[len(res.GetEvidence())-1].GetValue(), c.evidence) {
					t.Errorf("evidence is %v, want why the whole is not kept", res.GetEvidence())
				}
				if c.artifacts > 0 && (strings.Join(s.order, " ") != "kept result" || s.kept.GetJobId() != "j" || s.String() != c.text) {
					t.Errorf("order %q for job %q with %d bytes; want all of it kept before the result that names it is journalled", s.order, s.kept.GetJobId(), s.Len())
				}
				if c.text == "fine\n" && s.discarded != 1 {
					t.Errorf("a short output was discarded %d times, want once", s.discarded)
				}
			})
		})
	}
}

// TestAPluginThatDoesNotStartLeavesNoOutput: what was begun for it is thrown away.
func TestAPluginThatDoesNotStartLeavesNoOutput(t *testing.T) {
	inBench(t, func(b *bench) {
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		s := &fakeSpool{}
		b.spool = s
		b.start()
		b.plugins["restart"].launchErr = errors.New("it ended at once")
		b.wantStatus(b.do(b.task("j", "restart")), failedStatus)
		if s.began != 1 || s.discarded != 1 {
			t.Errorf("%d places were begun and %d discarded, want 1 and 1: else files pile up", s.began, s.discarded)
		}
	})
}

func TestLastOf(t *testing.T) {
	for _, text := range []string{"short", "ünïcödé", "日本語日本語", strings.Repeat("é", 100)} {
		for limit := range 12 {
			got := lastOf(text, limit)
			if len(got) > limit || !utf8.ValidString(got) || !strings.HasSuffix(text, got) || limit-len(got) > 3 && len(got) < len(text) {
				t.Errorf("the last %d bytes of %q are %q, want as much of its end as fits, no half character", limit, text, got)
			}
		}
	}
}
