package structure

import (
	"path"
	"sort"
	"strings"
	"testing"
)

// shortestDoc is the least number of characters with which a package comment can say what the package is and who calls it.
const shortestDoc = 60

// TestPackagesHaveOneDocComment: a reader meets a package by its comment. Two comments contradict each other sooner or later.
func TestPackagesHaveOneDocComment(t *testing.T) {
	docs := map[string][]sourceFile{}
	for _, f := range readSources(t) {
		if f.isTest() || f.generated() {
			continue
		}
		docs[f.dir()] = append(docs[f.dir()], f)
	}
	for dir, files := range docs {
		var with []string
		for _, f := range files {
			if f.ast.Doc == nil {
				continue
			}
			with = append(with, f.path)
			checkDoc(t, f)
		}
		if len(with) != 1 && !platformPair(with) {
			sort.Strings(with)
			t.Errorf("%s: %d files have a package comment %v, want exactly one: it is where a reader learns what the package is", dir, len(with), with)
		}
	}
}

// platformPair says whether these are one program's main for two systems, of which any build sees one.
func platformPair(files []string) bool {
	if len(files) != 2 {
		return false
	}
	trim := func(p string) string {
		p = strings.TrimSuffix(p, ".go")
		return strings.TrimSuffix(strings.TrimSuffix(p, "_windows"), "_linux")
	}
	return files[0] != files[1] && trim(files[0]) == trim(files[1])
}

func checkDoc(t *testing.T, f sourceFile) {
	t.Helper()
	text := strings.TrimSpace(f.ast.Doc.Text())
	if len(text) < shortestDoc {
		t.Errorf("%s: package comment %q says too little: say what the package is, what it owns and who calls it", f.path, text)
	}
	name := f.ast.Name.Name
	if name != "main" && !strings.HasPrefix(text, "Package "+name+" ") {
		t.Errorf("%s: package comment begins %.30q, want %q, as go doc expects", f.path, text, "Package "+name+" …")
	}
}

// TestNoDumpingGrounds: a package is named for what it provides. These names provide nothing, so everything ends up there.
func TestNoDumpingGrounds(t *testing.T) {
	bad := map[string]bool{"util": true, "utils": true, "common": true, "helper": true, "helpers": true, "misc": true, "shared": true, "types": true}
	for _, f := range readSources(t) {
		if bad[f.ast.Name.Name] || bad[path.Base(f.dir())] {
			t.Errorf("%s: package %s: name a package for what it provides", f.path, f.ast.Name.Name)
		}
	}
}

// TestNoInitFunctions: whatever registers itself at import time cannot be seen, replaced or left out by main.
func TestNoInitFunctions(t *testing.T) {
	for _, f := range readSources(t) {
		if f.generated() || f.isTest() {
			continue
		}
		for _, name := range topLevelFuncs(f) {
			if name == "init" {
				t.Errorf("%s: has an init function: construct it explicitly where the program is put together", f.path)
			}
		}
	}
}
