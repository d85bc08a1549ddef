package logs

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/bandfleet/bandfleet/agent/collect"
)

// masked is what stands in place of a name or a secret.
const masked = collect.Masked

// What in a line of a log is a name or a secret by what stands around it: the second group of each. What stands in the first and the third stays.
var patterns = []*regexp.Regexp{
	// "C:\Users\Ada Lovelace\AppData", "/home/ada", and the same with doubled backslashes in JSON.
	regexp.MustCompile(`(?i)([\\/](?:users|home|documents and settings|profiles)[\\/]+)([^\\/"'<>|:*?\s]+(?: [^\\/"'<>|:*?\s]+){1,3})([\\/])`),
	regexp.MustCompile(`(?i)([\\/](?:users|home|documents and settings|profiles)[\\/]+)([^\\/"'<>|:*?\s]+)()`),
	// "ada@example.org": all of it.
	regexp.MustCompile(`()([\p{L}\p{N}._%+'-]+@[\p{L}\p{N}.-]+)()`),
	// "CORP\ada". A drive or a folder in front of it makes it a path.
	regexp.MustCompile(`((?:^|[^\\/:\p{L}\p{N}._$-])[\p{L}\p{N}.-]{1,64}\\{1,2})([\p{L}\p{N}._$-]+)()`),
	// "user: Ada Lovelace", "username=ada", "samAccountName":"ada", "CN=Ada".
	regexp.MustCompile(`(?i)(\b(?:user|username|user[ _-]?name|userid|user[ _-]?id|login|logon|account|accountname|samaccountname|upn|principal|operator|owner|employee|person|displayname|givenname|surname|cn)\b["']?\s*[:=]\s*["']?)([^\s"',;|)\]}=]+(?-i:\s+\p{Lu}[\p{L}.'-]*){0,3})()`),
	// "password: x", "token=x", "Bearer x".
	regexp.MustCompile(`(?i)([\w.-]*(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credential|apikey|api_key|otp|setup code|private key|authorization)[\w.-]*["']?\s*[:=]\s*)("[^"]*"?|'[^']*'?|(?:bearer |basic )?[^\s,;]+)()`),
	regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)([\w.~+/=-]{6,})()`),
	// Base64 and the like: nothing that a person reads.
	regexp.MustCompile(`()([A-Za-z0-9+/_-]{48,}={0,2})()`),
}

// afterUser is a name in a sentence: "for user ada", "Account 'ada' is locked".
var afterUser = regexp.MustCompile(`(?i)(\b(?:user|username|user name|login|logon|account|operator|employee)\s+["'(\[]?)([^\s"',;:)\]]+)()`)

// plainWords are what follows the word "user" without being a name.
func plainWords() []string {
	return []string{
		"a", "an", "and", "any", "are", "as", "at", "authenticated", "authentication", "by", "can", "cannot", "could", "data", "does", "enrolled", "error", "failed",
		"for", "from", "group", "had", "has", "have", "id", "in", "info", "information", "interface", "is", "lookup", "login", "logged", "must", "name", "no", "not", "of", "on", "or",
		"policy", "profile", "registered", "session", "settings", "signed", "store", "the", "to", "unknown", "was", "were", "will", "with",
	}
}

// mask returns a line for people: as it is, but for names and secrets.
func (n *names) mask(line string) string {
	text := collect.MaskLine(n.known(clean(line)))
	for _, p := range patterns {
		text = maskGroups(p, text, nil)
	}
	text = maskGroups(afterUser, text, isPlain)
	// What was masked may have parted a known name before.
	return n.known(text)
}

// maskGroups masks the second group of each match, unless it may stay.
func maskGroups(p *regexp.Regexp, text string, stays func(string) bool) string {
	if !p.MatchString(text) {
		return text
	}
	return p.ReplaceAllStringFunc(text, func(match string) string {
		groups := p.FindStringSubmatch(match)
		if groups == nil || stays != nil && stays(groups[2]) {
			return match
		}
		return groups[1] + masked + groups[3]
	})
}

// isPlain says whether a word is none that must be masked.
func isPlain(word string) bool {
	word = strings.ToLower(strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
	return word == "" || slices.Contains(plainWords(), word)
}
