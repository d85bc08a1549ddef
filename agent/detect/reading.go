package detect

import (
	"slices"
	"strings"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// Reading is the value of a signal, as it was read last.
type Reading struct {
	// Signal is one of catalogue.Signals, Subject which of several it is about; empty when there is one only.
	Signal, Subject string
	// Value is one of the signal's, or catalogue.Unknown.
	Value string
	// Evidence is what was seen, ready to be shown: names of people are masked.
	Evidence []*agentv1.Evidence
	// Read is when, by the server's clock.
	Read time.Time

	// stable is what of the evidence tells a change that matters: not process ids or free bytes.
	stable string
}

// read makes a reading of a signal that has one subject only.
func read(signal, value string, seen ...seen) Reading { return readOf(signal, "", value, seen...) }

// readOf makes a reading. Of what was seen, the value comes first.
func readOf(signal, subject, value string, seen ...seen) Reading {
	r := Reading{Signal: signal, Subject: clean(subject, maxSubject), Value: value}
	r.Evidence = []*agentv1.Evidence{{Name: signal, Value: value}}
	stable := []string{signal, value}
	for _, s := range seen {
		if s.value = clean(mask(s.value), maxValue); s.value == "" {
			continue
		}
		r.Evidence = append(r.Evidence, &agentv1.Evidence{Name: s.name, Value: s.value})
		if !s.varies {
			stable = append(stable, s.name, s.value)
		}
	}
	r.stable = strings.Join(stable, "\x00")
	return r
}

// unknownOf is the reading of a signal that could not be taken.
func unknownOf(signal, subject string, why error) Reading {
	text := ""
	if why != nil {
		text = why.Error()
	}
	return readOf(signal, subject, catalogue.Unknown, said("cause", text))
}

// unknown are the readings of signals that could not be taken.
func unknown(why error, signals ...string) []Reading {
	var all []Reading
	for _, signal := range signals {
		all = append(all, unknownOf(signal, "", why))
	}
	return all
}

// seen is one thing that was seen.
type seen struct {
	name, value string
	// varies: it changes by itself while nothing that matters does.
	varies bool
}

func said(name, value string) seen { return seen{name: name, value: value} }

func varying(name, value string) seen { return seen{name, value, true} }

// either returns the first word when it is so, else the second.
func either(so bool, yes, no string) string {
	if so {
		return yes
	}
	return no
}

// what are the readings by signal and subject.
type what map[string]map[string]Reading

// all returns them sorted.
func (w what) all() []Reading {
	var list []Reading
	for _, subjects := range w {
		for _, r := range subjects {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Reading) int {
		if c := strings.Compare(a.Signal, b.Signal); c != 0 {
			return c
		}
		return strings.Compare(a.Subject, b.Subject)
	})
	return list
}
