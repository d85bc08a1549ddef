package params

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// referencePrefix begins every reference to a sealed secret.
	referencePrefix = "secret:"
	// maxSecretName is the longest name of a secret, in bytes.
	maxSecretName = 100
)

// compile returns a parameter's pattern, nil when it has none.
func compile(p *actionv1.Param) (*regexp.Regexp, error) {
	if p.GetPattern() == "" {
		return nil, nil
	}
	pattern, err := regexp.Compile(p.GetPattern())
	if err != nil {
		return nil, fmt.Errorf("has a bad pattern in the manifest: %w", err)
	}
	// With the longest match, a text matches whole exactly when the match is the text: no pattern can slip out of an anchor.
	pattern.Longest()
	return pattern, nil
}

func checkString(p *actionv1.Param, pattern *regexp.Regexp, text string) error {
	if !utf8.ValidString(text) {
		return errors.New("is not valid UTF-8")
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		return fmt.Errorf("has a control character at byte %d", i)
	}
	if err := inRange(p, int64(len(text)), fmt.Sprintf("%d bytes long", len(text)), parseInteger); err != nil {
		return err
	}
	if pattern == nil {
		return nil
	}
	if at := pattern.FindStringIndex(text); at == nil || at[0] != 0 || at[1] != len(text) {
		return fmt.Errorf("is %q, want %s", text, p.GetPatternWords())
	}
	return nil
}

// checkReference takes "secret:NAME" alone. Its errors never repeat the text: somebody may have typed the secret itself.
func checkReference(text string) error {
	name, ok := strings.CutPrefix(text, referencePrefix)
	switch {
	case !ok:
		return fmt.Errorf("is no reference to a secret, want %sNAME; the value itself is never a parameter", referencePrefix)
	case name == "" || len(name) > maxSecretName:
		return fmt.Errorf("names a secret with %d bytes, want 1 to %d after %q", len(name), maxSecretName, referencePrefix)
	case strings.ContainsFunc(name, foreignToNames):
		return errors.New("names a secret with other characters than lower case letters, digits, dots, dashes and underscores")
	}
	return nil
}

func foreignToNames(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}
