package plugins

import (
	"io"
	"strings"
	"sync"
)

// maxOutput is how much of a plugin's output is kept, in bytes: the end of it.
const maxOutput = 64 << 10

// tail keeps the last maxOutput bytes that were written to it. It never blocks on anybody but whole, and never grows
// further, so a plugin can neither fill the agent's memory nor be held up by it.
type tail struct {
	mu  sync.Mutex
	buf []byte // at most 2*maxOutput, so that shifting is rare
	cut bool
	// whole gets everything too, unless it is nil.
	whole io.Writer
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if t.whole != nil {
		// Here, so that both have what comes from two pipes in the same order. What becomes of it there is no concern of the plugin's.
		_, _ = t.whole.Write(p)
	}
	if len(p) > maxOutput {
		p, t.cut = p[len(p)-maxOutput:], true
	}
	if len(t.buf)+len(p) > 2*maxOutput {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxOutput:]...)
		t.cut = true
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// Text returns what is kept as valid UTF-8, and whether earlier output was dropped.
func (t *tail) Text() (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, cut := t.buf, t.cut
	if len(b) > maxOutput {
		b, cut = b[len(b)-maxOutput:], true
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), cut
}

// lastLine returns the last line with something in it, at most 200 bytes, for error messages.
func (t *tail) lastLine() string {
	text, _ := t.Text()
	text = strings.TrimRight(text, "\r\n\t ")
	line := text[strings.LastIndexByte(text, '\n')+1:]
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "…"
	}
	return line
}
