package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// table is a part of a TOML file: what stands between two headers.
type table struct {
	// path is the canonical key of the table ("a.b"); empty for the part before the first header.
	path string
	// array: a header of an array of tables, to which nothing is added.
	array bool
	// header is the line of the header; both are 0 for the first part.
	header span
}

// readTOML finds the values of a TOML file. Keys are dotted below tables; parts that are not bare keys are quoted. Of an array of tables
// each has its number: "peer[0].host".
func (d *document) readTOML() error {
	d.tables = []table{{}}
	counts := map[string]int{}
	p := unstable.Parser{KeepComments: true}
	p.Reset(d.text)
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			d.tables = append(d.tables, tableOf(d.text, e, counts))
		case unstable.KeyValue:
			e := d.entryOf(e)
			if err := d.add(e.span.from, "key", e); err != nil {
				return err
			}
		}
	}
	if err := p.Error(); err != nil {
		return d.tomlProblem(err)
	}
	// The parser of single lines does not see what contradicts itself: a table that is a value elsewhere, a number that is too large.
	var all map[string]any
	if err := toml.Unmarshal(d.text, &all); err != nil {
		return d.tomlProblem(err)
	}
	return nil
}

func tableOf(text []byte, e *unstable.Node, counts map[string]int) table {
	parts, end := partsOf(e.Key())
	t := table{header: span{from: lineStart(text, end), to: lineEnd(text, end)}, array: e.Kind == unstable.ArrayTable}
	for i, part := range parts {
		t.path = below(t.path, part)
		if t.array && i == len(parts)-1 {
			counts[t.path]++
		}
		if n := counts[t.path]; n > 0 {
			t.path = fmt.Sprintf("%s[%d]", t.path, n-1)
		}
	}
	return t
}

// below is the dotted key of a key in a table.
func below(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// partsOf returns the canonical parts of a dotted key and where it ends.
func partsOf(it unstable.Iterator) (parts []string, end int) {
	for it.Next() {
		n := it.Node()
		parts = append(parts, part(string(n.Data)))
		end = int(n.Raw.Offset + n.Raw.Length)
	}
	return parts, end
}

// part is a part of a key: bare where that is possible, else quoted.
func part(s string) string {
	bare := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if bare {
		return s
	}
	return fmt.Sprintf("%q", s)
}

func (d *document) entryOf(n *unstable.Node) entry {
	parts, end := partsOf(n.Key())
	from := end + bytes.IndexByte(d.text[end:], '=') + 1
	for d.text[from] == ' ' || d.text[from] == '\t' {
		from++
	}
	e := entry{span: span{from: from, to: int(n.Raw.Offset + n.Raw.Length)}, table: len(d.tables) - 1}
	e.key = below(d.tables[e.table].path, strings.Join(parts, "."))
	e.whole, e.value = e.span, string(e.span.of(d.text))
	if k := n.Value().Kind; k == unstable.Array || k == unstable.InlineTable {
		e.fixed = "holds several values, and only single values are edited"
	}
	return e
}

func (d *document) tomlProblem(err error) error {
	line, problem := 0, strings.TrimPrefix(err.Error(), "toml: ")
	var decode *toml.DecodeError
	var parse *unstable.ParserError
	switch {
	case errors.As(err, &decode):
		line, _ = decode.Position()
	case errors.As(err, &parse):
		problem = parse.Message
		line = d.lineOf(parse.Highlight)
	}
	return d.problemAt(line, problem)
}

// lineOf returns the line that a part of the text is on; 0 when it is no part of it.
func (d *document) lineOf(part []byte) int {
	at := cap(d.text) - cap(part)
	if part == nil || at < 0 || at > len(d.text) {
		return 0
	}
	return lineAt(d.text, at)
}

// problemAt says what is wrong with a line, in other words when it has the quotes of a text processor.
func (d *document) problemAt(line int, problem string) error {
	lines := bytes.Split(d.text, []byte("\n"))
	if line > 0 && line <= len(lines) && bytes.ContainsAny(lines[line-1], "“”„‘’") {
		problem = "has curly quotes where straight ones belong; retype them"
	}
	return &MalformedError{Line: line, Problem: clip(problem)}
}

// scalar says what is wrong with the text of a TOML value that is to be written.
func scalar(text string) error {
	p := unstable.Parser{}
	line := []byte("k=" + text)
	p.Reset(line)
	if !p.NextExpression() || p.Expression().Kind != unstable.KeyValue {
		return errors.New("is not a value of TOML; text is written in straight double quotes")
	}
	e := p.Expression()
	kind, whole := e.Value().Kind, int(e.Raw.Length) == len(line)
	var v map[string]any
	switch {
	case !whole, p.NextExpression(), p.Error() != nil, toml.Unmarshal(line, &v) != nil:
		return errors.New("is not a value of TOML; text is written in straight double quotes")
	case kind == unstable.Array, kind == unstable.InlineTable:
		return errors.New("holds several values, and only single values are edited")
	}
	return nil
}

// writtenKey returns the canonical form of a key.
func writtenKey(key string) (string, error) {
	p := unstable.Parser{}
	p.Reset([]byte(key + "=0"))
	if p.NextExpression() && p.Expression().Kind == unstable.KeyValue {
		parts, _ := partsOf(p.Expression().Key())
		if written := strings.Join(parts, "."); written == key && !p.NextExpression() {
			return written, nil
		}
	}
	return "", fmt.Errorf("key %q: is not a key of TOML", clip(key))
}
