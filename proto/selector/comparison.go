package selector

import (
	"slices"
	"strings"
)

// absent reads what follows "!".
func (p *parser) absent() (node, error) {
	t := p.take()
	if t.kind != wordToken {
		return nil, p.fail(t, "after ! must come a key; before anything else write not")
	}
	k, err := p.key(t)
	if err != nil {
		return nil, err
	}
	if after := p.peek(); isOperator(after.kind) {
		return nil, p.fail(after, "! takes a key alone; write %s!=value, or not before the comparison", k.name)
	}
	n, err := p.bare(t, k)
	return negation{n}, err
}

func isOperator(k kind) bool {
	return slices.Contains([]kind{"=", "!=", "<", "<=", ">", ">=", "in", "notin"}, k)
}

// comparison reads what follows a key.
func (p *parser) comparison(t token) (node, error) {
	k, err := p.key(t)
	if err != nil {
		return nil, err
	}
	operator := p.peek()
	switch operator.kind {
	case "=", "!=":
		p.take()
		return p.equal(k, operator)
	case "in", "notin":
		p.take()
		return p.among(k, operator)
	case "<", "<=", ">", ">=":
		p.take()
		return p.ordered(k, operator)
	default:
		return p.bare(t, k)
	}
}

// bare makes a node of a key that stands alone.
func (p *parser) bare(t token, k *key) (node, error) {
	switch {
	case k.truth:
		return is{k}, nil
	case len(k.choices) > 0:
		return nil, p.fail(t, "%s alone does not say what is meant; write %s=%s", k.name, k.name, strings.Join(k.choices, "|"))
	case k.always:
		return nil, p.fail(t, "%s alone means every terminal; write %s=value", k.name, k.name)
	default:
		return is{k}, nil
	}
}

func (p *parser) equal(k *key, operator token) (node, error) {
	value, err := p.value(k)
	if err != nil {
		return nil, err
	}
	return newEquals(k, operator.kind == "!=", value), nil
}

func (p *parser) among(k *key, operator token) (node, error) {
	if t := p.peek(); !p.takes("(") {
		return nil, p.fail(t, "after %s must come values in parentheses, as in %s %s (a, b)", operator.kind, k.name, operator.kind)
	}
	var values []string
	for {
		value, err := p.value(k)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if p.takes(")") {
			return newEquals(k, operator.kind == "notin", values...), nil
		}
		if t := p.peek(); !p.takes(",") {
			return nil, p.fail(t, ", or ) is missing before %s", p.name(t))
		}
	}
}

// value reads a value that a key can be equal to.
func (p *parser) value(k *key) (string, error) {
	if k.order == byAge {
		return "", p.fail(p.peek(), "%s is an age; compare it with < or >, as in %s>1h", k.name, k.name)
	}
	t, err := p.operand(k)
	if err != nil {
		return "", err
	}
	if len(k.choices) > 0 && !slices.Contains(k.choices, k.fold(t.value)) {
		return "", p.fail(t, "%s is never %s; it is one of %s", k.name, p.name(t), strings.Join(k.choices, ", "))
	}
	return t.value, nil
}

// operand reads one value as it is written. A missing one is an error, so that an unset variable of a script never widens a
// selection.
func (p *parser) operand(k *key) (token, error) {
	t := p.take()
	switch {
	case slices.Contains(keywords, t.kind):
		return t, p.fail(t, "the value of %s is missing; if %s is the value, quote it", k.name, t.kind)
	case t.kind != wordToken && t.kind != quotedToken:
		return t, p.fail(t, "the value of %s is missing", k.name)
	case t.value == "":
		return t, p.fail(t, "the value of %s is empty", k.name)
	default:
		return t, nil
	}
}

func (p *parser) ordered(k *key, operator token) (node, error) {
	if k.order == unordered {
		return nil, p.fail(operator, "%s has no order; use =, !=, in or notin", k.name)
	}
	t, err := p.operand(k)
	if err != nil {
		return nil, err
	}
	n := compares{key: k, operator: operator.kind, written: t.value}
	if k.order == byAge {
		age, ok := parseAge(t.value)
		if !ok {
			return nil, p.fail(t, "%s is no duration; write 90s, 5m, 2h or 7d", p.name(t))
		}
		n.age = age
		return n, nil
	}
	if n.version, err = p.version(t); err != nil {
		return nil, err
	}
	return n, nil
}

func (p *parser) version(t token) (version, error) {
	v, ok := parseVersion(t.value)
	if !ok || v.suffix != "" {
		return v, p.fail(t, "%s is neither a number nor a dotted version such as 2.1", p.name(t))
	}
	return v, nil
}

func (p *parser) key(t token) (*key, error) {
	k, problem := findKey(p.known, t.value)
	if problem != "" {
		return nil, p.fail(t, "%s", problem)
	}
	return k, nil
}
