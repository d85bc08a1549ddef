package cli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// maxTable is how large a table may be, in bytes. The server takes less; this bounds what is read before it is asked.
const maxTable = 8 << 20

// maxBadLines is how many lines are named that do not fit the first one.
const maxBadLines = 100

// table is a table as it is sent.
type table struct {
	columns []string
	rows    []*fleetv1.ImportRow
}

// readTable reads CSV from a file, or from stdin when it is "-".
func readTable(path string, stdin io.Reader) (*table, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = readAtMost(stdin, maxTable)
	} else {
		text, err = readBounded(path, maxTable)
	}
	if err == nil {
		text, err = utf8Text(text)
	}
	if err != nil {
		return nil, exit.Errorf(exit.BadInput, "table %q: %v; nothing was imported", path, err)
	}
	t := &table{}
	problems, err := t.read(text)
	switch {
	case err != nil:
		return nil, exit.Errorf(exit.BadInput, "table %q: %v; nothing was imported", path, err)
	case len(problems) > 0:
		return nil, exit.Errorf(exit.BadInput, "table %q: %d lines do not fit the first one, which names %d columns; nothing was imported", path, len(problems), len(t.columns)).
			With(problems[:min(len(problems), maxBadLines)]...).Then("correct these lines, and import the table again")
	case len(t.rows) == 0:
		return nil, exit.Errorf(exit.BadInput, "table %q: has no rows", path).Then("name the columns in the first line, and write one row in each line after it")
	}
	t.dropEmptyColumns()
	return t, nil
}

// readAtMost refuses what is longer.
func readAtMost(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("is larger than %d bytes", most)
	}
	return text, err
}

// utf8Text takes off the mark that Windows puts before UTF-8, and refuses what is none.
func utf8Text(text []byte) ([]byte, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	for n, line := range slices.Collect(bytes.Lines(text)) {
		if !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
			return nil, fmt.Errorf("line %d is not UTF-8: save the table as \"CSV UTF-8\"", n+1)
		}
	}
	return text, nil
}

// read returns a problem for each line that has another number of cells than the first.
func (t *table) read(text []byte) (problems []string, err error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = delimiterOf(text), -1, true
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return problems, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		switch {
		case t.columns == nil:
			t.columns = lowered(cells)
		case len(cells) != len(t.columns):
			problems = append(problems, fmt.Sprintf("line %d: has %d cells", line, len(cells)))
		default:
			t.rows = append(t.rows, &fleetv1.ImportRow{Line: uint32(line), Cells: cells})
		}
	}
}

// delimiterOf tells by the first line: spreadsheets write semicolons where the comma is the decimal sign.
func delimiterOf(text []byte) rune {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	if bytes.Count(first, []byte(";")) > bytes.Count(first, []byte(",")) {
		return ';'
	}
	return ','
}

func lowered(cells []string) []string {
	out := make([]string, len(cells))
	for n, cell := range cells {
		out[n] = strings.ToLower(cell)
	}
	return out
}

// dropEmptyColumns leaves out columns that have no name and no cell, as spreadsheets write at the right end.
func (t *table) dropEmptyColumns() {
	for n := len(t.columns) - 1; n > 0; n-- {
		filled := func(r *fleetv1.ImportRow) bool { return r.GetCells()[n] != "" }
		if t.columns[n] != "" || slices.ContainsFunc(t.rows, filled) {
			continue
		}
		t.columns = slices.Delete(t.columns, n, n+1)
		for _, row := range t.rows {
			row.Cells = slices.Delete(row.GetCells(), n, n+1)
		}
	}
}
