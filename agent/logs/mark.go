package logs

import (
	"time"

	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// How much of a file tells it from others, in bytes: its beginning, and what stands before the place up to which it was read. Content decides
// rather than the system's identity of the file, which a new file may inherit from a deleted one.
const (
	headBytes = 1 << 10
	tailBytes = 256
	// certain is how much must be the same for two files without a common identity to be taken for the same one.
	certain = 64
)

// firstContact is how much of a file is read that was there before the agent first looked, in bytes.
const firstContact = 64 << 10

// mark is how far a file was read. It is kept over restarts; paths have names of people in them, so that it holds hashes of them only.
type mark struct {
	Folder string `json:"folder"`
	Name   string `json:"name"`
	// ID is the system's identity of the file, if it has any.
	ID       string    `json:"id,omitempty"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	// Offset is where the next line begins.
	Offset int64  `json:"offset"`
	Head   string `json:"head,omitempty"`
	Tail   string `json:"tail,omitempty"`
	// HeadLen is how much of the beginning Head is of.
	HeadLen  int64    `json:"head_len,omitempty"`
	Encoding encoding `json:"encoding,omitempty"`
	// Rest: what stands at Offset is the rest of a line whose beginning was taken or skipped.
	Rest bool `json:"rest,omitempty"`
	// Historical is where what was there before the agent first looked ends.
	Historical int64 `json:"historical,omitempty"`
	// Copy: all that was in it was in another file, too.
	Copy bool `json:"copy,omitempty"`
	// Missing is since when the file is not there.
	Missing time.Time `json:"missing,omitzero"`

	// stream holds what was found in the line before.
	stream *match.Stream
	of     *orders
	before []byte
	// partial is since when the last line has been without an end, at this size.
	partial     time.Time
	partialSize int64
	// skipped is how many bytes were not read since the last report from this file.
	skipped int64
}

// continues says whether a file begins with all that was read.
func (m *mark) continues(o *opened) bool {
	if o.size < m.Offset {
		return false
	}
	if m.Offset == 0 {
		return true
	}
	return o.print(0, m.HeadLen) == m.Head && o.print(m.tailFrom(), m.Offset) == m.Tail && m.Head != ""
}

func (m *mark) tailFrom() int64 { return max(0, m.Offset-tailBytes) }

// remember notes by what the file will be known again.
func (m *mark) remember(o *opened) {
	m.ID = o.id
	if n := min(headBytes, m.Offset); n != m.HeadLen || m.Head == "" {
		m.Head, m.HeadLen = o.print(0, n), n
	}
	m.Tail = o.print(m.tailFrom(), m.Offset)
}

// moveTo goes on elsewhere in the file; what comes next does not follow what came before.
func (m *mark) moveTo(offset int64, rest bool) {
	if m.Encoding.wide() {
		offset &^= 1
	}
	m.Offset, m.Rest = offset, rest
	m.before = m.before[:0]
	if m.stream != nil {
		m.stream.Reset()
	}
}

// line takes the next line and returns what it obeys.
func (m *mark) line(o *orders, class string, text []byte) []match.Hit {
	if m.of != o {
		m.of, m.stream = o, o.set.Stream(class)
	}
	return m.stream.Line(text)
}
