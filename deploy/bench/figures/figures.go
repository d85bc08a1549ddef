// Package figures makes numbers that can be compared out of samples that cannot: medians, percentiles, and the tables that the
// documentation carries. The benchmark's program is its only caller.
package figures

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Percentile returns the least sample that at least p percent of the samples do not exceed (nearest rank); NaN without samples.
func Percentile(samples []float64, p float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Median is the middle sample; of an even number, the mean of the two in the middle.
func Median(samples []float64) float64 {
	n := len(samples)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Table is a table in Markdown.
type Table struct {
	rows [][]string
}

// NewTable begins a table with its head.
func NewTable(head ...string) *Table { return &Table{rows: [][]string{head}} }

// Row adds a row. Numbers are written with three significant digits, whole ones and text as they are.
func (t *Table) Row(cells ...any) {
	var row []string
	for _, c := range cells {
		row = append(row, cell(c))
	}
	t.rows = append(t.rows, row)
}

func cell(c any) string {
	f, ok := c.(float64)
	switch {
	case !ok:
		return fmt.Sprint(c)
	case math.IsNaN(f):
		return "-"
	case math.Abs(f) >= 100:
		return thousands(int64(math.Round(f)))
	case math.Abs(f) >= 10:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.2f", f)
	}
}

// thousands writes 12345 as 12,345.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// Write writes the table with its columns aligned.
func (t *Table) Write(w io.Writer) {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for n, row := range t.rows {
		fmt.Fprint(w, "|")
		for i, c := range row {
			fmt.Fprintf(w, " %s%s |", c, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)))
		}
		fmt.Fprintln(w)
		if n > 0 {
			continue
		}
		fmt.Fprint(w, "|")
		for _, width := range widths {
			fmt.Fprintf(w, "%s|", strings.Repeat("-", width+2))
		}
		fmt.Fprintln(w)
	}
}
