package sealed

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MaxName is the greatest length of a secret's name, in bytes.
const MaxName = 100

// scheme begins a reference to a secret.
const scheme = "secret:"

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// CheckName checks the name of a secret.
func CheckName(name string) error {
	if len(name) > MaxName || !namePattern.MatchString(name) {
		return fmt.Errorf("secret %.100q: a name has 1 to %d lower case letters, digits, dots, dashes and underscores, and begins with a letter or digit",
			name, MaxName)
	}
	return nil
}

// Reference returns the reference to a secret, as a parameter of an action holds it.
func Reference(name string) string { return scheme + name }

// NameOf returns the name that a reference ("secret:NAME") holds. A text that is none is not repeated: it may be the secret itself.
func NameOf(reference string) (string, error) {
	name, ok := strings.CutPrefix(reference, scheme)
	if !ok || CheckName(name) != nil {
		return "", errors.New("this is no reference to a secret; write secret:NAME, with a name of `fleetctl secret list`")
	}
	return name, nil
}

func check(terminalID, name string) error {
	if terminalID == "" {
		return fmt.Errorf("secret %.100q: for which terminal is not said", name)
	}
	return CheckName(name)
}
