package selector

import (
	"slices"
	"strings"
	"time"
)

// node is a part of an expression. Its depth is bounded by the parser.
type node interface {
	holds(Subject) bool
	// text writes the node so that it can stand where it binds that tightly.
	text(binding) string
}

// binding is how tightly the surroundings of a node bind.
type binding int

const (
	looseOr binding = iota
	withinAnd
	withinNot
)

// anyOf holds when one of its nodes does; it has two at least.
type anyOf []node

func (n anyOf) holds(s Subject) bool {
	return slices.ContainsFunc(n, func(one node) bool { return one.holds(s) })
}

func (n anyOf) text(b binding) string { return join(n, " or ", looseOr, b > looseOr) }

// allOf holds when all of its nodes do; it has two at least.
type allOf []node

func (n allOf) holds(s Subject) bool {
	return !slices.ContainsFunc(n, func(one node) bool { return !one.holds(s) })
}

func (n allOf) text(b binding) string { return join(n, " and ", withinAnd, b > withinAnd) }

func join(nodes []node, separator string, inner binding, parentheses bool) string {
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		parts[i] = n.text(inner)
	}
	text := strings.Join(parts, separator)
	if parentheses {
		text = "(" + text + ")"
	}
	return text
}

// negation holds when its node does not.
type negation struct{ node node }

func (n negation) holds(s Subject) bool { return !n.node.holds(s) }

func (n negation) text(binding) string {
	if alone, ok := n.node.(is); ok {
		return "!" + alone.key.name
	}
	return "not " + n.node.text(withinNot)
}

// is holds when something is known, or, of a key that is true or false, when it is true.
type is struct{ key *key }

func (n is) holds(s Subject) bool {
	value, known := n.key.value(s)
	return known && (!n.key.truth || value == "true")
}

func (n is) text(binding) string { return n.key.name }

// equals holds when something is known and is one of the values; negated, in all other cases.
type equals struct {
	key     *key
	negated bool
	// written are the values as they were given, and folded what they are compared by.
	written []string
	folded  map[string]bool
}

func newEquals(k *key, negated bool, values ...string) equals {
	n := equals{key: k, negated: negated, written: values, folded: make(map[string]bool, len(values))}
	for _, v := range values {
		n.folded[k.fold(v)] = true
	}
	return n
}

func (n equals) holds(s Subject) bool {
	value, known := n.key.value(s)
	return (known && n.folded[n.key.fold(value)]) != n.negated
}

func (n equals) text(binding) string {
	one, several := "=", " in "
	if n.negated {
		one, several = "!=", " notin "
	}
	if len(n.written) == 1 {
		return n.key.name + one + quote(n.written[0])
	}
	values := make([]string, len(n.written))
	for i, v := range n.written {
		values[i] = quote(v)
	}
	return n.key.name + several + "(" + strings.Join(values, ", ") + ")"
}

// compares holds when something is known, has an order, and stands so to the value.
type compares struct {
	key      *key
	operator kind
	written  string
	// One of them, by the key's order.
	version version
	age     time.Duration
}

func (n compares) holds(s Subject) bool {
	if n.key.order == byAge {
		age, known := n.key.age(s)
		return known && stands(n.operator, int(max(min(age-n.age, 1), -1)))
	}
	value, known := n.key.value(s)
	v, ok := parseVersion(value)
	return known && ok && stands(n.operator, v.compare(n.version))
}

// stands tells whether an operator holds for the outcome of a comparison: negative, zero or positive.
func stands(operator kind, outcome int) bool {
	switch operator {
	case "<":
		return outcome < 0
	case "<=":
		return outcome <= 0
	case ">":
		return outcome > 0
	default:
		return outcome >= 0
	}
}

func (n compares) text(binding) string { return n.key.name + string(n.operator) + quote(n.written) }

// quote writes a value with quotes if it needs them.
func quote(value string) string {
	bare := value != "" && !strings.ContainsFunc(value, func(r rune) bool { return !isBare(r) })
	for _, k := range keywords {
		bare = bare && !strings.EqualFold(value, string(k))
	}
	if bare {
		return value
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// clip shortens what a message repeats.
func clip(text string) string {
	const most = 63
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
