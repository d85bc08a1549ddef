package host

import (
	"errors"
	"testing"
)

// What is refused is in the conformance suite (hosttest.RefusedPaths); here is that the rest is allowed.
func TestCheckPathAllows(t *testing.T) {
	for _, path := range []string{
		".", "nbe.toml", "a/b/c.log", ".hidden", "nbe.default.toml", "with space.txt", "Ünïcode", "console.log", "com.txt", "COM10",
		"nulls", "lpt", "a..b", "-x", "~", "x;y",
	} {
		if err := CheckPath(path); err != nil {
			t.Errorf("CheckPath(%q) = %v, want it allowed: it is an ordinary name everywhere", path, err)
		}
	}
}

func FuzzCheckPath(f *testing.F) {
	for _, path := range []string{"nbe.toml", "../x", "a/b", "COM1", "x.", `a\b`} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if err := CheckPath(path); err != nil && !errors.Is(err, ErrOutside) {
			t.Errorf("CheckPath(%q) = %v, want ErrOutside", path, err)
		}
		// A path that is allowed stays allowed below a folder.
		if CheckPath(path) == nil && path != "." && CheckPath("folder/"+path) != nil {
			t.Errorf("CheckPath allows %q but not below a folder", path)
		}
	})
}
