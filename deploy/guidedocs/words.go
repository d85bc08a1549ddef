package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// wordsName is the page of all that entries may use.
const wordsName = "words.md"

// words is the page for those who write packs: signals, kinds of files, placeholders and roles.
func words() string {
	var b strings.Builder
	b.WriteString(made)
	b.WriteString("# What entries may use\n\n## Signals\n\nWhat the agent reads of its machine. The first value is the one that is wanted; a signal that cannot be read " +
		"is unknown, which opens no fault and ends none.\n\n| signal | values | at | what is read |\n|---|---|---|---|\n")
	for _, s := range catalogue.Signals() {
		help := plain(s.Help)
		if s.Subjects != "" {
			help += "; for each " + plain(s.Subjects)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, strings.Join(s.Values, ", "), s.Target, help)
	}
	b.WriteString("\n## Log files\n\n| kind | at | files |\n|---|---|---|\n")
	for _, c := range catalogue.Classes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, c.Target, plain(c.Help))
	}
	b.WriteString("\n## Placeholders\n\nIn parameters of steps.\n\n| placeholder | what stands there |\n|---|---|\n")
	placeholders := catalogue.Placeholders()
	for _, name := range slices.Sorted(maps.Keys(placeholders)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, plain(placeholders[name]))
	}
	fmt.Fprintf(&b, "\n## Roles of people\n\n%s.\n", strings.Join(catalogue.Roles(), ", "))
	return b.String()
}
