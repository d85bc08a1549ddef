package selector

import "slices"

// parser reads tokens from the left; it never goes back.
type parser struct {
	text   string
	tokens []token
	known  []*key
	depth  int
}

func (p *parser) peek() token { return p.tokens[0] }

// take returns the next token. The end stays.
func (p *parser) take() token {
	t := p.tokens[0]
	if t.kind != endToken {
		p.tokens = p.tokens[1:]
	}
	return t
}

// takes takes the next token if it is of one of the kinds.
func (p *parser) takes(kinds ...kind) bool {
	if !slices.Contains(kinds, p.peek().kind) {
		return false
	}
	p.take()
	return true
}

func (p *parser) fail(t token, format string, args ...any) error {
	return failAt(p.text, t.offset, format, args...)
}

func (p *parser) parse() (node, error) {
	if p.peek().kind == endToken {
		return nil, p.fail(p.peek(), "the expression is empty; write for example site=lyon")
	}
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	switch t := p.peek(); t.kind {
	case endToken:
		return n, nil
	case ")":
		return nil, p.fail(t, "there is no ( for this )")
	default:
		return nil, p.fail(t, "and, or, or the end is missing before %s", p.name(t))
	}
}

// name writes a token for a message.
func (p *parser) name(t token) string {
	switch t.kind {
	case endToken:
		return "the end"
	case wordToken, quotedToken:
		return quote(clip(t.value))
	default:
		return string(t.kind)
	}
}

func (p *parser) expression() (node, error) {
	return p.chain(p.term, func(nodes []node) node { return anyOf(nodes) }, "or")
}

func (p *parser) term() (node, error) {
	return p.chain(p.factor, func(nodes []node) node { return allOf(nodes) }, "and", ",")
}

// chain reads one node or several with separators between them.
func (p *parser) chain(read func() (node, error), join func([]node) node, separators ...kind) (node, error) {
	var nodes []node
	for {
		n, err := read()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		if !p.takes(separators...) {
			break
		}
	}
	if len(nodes) == 1 {
		return nodes[0], nil
	}
	return join(nodes), nil
}

func (p *parser) factor() (node, error) {
	t := p.take()
	switch t.kind {
	case "not":
		n, err := p.deeper(t, p.factor)
		return negation{n}, err
	case "(":
		return p.group(t)
	case "!":
		return p.absent()
	case wordToken:
		return p.comparison(t)
	default:
		return nil, p.fail(t, "a key is missing before %s; %s", p.name(t), knownKeys())
	}
}

// deeper reads something one level further down.
func (p *parser) deeper(at token, read func() (node, error)) (node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(at, "this is nested more than %d deep; write it with fewer parentheses", maxDepth)
	}
	defer func() { p.depth-- }()
	return read()
}

func (p *parser) group(open token) (node, error) {
	n, err := p.deeper(open, p.expression)
	if err != nil {
		return nil, err
	}
	switch t := p.peek(); {
	case p.takes(")"):
		return n, nil
	case t.kind == endToken:
		return nil, p.fail(open, "this ( is not closed")
	default:
		return nil, p.fail(t, "and, or, or ) is missing before %s", p.name(t))
	}
}
