package output

import (
	"os"
	"runtime"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// ColorTerminal tells whether f is a terminal that wants colours. NO_COLOR (https://no-color.org) and TERM=dumb forbid them.
func ColorTerminal(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && CursorTerminal(f)
}

// CursorTerminal tells whether f is a terminal that understands cursor movements. A Windows console must be switched to
// understanding them; go-pretty has done so at its start, unless NO_COLOR kept it from trying.
func CursorTerminal(f *os.File) bool {
	if os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	return runtime.GOOS != "windows" || text.FgRed.Sprint("x") != "x"
}

// Size returns the width and height of the terminal f in characters; 80 by 24 when it does not say.
func Size(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
