package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/deploy/proof/record"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// made marks the page.
const made = "<!-- Made by `make proof` from what the tests saw. Do not edit. -->\n"

// pageOf is the page of all entries, chapter by chapter.
func pageOf(c *catalogue.Catalogue, proofs []record.Proof) ([]byte, error) {
	of, err := byEntry(c, proofs)
	if err != nil {
		return nil, err
	}
	b := &bytes.Buffer{}
	b.WriteString(made + "# What is proved of each entry\n\n")
	b.WriteString(summaryOf(c, proofs) + "\n\n" + explained)
	chapter := ""
	for _, e := range c.Entries() {
		if e.Chapter != chapter {
			chapter = e.Chapter
			fmt.Fprintf(b, "\n## %s\n\n| entry | remedy | class | how it came to be known | what remedied it |\n|---|---|---|---|---|\n", chapter)
		}
		p := of[e.ID]
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", e.ID, e.Remedy.Kind, p.Class, known(p), remedied(e, p))
	}
	return b.Bytes(), nil
}

const explained = `Each row is a test of ` + "`deploy/e2e`" + ` over a real server, agent and plugins, on simulated machines whose services, files, certificates
and web servers are real processes and files of the operating system that the tests run on:

- **A**: the fault was found by the agent, or reported by a person where no machine can know of it, and an action remedied it from end to end:
  job, approval where one is needed, verified result, and the fault was resolved. A policy asks for the job where the entry allows it, else the
  desk does (` + "`fleetctl fix`" + `). Where a step only reads, a person put right what it showed. What a person reported, a person resolved.
- **B**: the fault was found by the agent from a service, a file, a line of a log, a device or a connection, and became work for a person, with
  its steps.
- **C**: a person reports it; ` + "`fleetctl explain`" + ` finds it by its words, and its work for a person was done step by step.

Lines of logs marked "guess" are texts that the vendor's guide shows on a screen. Nobody has seen them in a log, so they open faults and never start
an action.
`

// byEntry is the proof of each entry. One that is missing, or is of no entry, is an error.
func byEntry(c *catalogue.Catalogue, proofs []record.Proof) (map[string]record.Proof, error) {
	of := make(map[string]record.Proof, len(proofs))
	for _, p := range proofs {
		if _, twice := of[p.Entry]; twice || c.Entry(p.Entry) == nil {
			return nil, fmt.Errorf("entry %q: has two proofs, or is not in the catalogue; run `make proof`", p.Entry)
		}
		of[p.Entry] = p
	}
	for _, e := range c.Entries() {
		if _, ok := of[e.ID]; !ok {
			return nil, fmt.Errorf("entry %q: has no proof; add its cause in deploy/e2e and run `make proof`", e.ID)
		}
	}
	return of, nil
}

// summaryOf counts the classes. The README repeats it word for word.
func summaryOf(c *catalogue.Catalogue, proofs []record.Proof) string {
	count := map[record.Class]int{}
	for _, p := range proofs {
		count[p.Class]++
	}
	return fmt.Sprintf("Of %d entries, %d are remedied by an action from end to end (A), %d are found on the machine and done by a person (B), and %d are "+
		"reported and done by people (C).", len(c.Entries()), count[record.A], count[record.B], count[record.C])
}

// known says how the fault came to be known.
func known(p record.Proof) string {
	words := map[string]string{record.ByState: "state: ", record.ByLog: "line of a log: ", record.ByPerson: "a person: "}[p.Found] + p.Cause
	if p.As != "" {
		words += ", as `" + p.As + "`"
	}
	return cell(words)
}

// remedied says what ended it.
func remedied(e *catalogue.Entry, p record.Proof) string {
	if p.Class != record.A {
		return cell("a person (" + e.Person.Assignee + ")")
	}
	words := "`" + strings.Join(p.Actions, "`, `") + "`"
	if p.Approved {
		words += ", approved"
	}
	return words
}

// cell is text that does not end its cell.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
