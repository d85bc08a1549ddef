package host

import (
	"fmt"
	"io"

	"golang.org/x/sys/windows"
)

// FileIdentity names an open file for as long as it lasts, whatever it is called: two opens with the same identity are the same file, and one
// that was made after another was deleted may have that one's. Empty when the machine cannot tell.
func FileIdentity(open io.Reader) string {
	file, ok := open.(interface{ Fd() uintptr })
	if !ok {
		return ""
	}
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(file.Fd()), &info); err != nil {
		return ""
	}
	return fmt.Sprintf("%x-%x%08x", info.VolumeSerialNumber, info.FileIndexHigh, info.FileIndexLow)
}
