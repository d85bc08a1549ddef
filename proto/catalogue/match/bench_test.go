package match_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// manyRules is every rule of the catalogue and more of the same kind, 200 at least, all for one class of files.
func manyRules(b *testing.B) []*agentv1.LogRule {
	c, err := catalogue.Load()
	if err != nil {
		b.Fatal(err)
	}
	_, rules := catalogue.Rules(c, catalogue.Terminal)
	_, more := catalogue.Rules(c, catalogue.NESHost)
	rules = append(rules, more...)
	subjects := []string{"certificate", "Bluetooth Endpoint", "enrolment service", "band", "adapter", "domain", "application pool", "one-time password"}
	verbs := []string{"could not be found", "returned an error", "is missing", "timed out while waiting", "was refused by the server"}
	for i := 0; len(rules) < 200; i++ {
		text := fmt.Sprintf("%s %s", subjects[i%len(subjects)], verbs[i%len(verbs)])
		rules = append(rules, rule(fmt.Sprintf("more-%d", i), fmt.Sprint(5000+i), "The "+text, "in step"))
	}
	for _, r := range rules {
		r.FileClass = "nem"
	}
	return rules
}

// logText is lines as logs have them, about one in two hundred of which obeys a rule.
func logText() []byte {
	var text bytes.Buffer
	for i := range 4000 {
		fmt.Fprintf(&text, "2026-11-24 10:%02d:%02d,%03d [12] INFO  Nymi.Core.Session - sending update to nea {\"operation\":\"presence\",\"exchange\":\"%d\",\"status\":0,\"payload\":{}}\r\n", i/60%60, i%60, i%1000, i)
		if i%200 == 0 {
			text.WriteString("ERROR - The certificate could not be found in step 5000\r\n")
		}
	}
	return text.Bytes()
}

// eachLine hands over the lines of a text, as all three ways read them.
func eachLine(text []byte, do func(line []byte)) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		do(line)
		text = rest
	}
}

// BenchmarkLines measures all rules at once, beside reading and folding lines alone, and beside one regular expression for each rule.
func BenchmarkLines(b *testing.B) {
	rules, text := manyRules(b), logText()
	s, err := match.Compile(rules)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("rules", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		stream := s.Stream("nem")
		for b.Loop() {
			hits := 0
			eachLine(text, func(line []byte) { hits += len(stream.Line(line)) })
			if hits == 0 {
				b.Fatal("nothing was found, want some hits")
			}
		}
	})
	b.Run("scan", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		var folded []byte
		for b.Loop() {
			eachLine(text, func(line []byte) { folded = match.Fold(folded[:0], line) })
		}
	})
	b.Run("regexps", func(b *testing.B) { benchRegexps(b, rules, text) })
}

func benchRegexps(b *testing.B, rules []*agentv1.LogRule, text []byte) {
	var all []*regexp.Regexp
	for _, r := range rules {
		if len(r.GetAll()) > 0 {
			all = append(all, regexp.MustCompile("(?i)"+strings.ReplaceAll(regexp.QuoteMeta(r.GetAll()[0]), " ", `\s+`)))
		}
	}
	text = text[:len(text)/20] // it is slow
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		eachLine(text, func(line []byte) {
			for _, r := range all {
				r.Match(line)
			}
		})
	}
}
