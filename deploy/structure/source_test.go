package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bandfleet/bandfleet"

// sourceFile is one hand-written or generated Go file of the module, whatever its build tags: files for Windows count on
// Linux too.
type sourceFile struct {
	// Slash-separated, relative to the module: "server/store/store.go".
	path string
	ast  *ast.File
}

func (f sourceFile) dir() string  { return path.Dir(f.path) }
func (f sourceFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f sourceFile) generated() bool { return ast.IsGenerated(f.ast) }

// imports returns import paths; those of this module are shortened to the folder ("server/store").
func (f sourceFile) imports() []string {
	var out []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted the literal
		}
		out = append(out, strings.TrimPrefix(p, module+"/"))
	}
	return out
}

// readSources parses every Go file of the repository, other modules (deploy/bench) included.
func readSources(t *testing.T) []sourceFile {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var files []sourceFile
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root && skipDir(d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments|parser.SkipObjectResolution)
		files = append(files, sourceFile{path: filepath.ToSlash(rel), ast: parsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d Go files below %s: the walk is broken, or this test moved", len(files), root)
	}
	return files
}

func skipDir(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin"
}
