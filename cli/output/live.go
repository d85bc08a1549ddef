package output

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Live is a block of lines on a terminal that is redrawn in place.
type Live struct {
	w io.Writer
	// size returns the terminal's width and height in characters at the moment.
	size  func() (width, height int)
	drawn int
}

// NewLive returns a view on the terminal w.
func NewLive(w io.Writer, size func() (width, height int)) *Live { return &Live{w: w, size: size} }

// Height returns how many lines may be drawn now without scrolling.
func (l *Live) Height() int {
	_, height := l.size()
	return max(height-1, 1)
}

// Draw replaces what was drawn before. Lines that are too long are cut, because a wrapped line would not be erased.
func (l *Live) Draw(lines []Painted) error {
	width, _ := l.size()
	lines = lines[:min(len(lines), l.Height())]
	var b strings.Builder
	b.WriteString(l.rewind())
	for _, line := range lines {
		b.WriteString(text.Trim(string(line), max(width-1, 1)))
		b.WriteString("\x1b[0m\n")
	}
	l.drawn = len(lines)
	_, err := io.WriteString(l.w, b.String())
	return err
}

// Clear removes what was drawn.
func (l *Live) Clear() error {
	_, err := io.WriteString(l.w, l.rewind())
	l.drawn = 0
	return err
}

// rewind moves to the start of the block and erases from there on.
func (l *Live) rewind() string {
	if l.drawn == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dF\x1b[J", l.drawn)
}
