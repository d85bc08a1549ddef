package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

var errNoRegistry = fmt.Errorf("registry: %w", ErrNotSupported)

// readRelease returns the name and version for people from an os-release file ("Debian GNU/Linux 12 (bookworm)"); a machine
// without the file is "Linux", as the file's own manual page says.
func readRelease(file string) (string, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "Linux", nil
	}
	if err != nil {
		return "", fmt.Errorf("version of the operating system: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return unquote(value), nil
		}
	}
	return "Linux", nil
}

// unquote removes the quotes of a shell-style value.
func unquote(value string) string {
	if plain, err := strconv.Unquote(value); err == nil {
		return plain
	}
	return strings.Trim(value, `'"`)
}

// readLine returns the first line of a small file.
func readLine(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return strings.TrimSpace(line), nil
}
