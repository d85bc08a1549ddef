package main

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// An agent takes 512 items and 256 KiB from one phase of a plugin, and ends a run that sends more: a machine with very many certificates
// gets a report that is cut, not none.
const (
	maxFound       = 200
	maxFoundBytes  = 80 << 10
	maxReportBytes = 140 << 10
)

func (s *scan) find(rule string, level actionv1.FindingLevel, subject, value, expected, message string) {
	s.found = append(s.found, &actionv1.Finding{Rule: rule, Level: level, Subject: subject, Value: value, Expected: expected, Message: message})
}

// tell records what was found and what the machine holds; of too much, the worst.
func (s *scan) tell() {
	kept := s.worst()
	for _, f := range kept {
		s.r.Finding(f)
	}
	if more := len(s.found) - len(kept); more > 0 {
		s.r.Evidence("findings", "%d more are left out, none of them worse than those that are told", more)
	}
	if s.unlisted > 0 {
		s.r.Evidence("certificates", "%d more are not in the report: there is no room for them", s.unlisted)
	}
}

// worst are all findings where there is room for them, in their order, else the worst.
func (s *scan) worst() []*actionv1.Finding {
	if kept := fitting(s.found); len(kept) == len(s.found) {
		return kept
	}
	sorted := slices.Clone(s.found)
	slices.SortStableFunc(sorted, func(a, b *actionv1.Finding) int { return cmp.Compare(b.GetLevel(), a.GetLevel()) })
	return fitting(sorted)
}

func fitting(found []*actionv1.Finding) []*actionv1.Finding {
	bytes := 0
	for i, f := range found {
		if bytes += proto.Size(f); i == maxFound || bytes > maxFoundBytes {
			return found[:i]
		}
	}
	return found
}

// list puts the certificates into the report: all of those with keys, and of the authorities, of which a machine has hundreds, the ones
// that something depends on and the ones that end.
func (s *scan) list() {
	size := proto.Size(s.report)
	for _, store := range []string{storeWebHosting, storeMy, storeRoot, storeCA} {
		for _, c := range s.stores[store] {
			own := store == storeWebHosting || store == storeMy
			ends := c.GetNotAfter().AsTime().Sub(s.now) < firstWarning
			if !own && !ends && !s.needed[c.GetSha256()] {
				continue
			}
			if size += proto.Size(c); size > maxReportBytes {
				s.unlisted++
				continue
			}
			s.report.Certificates = append(s.report.Certificates, c)
		}
	}
}
