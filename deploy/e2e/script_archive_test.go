package e2e

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// archiveCommands read archives as who gets them would.
func archiveCommands() map[string]command {
	return map[string]command{
		// unpack FILE.zip DIR: unpacks an archive, and compares what is in it with its manifest.json: all that is listed is there, with its
		// size and hash, and nothing else is.
		"unpack": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("usage: unpack FILE.zip DIR")
			}
			names := unpack(ts, ts.MkAbs(args[0]), ts.MkAbs(args[1]))
			wantManifested(ts, ts.MkAbs(args[1]), names)
		},
	}
}

func unpack(ts *testscript.TestScript, path, dir string) (names []string) {
	archive, err := zip.OpenReader(path)
	ts.Check(err)
	defer archive.Close()
	for _, entry := range archive.File {
		if !filepath.IsLocal(entry.Name) {
			ts.Fatalf("%s has %q, which lies outside of where it is unpacked", path, entry.Name)
		}
		r, err := entry.Open()
		ts.Check(err)
		content, err := io.ReadAll(r)
		ts.Check(err)
		to := filepath.Join(dir, entry.Name)
		ts.Check(os.MkdirAll(filepath.Dir(to), 0o700))
		ts.Check(os.WriteFile(to, content, 0o600))
		names = append(names, entry.Name)
	}
	return names
}

// wantManifested compares unpacked files with the manifest among them, which calls them files or parts.
func wantManifested(ts *testscript.TestScript, dir string, names []string) {
	type line struct {
		Name, SHA256 string
		Size         int
	}
	var manifest struct{ Files, Parts []line }
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	ts.Check(err)
	ts.Check(json.Unmarshal(text, &manifest))
	var listed []line
	for _, l := range append(manifest.Files, manifest.Parts...) {
		if l.SHA256 != "" { // what was looked for in vain is listed, too
			listed = append(listed, l)
		}
	}
	if len(listed) == 0 || len(listed) != len(names)-1 {
		ts.Fatalf("the manifest lists %d files, and the archive has these and it: %q", len(listed), names)
	}
	for _, l := range listed {
		content, err := os.ReadFile(filepath.Join(dir, l.Name))
		ts.Check(err)
		sum := sha256.Sum256(content)
		if len(content) != l.Size || hex.EncodeToString(sum[:]) != l.SHA256 {
			ts.Fatalf("%s has %d bytes and SHA-256 %x, and its manifest says %d and %s", l.Name, len(content), sum, l.Size, l.SHA256)
		}
	}
}
