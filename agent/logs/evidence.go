package logs

import (
	"fmt"
	"path"
	"strings"

	"github.com/bandfleet/bandfleet/agent/places"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// maxEvidence is how long the value of a piece of evidence may be, in bytes.
const maxEvidence = 1 << 10

// evidence is what was read, for people: without names, secrets and control characters.
func (w *Watcher) evidence(s *source, joined bool, text []byte) []*agentv1.Evidence {
	line := w.names.mask(string(text))
	if joined {
		line = w.names.mask(string(s.m.before)) + " " + line
	}
	all := []*agentv1.Evidence{
		{Name: "line", Value: cut(line, maxEvidence)},
		{Name: "file", Value: cut(w.fileName(s.f.root, s.file.path), maxEvidence)},
		{Name: "position", Value: fmt.Sprintf("byte %d", s.m.Offset)},
	}
	if s.m.skipped > 0 {
		all = append(all, &agentv1.Evidence{Name: "skipped", Value: fmt.Sprintf("%d bytes of the file were not read", s.m.skipped)})
		s.m.skipped = 0
	}
	return all
}

// fileName is the path of a log without the name of the profile that it is in.
func (w *Watcher) fileName(root, file string) string {
	if _, below, ok := strings.Cut(file, "/"); ok && root == places.Profiles {
		file = path.Join(masked, below)
	}
	return root + "/" + w.names.mask(file)
}

// cut shortens a text to so many bytes between characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}
