package configfile

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// element is an element of an XML file with the places of its parts.
type element struct {
	name string
	// path is the names from the root down ("configuration/system.diagnostics").
	path     string
	parent   *element
	children []*element
	// start is its start tag, content what stands between that and the end tag. An empty element (<value/>) has no content.
	start, content, end span
	empty               bool
	attrs               map[string]attr
	// text is its own text; plain says that nothing but text and references stands in its content.
	text  strings.Builder
	plain bool
}

// attr is an attribute: its value as it is meant, and where its text stands between the quotes.
type attr struct {
	value string
	span  span
	quote byte
}

// maxDepth bounds how deep elements stand in each other.
const maxDepth = 128

// scanner reads the elements of an XML file and judges whether it is well formed, more strictly than the package that it is built on.
type scanner struct {
	d   *document
	dec *xml.Decoder
	// open are the elements around the place that was reached.
	open     []*element
	elements []*element
	roots    int
}

// readXML finds the elements of a file and has read pick the values among them.
func (d *document) readXML(read func(*document, []*element) error) error {
	s := &scanner{d: d, dec: xml.NewDecoder(bytes.NewReader(d.text))}
	s.dec.CharsetReader = s.charset
	for {
		from := int(s.dec.InputOffset())
		token, err := s.dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s.problem(err)
		}
		if err := s.token(token, span{from: from, to: int(s.dec.InputOffset())}); err != nil {
			return err
		}
	}
	if err := s.complete(); err != nil {
		return err
	}
	return read(d, s.elements)
}

// charset takes the encodings that the bytes were decoded by. Other ones are taken as long as all is ASCII; what is written then is ASCII too.
func (s *scanner) charset(label string, in io.Reader) (io.Reader, error) {
	label = strings.ToLower(label)
	if strings.HasPrefix(label, "utf-16") && s.d.enc.order != nil {
		return in, nil
	}
	s.d.ascii = true
	if slices.ContainsFunc(s.d.text, func(b byte) bool { return b >= 0x80 }) {
		return nil, malformed(1, "says that its encoding is %q, and it has letters outside ASCII; save it as UTF-8", clip(label))
	}
	return in, nil
}

func (s *scanner) problem(err error) error {
	var own *MalformedError
	if errors.As(err, &own) {
		return own
	}
	line, problem := lineAt(s.d.text, int(s.dec.InputOffset())), err.Error()
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		line, problem = syntax.Line, syntax.Msg
	}
	return s.d.problemAt(line, problem)
}

func (s *scanner) token(token xml.Token, at span) error {
	switch t := token.(type) {
	case xml.StartElement:
		return s.startElement(t, at)
	case xml.EndElement:
		return s.endElement(t, at)
	case xml.CharData:
		return s.chars(t, at)
	case xml.Directive:
		return malformed(lineAt(s.d.text, at.from), "has a document type or another declaration, which a configuration file has not")
	case xml.ProcInst:
		if t.Target == "xml" && at.from != 0 {
			return malformed(lineAt(s.d.text, at.from), "has its XML declaration behind other text")
		}
	}
	s.mark()
	return nil
}

// mark notes that something else than text stands in the element around.
func (s *scanner) mark() {
	if e := s.around(); e != nil {
		e.plain = false
	}
}

// around is the innermost element that is open; nil outside the root.
func (s *scanner) around() *element {
	if len(s.open) == 0 {
		return nil
	}
	return s.open[len(s.open)-1]
}

func (s *scanner) chars(t xml.CharData, at span) error {
	e := s.around()
	if e == nil {
		if len(bytes.TrimSpace(t)) > 0 {
			raw := at.of(s.d.text)
			return malformed(lineAt(s.d.text, at.to-len(bytes.TrimLeft(raw, " \t\r\n"))), "has text outside its root element")
		}
		return nil
	}
	if bytes.HasPrefix(at.of(s.d.text), []byte("<![CDATA[")) {
		e.plain = false
	}
	e.text.Write(t)
	return nil
}

func (s *scanner) startElement(t xml.StartElement, at span) error {
	s.mark()
	if len(s.open) == 0 {
		if s.roots++; s.roots > 1 {
			return malformed(lineAt(s.d.text, at.from), "has a second root element <%s>", clip(full(t.Name)))
		}
	}
	if len(s.open) == maxDepth {
		return malformed(lineAt(s.d.text, at.from), "has elements more than %d deep", maxDepth)
	}
	e := &element{name: full(t.Name), path: full(t.Name), parent: s.around(), start: at, plain: true, attrs: map[string]attr{}}
	e.content.from, e.empty = at.to, bytes.HasSuffix(at.of(s.d.text), []byte("/>"))
	if e.parent != nil {
		e.path, e.parent.children = e.parent.path+"/"+e.name, append(e.parent.children, e)
	}
	if err := s.attributes(e, t); err != nil {
		return err
	}
	s.open, s.elements = append(s.open, e), append(s.elements, e)
	return nil
}

func (s *scanner) endElement(t xml.EndElement, at span) error {
	e := s.around()
	if e == nil || e.name != full(t.Name) {
		problem := malformed(lineAt(s.d.text, at.from), "ends element <%s>, which is not open", clip(full(t.Name)))
		if e != nil {
			problem = malformed(lineAt(s.d.text, at.from), "ends element <%s>, and <%s> of line %d is not closed", clip(full(t.Name)), clip(e.name),
				lineAt(s.d.text, e.start.from))
		}
		return problem
	}
	e.content.to, e.end = at.from, at
	s.open = s.open[:len(s.open)-1]
	return nil
}

func (s *scanner) complete() error {
	if e := s.around(); e != nil {
		return malformed(lineAt(s.d.text, e.start.from), "element <%s> is not closed", clip(e.name))
	}
	if s.roots == 0 {
		return malformed(0, "has no root element")
	}
	return nil
}

// attributes finds the places of the attributes in a start tag, which was read as well formed.
func (s *scanner) attributes(e *element, t xml.StartElement) error {
	at := e.start.from
	for _, a := range t.Attr {
		quote := at + bytes.IndexAny(s.d.text[at:e.start.to], `"'`)
		if quote < at {
			return malformed(lineAt(s.d.text, at), "has an attribute %s without quotes", clip(full(a.Name)))
		}
		length := bytes.IndexByte(s.d.text[quote+1:e.start.to], s.d.text[quote])
		if length < 0 {
			return malformed(lineAt(s.d.text, at), "has an attribute %s whose quotes are not closed", clip(full(a.Name)))
		}
		place := span{from: quote + 1, to: quote + 1 + length}
		if err := s.attribute(e, full(a.Name), attr{value: a.Value, span: place, quote: s.d.text[quote]}); err != nil {
			return err
		}
		at = place.to + 1
	}
	return nil
}

func (s *scanner) attribute(e *element, name string, a attr) error {
	if _, twice := e.attrs[name]; twice {
		return malformed(lineAt(s.d.text, a.span.from), "has the attribute %s twice in one element", clip(name))
	}
	if bytes.IndexByte(a.span.of(s.d.text), '<') >= 0 {
		return malformed(lineAt(s.d.text, a.span.from), "has a < in the attribute %s", clip(name))
	}
	e.attrs[name] = a
	return nil
}

// full is a name with its prefix.
func full(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// changeXML replaces the text of a value.
func (d *document) changeXML(e *entry, value string) (splice, error) {
	text, err := d.escaped(value, e.quote)
	if err != nil {
		return splice{}, fmt.Errorf("key %q: the new value %w", clip(e.key), err)
	}
	if !e.empty {
		return splice{span: e.span, text: text}, nil
	}
	if text == "" {
		return splice{span: span{e.span.from, e.span.from}}, nil
	}
	// <value/> becomes <value>text</value>.
	return splice{span: span{e.span.from - len("/>"), e.span.from}, text: ">" + text + "</value>"}, nil
}
