package logs

import (
	"context"
	"time"

	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

const (
	// chunk is how much of a file is read at once, in bytes. It is a multiple of the longest line in the widest encoding.
	chunk = 256 << 10
	// slack is how much later than a change a file's time may say that it was, and how coarse it may be (FAT: two seconds).
	slack = 2 * time.Second
	// keepBefore is how much of a line is kept for the evidence of two lines that are one message, in bytes.
	keepBefore = maxEvidence
)

// reader is what reading a file needs; there is one, since one file is read at a time.
type reader struct{ raw, text []byte }

// begin makes the mark of a file that was not followed.
func (w *Watcher) begin(f *folder, file *file, a *assignment) *mark {
	if a.open(file); file.shut {
		return nil
	}
	if a.copied(file) {
		return beginCopy(f, file)
	}
	m := &mark{Folder: f.key, Name: file.key, ID: file.o.id}
	before, looked := w.memory.Scanned[f.class]
	if looked && (a.replaced(file) || !file.modified.Before(before.Add(-slack))) {
		return m // it is new, so that all of it counts
	}
	m.Historical = file.o.size
	if from := file.o.size - firstContact; from > 0 {
		m.Encoding, _ = encodingOf(file.o.head())
		m.moveTo(from, true)
		m.remember(file.o)
	}
	return m
}

// beginCopy makes the mark of a file of which all is known from another.
func beginCopy(f *folder, file *file) *mark {
	m := &mark{Folder: f.key, Name: file.key, Copy: true}
	m.Encoding, _ = encodingOf(file.o.head())
	m.moveTo(file.o.size, false)
	m.remember(file.o)
	return m
}

func (o *opened) head() []byte {
	head, err := o.part(0, enough)
	if err != nil {
		return nil
	}
	return head
}

// readOn reads a file from its mark on, as far as the budget goes.
func (w *Watcher) readOn(ctx context.Context, o *orders, f *folder, file *file) {
	m := file.mark
	final := w.overdue(m, time.Now())
	if m.Size == file.size && m.Modified.Equal(file.modified) && m.Offset >= m.Size-m.left() && !final {
		return // nothing new in it
	}
	if w.open(ctx, f, file); file.shut {
		return
	}
	if !m.continues(file.o) {
		m.Size, f.unfinished = -1, true // it is another one by now; the next pass finds out
		return
	}
	w.skip(f, file)
	src := source{w: w, o: o, f: f, file: file, m: m, final: final}
	for w.budget > 0 && src.chunk() {
	}
	m.remember(file.o)
	w.dirty = true
	src.rest()
}

// left is how much of a last line without an end was left unread.
func (m *mark) left() int64 {
	if m.partial.IsZero() {
		return 0
	}
	return m.partialSize - m.Offset
}

// skip leaves out what is too far behind the end of a file to be caught up with, and tells it.
func (w *Watcher) skip(f *folder, file *file) {
	m := file.mark
	if file.o.size-m.Offset <= w.cfg.Timings.Behind {
		return
	}
	from := m.Offset
	m.moveTo(file.o.size-w.cfg.Timings.Behind/2, true)
	m.skipped += m.Offset - from
	w.errors.add(f.class, skippedTemplate, uint64(m.Offset-from))
	w.cfg.Log.Warn("a log file grows faster than it may be read; a part of it was left out", "class", f.class, "bytes", m.Offset-from)
}

// source is a file that is being read.
type source struct {
	w    *Watcher
	o    *orders
	f    *folder
	file *file
	m    *mark
	// final: the last line counts although it has no end.
	final bool
}

// chunk reads once and says whether there may be more.
func (s *source) chunk() bool {
	r, m := &s.w.reader, s.m
	if r.raw == nil {
		r.raw = make([]byte, chunk)
	}
	size := min(int64(len(r.raw)), s.file.o.size-m.Offset)
	if size <= 0 || !s.knowsEncoding() {
		return false
	}
	n, _ := s.file.o.ReadAt(r.raw[:size], m.Offset)
	if n == 0 {
		return false // the end, or it cannot be read now: it is tried again as a line without an end is
	}
	s.w.budget -= int64(n)
	took := s.lines(r.raw[:n])
	return took > 0 && m.Offset < s.file.o.size
}

// knowsEncoding finds out how the file is written, as soon as there is enough of it.
func (s *source) knowsEncoding() bool {
	m := s.m
	if m.Encoding != unknown {
		return true
	}
	head := s.file.o.head()
	if len(head) < enough && !s.final {
		return false
	}
	var begin int64
	if m.Encoding, begin = encodingOf(head); m.Offset == 0 {
		m.Offset = begin
	}
	return m.Offset < s.file.o.size
}

// lines takes the whole lines of what was read and returns how much that was.
func (s *source) lines(text []byte) int {
	took := 0
	for took < len(text) {
		n := s.m.Encoding.end(text[took:])
		if n < 0 {
			return took + s.unended(text[took:])
		}
		s.take(text[took : took+n])
		took += n + s.m.Encoding.unit()
		s.m.Offset += int64(n + s.m.Encoding.unit())
		s.m.Rest = false
	}
	return took
}

// unended deals with a beginning of a line. One that is too long is cut, and its rest left out.
func (s *source) unended(text []byte) int {
	text = text[:len(text)-len(text)%s.m.Encoding.unit()]
	longest := match.MaxLine * s.m.Encoding.unit()
	last := s.m.Offset+int64(len(text)) >= s.file.o.size-1
	if !s.m.Rest && len(text) < longest && (!s.final || !last) {
		return 0
	}
	s.take(text)
	s.m.Offset += int64(len(text))
	s.m.Rest = len(text) > 0 || s.m.Rest
	return len(text)
}

// take takes a line, unless it is the rest of one.
func (s *source) take(raw []byte) {
	if s.m.Rest {
		return
	}
	raw = raw[:min(len(raw), match.MaxLine*s.m.Encoding.unit())]
	text := s.m.Encoding.decode(s.w.reader.text, raw)
	if s.m.Encoding.wide() {
		s.w.reader.text = text
	}
	s.w.line(s, text)
	s.m.before = append(s.m.before[:0], text[:min(len(text), keepBefore)]...)
}

// rest notes what is left to read, and since when a last line has had no end.
func (s *source) rest() {
	m, now := s.m, time.Now()
	size := s.file.o.size
	switch {
	case m.Offset >= size:
		m.partial = time.Time{}
	case s.w.budget <= 0:
		m.partial, s.f.unfinished = time.Time{}, true
	case m.partial.IsZero() || m.partialSize != size:
		m.partial, m.partialSize = now, size
	case s.final:
		m.partial = time.Time{} // nothing could be made of it; a change begins anew
	}
	m.Size, m.Modified = s.file.size, s.file.modified
}
