package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth is how deep values may be nested; entries need nine levels.
const maxDepth = 16

// decode reads exactly one YAML document without anchors and aliases, in which every key is known. So no text is larger in memory than a small
// multiple of what it is on the disk.
func decode(text []byte, into any) error {
	root := &yaml.Node{}
	if err := yaml.Unmarshal(text, root); err != nil {
		return plain(err)
	}
	if root.Kind == 0 {
		return errors.New("is empty")
	}
	if err := checkNode(root, 0); err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return plain(err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return errors.New("has more than one document; keep one")
	}
	return nil
}

// checkNode refuses what nobody needs and what makes texts explode.
func checkNode(n *yaml.Node, depth int) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return fmt.Errorf("line %d: has an anchor or an alias, which are not allowed; write the value out", n.Line)
	}
	if depth > maxDepth {
		return fmt.Errorf("line %d: is nested too deep", n.Line)
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && isRegexp(child.Value) {
			return fmt.Errorf("line %d: %s: regular expressions are not allowed, because one can take for ever; write literals in all, any and none, and a code",
				child.Line, child.Value)
		}
		if err := checkNode(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func isRegexp(key string) bool {
	switch strings.ToLower(key) {
	case "regexp", "regex", "regexps", "pattern", "patterns":
		return true
	}
	return false
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// plain takes the words of Go types out of the decoder's messages.
func plain(err error) error {
	var bad *yaml.TypeError
	if !errors.As(err, &bad) {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	lines := make([]string, len(bad.Errors))
	for i, line := range bad.Errors {
		lines[i] = unknownField.ReplaceAllString(line, "unknown key $1")
	}
	return errors.New(strings.Join(lines, "; "))
}
