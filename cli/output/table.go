package output

import (
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Column is one column of a table of T.
type Column[T any] struct {
	Title string
	// Wide columns are shown with -o wide only.
	Wide bool
	// Text returns the cell as it came; the table escapes it.
	Text func(T) string
	// Style may be nil.
	Style func(T) Style
}

// Rows prints a table without lines: titles, then a row each.
func Rows[T any](p *Printer, wide bool, columns []Column[T], rows []T) {
	w := table.NewWriter()
	w.SetStyle(plainStyle())
	w.SuppressTrailingSpaces()
	shown := visible(columns, wide)
	w.AppendHeader(header(p, shown))
	for _, row := range rows {
		w.AppendRow(cells(p, shown, row))
	}
	p.Raw(Painted(w.Render() + "\n"))
}

func visible[T any](columns []Column[T], wide bool) []Column[T] {
	var out []Column[T]
	for _, c := range columns {
		if wide || !c.Wide {
			out = append(out, c)
		}
	}
	return out
}

func header[T any](p *Printer, columns []Column[T]) table.Row {
	row := make(table.Row, len(columns))
	for i, c := range columns {
		row[i] = string(p.Paint(Bold, c.Title))
	}
	return row
}

func cells[T any](p *Printer, columns []Column[T], of T) table.Row {
	row := make(table.Row, len(columns))
	for i, c := range columns {
		style := Plain
		if c.Style != nil {
			style = c.Style(of)
		}
		row[i] = string(p.Paint(style, orDash(c.Text(of))))
	}
	return row
}

// orDash keeps columns apart for programs that split at blanks.
func orDash(cell string) string {
	if cell == "" {
		return "-"
	}
	return cell
}

func plainStyle() table.Style {
	s := table.StyleDefault
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "   "
	s.Format.Header = text.FormatDefault
	s.Options = table.OptionsNoBordersAndSeparators
	return s
}
