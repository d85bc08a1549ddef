package explain

// Lengths of words from which one slip and two slips are forgiven, and from which the same beginning is enough.
const (
	oneSlip   = 4
	twoSlips  = 8
	beginning = 4
)

// How alike words are that are not the same.
const (
	alikeBeginning = 0.85
	alikeOneSlip   = 0.8
	alikeTwoSlips  = 0.65
)

// alike says how much one word is another: 1 for the same, 0 for something else. Numbers are never forgiven a slip.
func alike(a, b string) float64 {
	switch {
	case a == b:
		return 1
	case isNumber(a) || isNumber(b):
		return 0
	}
	if n := common(a, b); n >= beginning && n >= min(len(a), len(b))-1 && max(len(a), len(b))-n <= 4 {
		return alikeBeginning
	}
	shorter := min(len(a), len(b))
	switch {
	case shorter < oneSlip:
		return 0
	case slips(a, b, 1):
		return alikeOneSlip
	case shorter >= twoSlips && slips(a, b, 2):
		return alikeTwoSlips
	}
	return 0
}

func isNumber(word string) bool {
	for i := range len(word) {
		if word[i] >= '0' && word[i] <= '9' {
			return true
		}
	}
	return false
}

// common is how many bytes two words begin with alike.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// slips says whether b is a with at most so many slips: a letter too many, too few, another one, or two that changed places.
func slips(a, b string, most int) bool {
	if abs(len(a)-len(b)) > most {
		return false
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)] <= most
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
