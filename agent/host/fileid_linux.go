package host

import (
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// FileIdentity names an open file for as long as it lasts, whatever it is called: two opens with the same identity are the same file, and one
// that was made after another was deleted may have that one's. Empty when the machine cannot tell.
func FileIdentity(open io.Reader) string {
	file, ok := open.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return ""
	}
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%x-%x", st.Dev, st.Ino)
	}
	return ""
}
