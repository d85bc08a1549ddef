package match

// automaton finds all of many texts in one pass (A. V. Aho, M. J. Corasick: Efficient String Matching, 1975). Its states are rows of one
// table, with a column for each byte that stands in a text and one for all others.
type automaton struct {
	patterns []pattern
	column   [256]uint8
	columns  uint32
	// next has, for each state and column, where the next state's row begins, and the bit ending when a pattern ends there.
	next []uint32
	// ends lists, for each state, the patterns that end there; nil for most.
	ends [][]int
}

// ending is set in what next holds when the state has ends. So one word is read for each byte of a line.
const ending = 1 << 31

func newAutomaton(patterns []pattern) automaton {
	a := automaton{patterns: patterns, columns: 1}
	for _, p := range patterns {
		for i := range len(p.text) {
			if b := p.text[i]; a.column[b] == 0 {
				a.column[b] = uint8(a.columns) // folded texts never have all 256 bytes: there are no control characters
				a.columns++
			}
		}
	}
	a.addState()
	for i, p := range patterns {
		a.insert(i, p.text)
	}
	a.link()
	return a
}

func (a *automaton) addState() uint32 {
	at := uint32(len(a.next)) // maxTexts bounds it
	a.next = append(a.next, make([]uint32, a.columns)...)
	a.ends = append(a.ends, nil)
	return at
}

func (a *automaton) insert(number int, text string) {
	at := uint32(0)
	for i := range len(text) {
		cell := at + uint32(a.column[text[i]])
		if a.next[cell] == 0 {
			to := a.addState()
			a.next[cell] = to
		}
		at = a.next[cell]
	}
	a.ends[at/a.columns] = append(a.ends[at/a.columns], number)
}

// link fills in where to go on when a text goes no further: at the longest end of what was read that begins another.
func (a *automaton) link() {
	back := make([]uint32, len(a.ends))
	var queue []uint32
	for c := range a.columns {
		if to := a.next[c]; to != 0 {
			queue = append(queue, to)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		from := back[at/a.columns]
		a.ends[at/a.columns] = append(a.ends[at/a.columns], a.ends[from/a.columns]...)
		for c := range a.columns {
			to := a.next[at+c]
			if to == 0 {
				a.next[at+c] = a.next[from+c]
				continue
			}
			back[to/a.columns] = a.next[from+c]
			queue = append(queue, to)
		}
	}
	for i, to := range a.next {
		if len(a.ends[to/a.columns]) > 0 {
			a.next[i] = to | ending
		}
	}
}

// step goes on by one byte.
func (a *automaton) step(state uint32, b byte) uint32 {
	return a.next[state+uint32(a.column[b])] &^ ending
}

// scan reads a folded line from a state, notes what ends in it, and returns the state at its end. What began before the line is noted in
// across.
func (a *automaton) scan(state uint32, line []byte, now, across *found) uint32 {
	for i, b := range line {
		state = a.next[state+uint32(a.column[b])]
		if state >= ending {
			state &^= ending
			a.note(state, line, i+1, now, across)
		}
	}
	return state
}

func (a *automaton) note(state uint32, line []byte, end int, now, across *found) {
	for _, number := range a.ends[state/a.columns] {
		p := a.patterns[number]
		start := end - len(p.text)
		switch {
		case start < 0:
			across.set(number)
		case !p.code || standsAlone(line, start, end):
			now.set(number)
		}
	}
}

// standsAlone says whether what is between start and end is a whole number: no letter or digit is beside it, and it is no part of a time, a
// fraction, an address or a date.
func standsAlone(line []byte, start, end int) bool {
	if start > 0 {
		before := line[start-1]
		if isWord(before) || isInside(before) && start > 1 && isDigit(line[start-2]) {
			return false
		}
	}
	if end < len(line) {
		after := line[end]
		if isWord(after) || isInside(after) && end+1 < len(line) && isDigit(line[end+1]) {
			return false
		}
	}
	return true
}

func isWord(b byte) bool { return isDigit(b) || b >= 'a' && b <= 'z' || b == '_' || b >= 0x80 }

// isInside says whether a byte between digits makes them one thing.
func isInside(b byte) bool { return b == '.' || b == ',' || b == ':' || b == '-' || b == '/' }

// found is a set of patterns.
type found struct {
	bits []uint64
	any  bool
}

func (f *found) fit(m *machine) {
	words := (len(m.patterns) + 63) / 64
	if cap(f.bits) < words {
		f.bits = make([]uint64, words)
	}
	f.bits, f.any = f.bits[:words], true // what another machine left is not this one's
	f.clear()
}

func (f *found) set(n int) {
	f.bits[n/64] |= 1 << (n % 64)
	f.any = true
}

func (f *found) has(n int) bool { return f.bits[n/64]&(1<<(n%64)) != 0 }

func (f *found) clear() {
	if f.any {
		clear(f.bits)
		f.any = false
	}
}

func (f *found) add(o *found) {
	for i, w := range o.bits {
		f.bits[i] |= w
	}
	f.any = f.any || o.any
}
