package artifacts

import (
	"fmt"
	"regexp"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// kind is what an artefact can be.
type kind struct {
	// maxSize is in bytes.
	maxSize uint64
	// suffix ends the name that people see.
	suffix string
}

// kindOf returns a kind of the closed list. What is not in it is nothing that this server knows how to keep.
func kindOf(name string) (kind, bool) {
	switch name {
	case "output":
		return kind{maxSize: 16 << 20, suffix: ".log"}, true
	case "logs":
		return kind{maxSize: 1 << 30, suffix: ".zip"}, true
	case "firmware-log":
		return kind{maxSize: 256 << 20, suffix: ".bin"}, true
	default:
		return kind{}, false
	}
}

// subjectText is what an artefact may be about: the serial of a band. It becomes a part of a file name.
var subjectText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

var sha256Text = regexp.MustCompile(`^[0-9a-f]{64}$`)

// checkHeader refuses an announcement that no upload could keep.
func checkHeader(h *agentv1.ArtifactHeader) (kind, error) {
	known, ok := kindOf(h.GetKind())
	switch {
	case !ok:
		return kind{}, refusal.New(refusal.Invalid, "UNKNOWN_KIND", "artefact: kind %q: is not known here", refusal.Shown(h.GetKind())).At("header.kind")
	case h.GetSize() == 0:
		return kind{}, malformed("an artefact is not empty")
	case !sha256Text.MatchString(h.GetSha256()):
		return kind{}, malformed("its hash is no SHA-256 in lower case hexadecimal")
	case h.GetKey().GetAttempt() == 0:
		return kind{}, malformed("it names no attempt of a task")
	case h.GetSubject() != "" && !subjectText.MatchString(h.GetSubject()):
		return kind{}, malformed("its subject is no name such as a band's serial")
	case h.GetSize() > known.maxSize:
		return kind{}, refusal.New(refusal.Exhausted, "ARTIFACT_TOO_LARGE", "artefact: %d bytes: an artefact of kind %q has at most %d", h.GetSize(), h.GetKind(), known.maxSize)
	}
	return known, nil
}

func malformed(format string, args ...any) error {
	return refusal.New(refusal.Invalid, "ARTIFACT_MALFORMED", "artefact: %s", fmt.Sprintf(format, args...))
}
