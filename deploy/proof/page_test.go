package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/deploy/proof/record"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

func committed(t *testing.T) (*catalogue.Catalogue, []record.Proof) {
	t.Helper()
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := record.Read("results.json")
	if err != nil {
		t.Fatal(err)
	}
	return c, proofs
}

// TestPageIsCurrent: the page says what the tests saw, and the README counts the same.
func TestPageIsCurrent(t *testing.T) {
	c, proofs := committed(t)
	want, err := pageOf(c, proofs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/guide/proof.md")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/guide/proof.md is not what results.json gives (%v): run `go run ./deploy/proof` and commit the page", err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := summaryOf(c, proofs); !strings.Contains(strings.Join(strings.Fields(string(readme)), " "), want) {
		t.Errorf("the README does not say %q: what it counts must be what was proved", want)
	}
}

// TestWhatAMachineMayDoIsProvedByAMachine: an entry with a remedy by a machine is proved from end to end.
func TestWhatAMachineMayDoIsProvedByAMachine(t *testing.T) {
	c, proofs := committed(t)
	of, err := byEntry(c, proofs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Entries() {
		if p := of[e.ID]; e.Remedy.Kind != catalogue.Guided && (p.Class != record.A || len(p.Actions) == 0) {
			t.Errorf("entry %q is %s and its proof is of class %q with actions %q, want A with actions", e.ID, e.Remedy.Kind, p.Class, p.Actions)
		}
		if p := of[e.ID]; len(e.Detect.State) > 0 && e.Remedy.Kind == catalogue.Guided && p.Class == record.C {
			t.Errorf("entry %q is found by state and its proof is of class C, want B: found on a machine", e.ID)
		}
	}
}

func TestPageNeedsAProofForEachEntry(t *testing.T) {
	c, err := catalogue.Parse([]byte("entries:\n  - {id: a, title: A, chapter: X, person: {assignee: site-desk, steps: [{do: this}]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	one, err := catalogue.New("1", c)
	if err != nil {
		t.Fatal(err)
	}
	for name, proofs := range map[string][]record.Proof{
		"none":            nil,
		"another's":       {{Entry: "b"}},
		"two of the same": {{Entry: "a"}, {Entry: "a"}},
	} {
		if _, err := pageOf(one, proofs); err == nil {
			t.Errorf("%s: the page was made, want an error that names the entry", name)
		}
	}
	page, err := pageOf(one, []record.Proof{{Entry: "a", Class: record.C, Found: record.ByPerson, Cause: "fleetctl fault report a | b"}})
	if err != nil || !strings.Contains(string(page), `| C | a person: fleetctl fault report a \| b | a person (site-desk) |`) {
		t.Errorf("the page is %s (%v), want the entry's row with what it holds escaped", page, err)
	}
}
