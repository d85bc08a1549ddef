package host

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxNameBytes bounds one element of a path (NTFS and ext4 allow 255).
const maxNameBytes = 255

// CheckPath refuses, with ErrOutside, a path that could mean something outside its root on any system that agents run on:
// every implementation calls it, so that a path which works on one machine is not a device or a stream on another. Allowed
// are names joined by forward slashes, and "." for the root itself.
func CheckPath(path string) error {
	if path == "." {
		return nil
	}
	if path == "" || !utf8.ValidString(path) {
		return pathError(path, "is empty or not text")
	}
	for name := range strings.SplitSeq(path, "/") {
		if fault := nameFault(name); fault != "" {
			return pathError(path, fault)
		}
	}
	return nil
}

func pathError(path, fault string) error {
	return fmt.Errorf("path %q: %s: %w", path, fault, ErrOutside)
}

// nameFault says what is wrong with one element of a path; empty when nothing is.
func nameFault(name string) string {
	switch {
	case name == "":
		return "has an empty name in it"
	case name == "." || name == "..":
		return "goes to another folder"
	case len(name) > maxNameBytes:
		return "has a name that is too long"
	case strings.ContainsFunc(name, notInNames):
		return "has a character that is not allowed in names"
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return "has a name that ends in a dot or a space" // Windows drops them: another file
	case isDeviceName(name):
		return "names a Windows device"
	}
	return ""
}

// notInNames is true for separators, drive letters' and streams' colons, wildcards and control characters.
func notInNames(r rune) bool {
	return r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r)
}

// isDeviceName tells the names that Windows gives to devices in every folder, with any extension (Naming Files, Paths,
// and Namespaces).
func isDeviceName(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	for _, device := range []string{"COM", "LPT"} {
		if number, ok := strings.CutPrefix(base, device); ok && strings.Contains("0123456789¹²³", number) {
			return utf8.RuneCountInString(number) == 1
		}
	}
	return false
}
