// Command proof writes docs/guide/proof.md: for each entry of the catalogue, how it was proved that the product does what the entry says. The
// proofs are tests of deploy/e2e over a running fleet; they note what they saw in results.json, which this package reads. `make proof` runs
// both. The page and the results are committed, and a test fails when one of them is stale.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"github.com/bandfleet/bandfleet/deploy/proof/record"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

func main() {
	results := flag.String("results", "deploy/proof/results.json", "`file` with what the tests saw")
	page := flag.String("o", "docs/guide/proof.md", "`file` to write")
	flag.Parse()
	if err := run(*results, *page); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

func run(results, page string) error {
	proofs, err := record.Read(results)
	if err != nil {
		return err
	}
	c, err := catalogue.Load()
	if err != nil {
		return err
	}
	text, err := pageOf(c, proofs)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(page); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return os.WriteFile(page, text, 0o644) // a page is for all to read
}
