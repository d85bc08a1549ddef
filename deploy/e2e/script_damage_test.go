package e2e

import (
	"bytes"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

func flip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	// Both of bbolt's meta pages name it by checksum, so neither is believed any more.
	for _, at := range []int{40, 4096 + 40} {
		content[at] ^= 0xff
	}
	ts.Check(os.WriteFile(path, content, 0o600))
}

func alter(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 || len(args[1]) != len(args[2]) {
		ts.Fatalf("usage: alter FILE OLD NEW, both of the same length")
	}
	path, old, changed := ts.MkAbs(args[0]), []byte(args[1]), []byte(args[2])
	content, err := os.ReadFile(path)
	ts.Check(err)
	if !bytes.Contains(content, old) {
		ts.Fatalf("%s has no %q: nothing would be altered", path, old)
	}
	ts.Check(os.WriteFile(path, bytes.ReplaceAll(content, old, changed), 0o600))
}
