package logs

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	// maxTemplates is how many templates are counted at a time, maxTold how many are told; what comes less often is counted together.
	maxTemplates = 200
	maxTold      = 100
	// What is counted besides lines: those of templates that came too seldom to be kept, and bytes.
	otherTemplate   = "(other lines)"
	skippedTemplate = "(bytes that were not read because the file grew faster than it may be read)"
)

// unmatched counts lines that say "error" and match no rule, by template. So the fleet learns what rules are missing.
type unmatched struct {
	mu     sync.Mutex
	counts map[templateKey]uint64
	// others counts, for each class, the lines whose template is no longer kept.
	others map[string]uint64
}

type templateKey struct{ class, template string }

func newUnmatched() *unmatched {
	return &unmatched{counts: map[templateKey]uint64{}, others: map[string]uint64{}}
}

// addLine counts a line.
func (u *unmatched) addLine(class string, line []byte, n *names) {
	u.add(class, template(string(line[:min(len(line), maxEvidence)]), n), 1)
}

// add counts a template. When there are too many, the rarest makes room.
func (u *unmatched) add(class, text string, count uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := templateKey{class, text}
	if _, ok := u.counts[key]; !ok && len(u.counts) >= maxTemplates {
		rarest, least := templateKey{}, ^uint64(0)
		for k, n := range u.counts {
			if n < least {
				rarest, least = k, n
			}
		}
		delete(u.counts, rarest)
		u.others[rarest.class] += least
	}
	u.counts[key] += count
}

// take returns what was counted since the last call, and begins anew.
func (u *unmatched) take() *agentv1.UnmatchedLines {
	u.mu.Lock()
	counts, others := u.counts, u.others
	u.counts, u.others = map[templateKey]uint64{}, map[string]uint64{}
	u.mu.Unlock()
	all := inOrder(counts)
	room := max(0, min(len(all), maxTold-len(others)-1))
	for _, t := range all[room:] {
		others[t.GetFileClass()] += t.GetCount()
	}
	all = all[:room]
	for class, n := range others {
		all = append(all, &agentv1.UnmatchedTemplate{FileClass: class, Template: otherTemplate, Count: n})
	}
	slices.SortStableFunc(all, moreFirst)
	if len(all) == 0 {
		return nil
	}
	return &agentv1.UnmatchedLines{Templates: all}
}

func inOrder(counts map[templateKey]uint64) (all []*agentv1.UnmatchedTemplate) {
	for k, n := range counts {
		all = append(all, &agentv1.UnmatchedTemplate{FileClass: k.class, Template: k.template, Count: n})
	}
	slices.SortFunc(all, moreFirst)
	return all
}

func moreFirst(a, b *agentv1.UnmatchedTemplate) int {
	return cmp.Or(-cmp.Compare(a.GetCount(), b.GetCount()), cmp.Compare(a.GetFileClass(), b.GetFileClass()), cmp.Compare(a.GetTemplate(), b.GetTemplate()))
}

// saysError says whether a line tells of an error, in any case. It is asked of every line.
func saysError(line []byte) bool {
	for i := 0; i+5 <= len(line); i++ {
		switch line[i] | 0x20 {
		case 'e':
			if is(line[i:], "error") || is(line[i:], "exception") {
				return true
			}
		case 'f':
			if is(line[i:], "fatal") {
				return true
			}
		}
	}
	return false
}

// is says whether a text begins with a word in small letters, in any case.
func is(text []byte, word string) bool {
	return len(text) >= len(word) && bytes.EqualFold(text[:len(word)], []byte(word))
}
