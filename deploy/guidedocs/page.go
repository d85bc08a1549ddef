package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// made marks a page that this program wrote and may replace or remove.
const made = "<!-- Made by `make generate` from proto/catalogue/entries. Do not edit: change the entries. -->\n"

// indexName is the page that lists all entries.
const indexName = "README.md"

// pagesOf returns the text of each page by its file name.
func pagesOf(c *catalogue.Catalogue) map[string]string {
	pages := map[string]string{indexName: index(c), wordsName: words()}
	for _, chapter := range chapters(c) {
		pages[fileOf(chapter)] = page(c, chapter)
	}
	return pages
}

// chapters are the names of all chapters, in the guide's order.
func chapters(c *catalogue.Catalogue) (names []string) {
	for _, e := range c.Entries() {
		if !slices.Contains(names, e.Chapter) {
			names = append(names, e.Chapter)
		}
	}
	return names
}

// fileOf is the name of a chapter's page.
func fileOf(chapter string) string {
	words := strings.FieldsFunc(strings.ToLower(chapter), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-") + ".md"
}

func index(c *catalogue.Catalogue) string {
	var b strings.Builder
	b.WriteString(made)
	fmt.Fprintf(&b, "# The guide\n\nWhat can be wrong with terminals, NES hosts and bands, and what is asked for: %d entries, data version %s. "+
		"`fleetctl explain \"WORDS\"` searches them, `fleetctl catalogue show ENTRY` shows one.\n", len(c.Entries()), catalogue.DataVersion)
	for _, chapter := range chapters(c) {
		fmt.Fprintf(&b, "\n## [%s](%s)\n\n| entry | what | at | remedy |\n|---|---|---|---|\n", chapter, fileOf(chapter))
		for _, e := range c.Entries() {
			if e.Chapter == chapter {
				fmt.Fprintf(&b, "| [%s](%s#%s) | %s | %s | %s |\n", e.ID, fileOf(chapter), e.ID, plain(e.Title), e.Target, e.Remedy.Kind)
			}
		}
	}
	return b.String()
}

func page(c *catalogue.Catalogue, chapter string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n", made, chapter)
	for _, e := range c.Entries() {
		if e.Chapter == chapter {
			entry(&b, e)
		}
	}
	return b.String()
}

// entry writes all that people want to know of an entry.
func entry(b *strings.Builder, e *catalogue.Entry) {
	fmt.Fprintf(b, "\n## %s\n\n**%s.** %s\n\n| | |\n|---|---|\n", e.ID, plain(e.Title), plain(e.Symptom))
	row(b, "At", string(e.Target))
	row(b, "Shown as", codes(e.Says))
	row(b, "Numbers", codes(e.Codes))
	row(b, "Interrupts", plain(e.Remedy.Interrupts))
	points(b, "Causes", e.Causes)
	points(b, "Found when", e.FoundBy())
	remedy(b, e)
	person(b, e.Person)
	fmt.Fprintf(b, "\n**Gone when:** %s\n", plain(e.Verify))
}

func row(b *strings.Builder, name, text string) {
	if text != "" {
		fmt.Fprintf(b, "| %s | %s |\n", name, text)
	}
}

func points(b *strings.Builder, title string, texts []string) {
	if len(texts) == 0 {
		return
	}
	fmt.Fprintf(b, "\n**%s:**\n\n", title)
	for _, text := range texts {
		fmt.Fprintf(b, "- %s\n", plain(text))
	}
}

func remedy(b *strings.Builder, e *catalogue.Entry) {
	fmt.Fprintf(b, "\n**Bandfleet** %s.\n", e.Remedy.Words())
	if len(e.Remedy.Steps) > 0 {
		b.WriteString("\n")
	}
	for i, s := range e.Remedy.Steps {
		note := plain(strings.TrimPrefix(s.Words(), s.Action))
		if note != "" {
			note = " " + note
		}
		fmt.Fprintf(b, "%d. [%s](../actions/%s.md)%s: `%s`\n", i+1, s.Action, s.Action, note, s.Command(e.Target))
	}
}

func person(b *strings.Builder, p *catalogue.Person) {
	if p == nil {
		return
	}
	fmt.Fprintf(b, "\n**A person** (%s):\n\n", p.Assignee)
	for i, s := range p.Steps {
		note := ""
		if s.Timer > 0 {
			note += fmt.Sprintf(" Wait %s.", s.Timer)
		}
		if s.Optional {
			note += " (May be left out.)"
		}
		fmt.Fprintf(b, "%d. %s%s\n", i+1, plain(s.Do), note)
	}
}

// plain writes a text so that nothing in it is taken for marks of the page.
func plain(text string) string {
	return strings.NewReplacer(
		`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "|", `\|`, "\n", " ",
	).Replace(strings.TrimSpace(text))
}

// codes writes texts word for word.
func codes(texts []string) string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = "<code>" + plain(text) + "</code>"
	}
	return strings.Join(out, "<br>")
}
