package hosttest

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
)

const fileName = "nbe.toml"

func (f Fixture) mustWrite(t *testing.T, name, content string) {
	t.Helper()
	if err := f.Host.Files.Write(t.Context(), f.FilesRoot, name, []byte(content)); err != nil {
		t.Fatalf("Write(%q) = %v, want success", name, err)
	}
}

func (f Fixture) wantFile(t *testing.T, name, want string) {
	t.Helper()
	content, more, err := f.Host.Files.Read(t.Context(), f.FilesRoot, name, 1<<20)
	if err != nil || more || string(content) != want {
		t.Fatalf("Read(%q) = %q, %v, %v; want %q and nothing more", name, content, more, err, want)
	}
}

func testFile(t *testing.T, f Fixture) {
	f.mustWrite(t, fileName, "first\r\n")
	f.wantFile(t, fileName, "first\r\n")
	f.mustWrite(t, fileName, "second")
	f.wantFile(t, fileName, "second")
	f.mustWrite(t, "another.toml", "")
	f.wantFile(t, "another.toml", "")
	names, err := f.Host.Files.List(t.Context(), f.FilesRoot, ".")
	if want := []string{"another.toml", fileName}; err != nil || !slices.Equal(names, want) {
		t.Errorf("List = %q, %v; want %q: sorted, and nothing left of the writing", names, err, want)
	}
	if err := f.Host.Files.Remove(t.Context(), f.FilesRoot, fileName); err != nil {
		t.Fatalf("Remove = %v, want success", err)
	}
	_, _, err = f.Host.Files.Read(t.Context(), f.FilesRoot, fileName, 10)
	wantError(t, "Read after Remove", err, host.ErrNotExist, strconv.Quote(fileName))
}

func testReadLimit(t *testing.T, f Fixture) {
	f.mustWrite(t, fileName, "12345")
	for _, c := range []struct {
		limit int
		want  string
		more  bool
	}{{0, "", true}, {4, "1234", true}, {5, "12345", false}, {6, "12345", false}} {
		content, more, err := f.Host.Files.Read(t.Context(), f.FilesRoot, fileName, c.limit)
		if err != nil || string(content) != c.want || more != c.more {
			t.Errorf("Read with limit %d = %q, more %v, %v; want %q, more %v", c.limit, content, more, err, c.want, c.more)
		}
	}
}

func testNoFile(t *testing.T, f Fixture) {
	files, ctx := f.Host.Files, t.Context()
	_, _, err := files.Read(ctx, f.FilesRoot, "none.toml", 10)
	wantError(t, "Read", err, host.ErrNotExist, `"none.toml"`)
	wantError(t, "Remove", files.Remove(ctx, f.FilesRoot, "none.toml"), host.ErrNotExist, `"none.toml"`)
	_, err = files.List(ctx, f.FilesRoot, "none")
	wantError(t, "List", err, host.ErrNotExist, `"none"`)
	err = files.Write(ctx, f.FilesRoot, "none/nbe.toml", []byte("x"))
	wantError(t, "Write into a folder that is not there", err, host.ErrNotExist, `"none/nbe.toml"`)
	_, _, err = files.Read(ctx, "no-such-root", fileName, 10)
	wantError(t, "Read below an unknown root", err, host.ErrNotExist, `"no-such-root"`)
}

// testRefusedPaths: the same paths are refused on every system, whatever they would mean on this one.
func testRefusedPaths(t *testing.T, f Fixture) {
	for _, name := range RefusedPaths() {
		_, _, readErr := f.Host.Files.Read(t.Context(), f.FilesRoot, name, 10)
		_, listErr := f.Host.Files.List(t.Context(), f.FilesRoot, name)
		for call, err := range map[string]error{
			"Read":   readErr,
			"List":   listErr,
			"Write":  f.Host.Files.Write(t.Context(), f.FilesRoot, name, []byte("x")),
			"Remove": f.Host.Files.Remove(t.Context(), f.FilesRoot, name),
		} {
			if !errors.Is(err, host.ErrOutside) {
				t.Errorf("%s(%q) = %v, want ErrOutside", call, name, err)
			}
		}
	}
	if names, err := f.Host.Files.List(t.Context(), f.FilesRoot, "."); err != nil || len(names) != 0 {
		t.Errorf("List = %q, %v; a refused path must leave nothing behind", names, err)
	}
}

// RefusedPaths are paths that no implementation may accept.
func RefusedPaths() []string {
	return []string{
		"", "..", "../nbe.toml", "a/../../nbe.toml", "./nbe.toml", "a/./b", "/etc/passwd", "a//b", "a/",
		`..\nbe.toml`, `a\b`, `C:\Windows\win.ini`, "C:nbe.toml", `\\?\C:\x`, `\\server\share\x`, "//server/share",
		"nbe.toml:stream", "nbe.toml::$DATA", "NUL", "nul.toml", "a/Con", "aux.txt", "COM1", "com9.log", "LPT1.x", "COM¹", "CONIN$",
		"nbe.toml.", "nbe.toml ", "a./b", "nul .txt", "a\x00b", "a\nb", "a*b", "a?", "a<b", "a|b", `a"b`, "a\xffb",
		strings.Repeat("x", 256),
	}
}

func testWrittenAtOnce(t *testing.T, f Fixture) {
	var contents [][]byte
	for _, letter := range "abcd" {
		contents = append(contents, bytes.Repeat([]byte(string(letter)), 64<<10))
	}
	errs := make([]error, len(contents))
	var all sync.WaitGroup
	for i, content := range contents {
		all.Go(func() { errs[i] = f.Host.Files.Write(t.Context(), f.FilesRoot, fileName, content) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("Write by several at once = %v, want success for all", err)
	}
	got, _, err := f.Host.Files.Read(t.Context(), f.FilesRoot, fileName, 1<<20)
	if err != nil || !slices.ContainsFunc(contents, func(want []byte) bool { return bytes.Equal(got, want) }) {
		t.Errorf("Read = %d bytes, %v; want one of the writes, whole: a file must never be mixed or torn", len(got), err)
	}
}
