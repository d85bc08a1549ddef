// Package record is what a proof of an entry of the catalogue notes: how the fault was found, what remedied it, and so which class the proof
// is of. The tests of deploy/e2e write it, and the program deploy/proof makes a page of it.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Class says how far an entry is proved.
type Class string

// The classes.
const (
	// A: found, or reported where only a person can know, and remedied by an action, over server, agent, plugins and a machine; the fault
	// ended with the job.
	A Class = "A"
	// B: found from what a machine really has, and handed to a person with its steps.
	B Class = "B"
	// C: said by a person, found again by its words, and handed to a person with its steps.
	C Class = "C"
)

// How a fault was found.
const (
	ByState  = "state"
	ByLog    = "log"
	ByPerson = "person"
)

// Proof is what was seen of one entry.
type Proof struct {
	Entry string `json:"entry"`
	Class Class  `json:"class"`
	// Found is how: ByState, ByLog or ByPerson.
	Found string `json:"found"`
	// Cause is what was done to the machine, or what the person said.
	Cause string `json:"cause"`
	// As is the entry whose fault it was, when it is another one.
	As string `json:"as,omitempty"`
	// Actions are those whose jobs ran for it, in their order.
	Actions []string `json:"actions,omitempty"`
	// Approved: somebody had to agree.
	Approved bool `json:"approved,omitempty"`
}

// Read reads the proofs of a file.
func Read(file string) ([]Proof, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var proofs []Proof
	if err := d.Decode(&proofs); err != nil {
		return nil, fmt.Errorf("%s: %w; run `make proof`", file, err)
	}
	return proofs, nil
}

// Update puts proofs in the place of those of the same entries, and leaves the others: a part of the proofs can be made again.
func Update(file string, proofs []Proof) error {
	kept, err := Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kept = slices.DeleteFunc(kept, func(k Proof) bool {
		return slices.ContainsFunc(proofs, func(p Proof) bool { return p.Entry == k.Entry })
	})
	return Write(file, append(kept, proofs...))
}

// Write writes proofs, in the order of their entries.
func Write(file string, proofs []Proof) error {
	proofs = slices.Clone(proofs)
	slices.SortFunc(proofs, func(a, b Proof) int { return strings.Compare(a.Entry, b.Entry) })
	text, err := json.MarshalIndent(proofs, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) // it is committed, so it is for all to read
}
