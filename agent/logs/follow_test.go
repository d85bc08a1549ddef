package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pgregory.net/rapid"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const nemLog = nemFolder + "nem.log"

// writer writes numbered lines to nem.log as a program would, and tidies up as programs do.
type writer struct {
	m *machine
	// encode is how the lines are written; mark begins each file.
	encode func(string) string
	mark   string
	// written are all lines so far; pending is what of them is not in the file yet.
	written int
	pending string
	// mayMiss are the lines that nobody can find any more.
	mayMiss map[int]bool
	// looked is how many lines were written whole when it was last looked.
	looked int
	// tick makes the times of the files differ, however fast the test is.
	tick int
}

// lineRules has a rule for each line that a test may write, so that each is counted by itself.
func lineRules() (rules []*agentv1.LogRule) {
	for i := range maxLines {
		rules = append(rules, rule(fmt.Sprint("line-", i), fmt.Sprintf("number %04d of the lines", i)))
	}
	return rules
}

const maxLines = 60

func narrowText(s string) string { return s }

func wideText(order binary.AppendByteOrder) func(string) string {
	return func(s string) string {
		var out []byte
		for _, u := range utf16.Encode([]rune(s)) {
			out = order.AppendUint16(out, u)
		}
		return string(out)
	}
}

func newWriter(m *machine, kind int) *writer {
	w := &writer{m: m, encode: narrowText, mayMiss: map[int]bool{}}
	switch kind {
	case 1:
		w.mark = "\ufeff"
	case 2:
		w.mark, w.encode = "\ufeff", wideText(binary.LittleEndian)
	case 3:
		w.mark, w.encode = "\ufeff", wideText(binary.BigEndian)
	}
	return w
}

func (w *writer) put(text string) {
	w.m.add(nemLog, text)
	w.touch(nemLog)
}

func (w *writer) touch(name string) {
	w.tick++
	at := time.Now().Add(time.Duration(w.tick) * time.Millisecond)
	if err := os.Chtimes(w.m.path(name), at, at); err != nil {
		w.m.t.Fatal(err)
	}
}

func (w *writer) size() int64 {
	info, err := os.Stat(w.m.path(nemLog))
	if err != nil {
		return -1
	}
	return info.Size()
}

// write writes one more line, up to so many bytes of what is not written.
func (w *writer) write(bytes int) {
	if w.written < maxLines && len(w.pending) < 400 {
		if w.size() <= 0 && w.pending == "" {
			w.pending = w.encode(w.mark)
		}
		w.pending += w.encode(fmt.Sprintf("2026-11-24 08:00:00.000 [main] com.example.nem.Connection INFO %s number %04d of the lines, žluťoučký\r\n", strings.Repeat("x", w.written%7), w.written))
		w.written++
	}
	n := min(bytes, len(w.pending))
	w.put(w.pending[:n])
	w.pending = w.pending[n:]
}

// flush writes the rest: programs do not rotate within a line.
func (w *writer) flush() {
	if w.pending != "" {
		w.put(w.pending)
		w.pending = ""
	}
}

// rotate renames nem.log to nem.1.log, and that to nem.2.log.
func (w *writer) rotate() {
	w.flush()
	for i := 4; i >= 0; i-- {
		from := fmt.Sprintf(nemFolder+"nem.%d.log", i)
		if i == 0 {
			from = nemLog
		}
		if err := os.Rename(w.m.path(from), w.m.path(fmt.Sprintf(nemFolder+"nem.%d.log", i+1))); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.m.t.Fatal(err)
		}
	}
}

// copyAway copies nem.log, and truncate empties it.
func (w *writer) copyAway() {
	w.flush()
	text, err := os.ReadFile(w.m.path(nemLog))
	if err != nil {
		return
	}
	w.tick++
	name := fmt.Sprintf(nemFolder+"nem-copy-%d.log", w.tick)
	if err := os.WriteFile(w.m.path(name), text, 0o644); err != nil {
		w.m.t.Fatal(err)
	}
	w.touch(name)
}

func (w *writer) truncate() {
	if w.size() < 0 {
		return
	}
	if err := os.Truncate(w.m.path(nemLog), 0); err != nil {
		w.m.t.Fatal(err)
	}
	w.touch(nemLog)
}

func (w *writer) remove() {
	w.flush()
	for i := w.looked; i < w.written; i++ {
		w.mayMiss[i] = true
	}
	if err := os.Remove(w.m.path(nemLog)); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.m.t.Fatal(err)
	}
}

func (w *writer) look() {
	w.m.step()
	w.looked = w.written - strings.Count(w.pending, "\n")
}

// TestEachLineOnce: however a log is written and rotated, each line counts once.
func TestEachLineOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := newMachine(t, lineRules()...)
		m.step()
		w := newWriter(m, rapid.IntRange(0, 3).Draw(r, "encoding"))
		for range rapid.IntRange(1, 80).Draw(r, "steps") {
			switch op := rapid.IntRange(0, 19).Draw(r, "what"); op {
			default:
				w.write(rapid.IntRange(1, 300).Draw(r, "bytes"))
			case 10, 11, 12, 13:
				w.look()
			case 14:
				w.rotate()
			case 15:
				w.copyAway()
				if rapid.Bool().Draw(r, "looked at between") {
					w.look()
				}
				w.truncate()
			case 16:
				w.copyAway()
			case 17:
				w.remove()
			case 18:
				m.restart()
			case 19:
				m.take(lineRules()...)
			}
		}
		w.flush()
		w.look()
		m.now = m.now.Add(time.Minute)
		w.look()
		counts := m.got()
		for i := range w.written {
			n := counts[fmt.Sprint("line-", i)]
			if n > 1 || n == 0 && !w.mayMiss[i] {
				r.Fatalf("line %d of %d was counted %d times, want once", i, w.written, n)
			}
		}
	})
}
