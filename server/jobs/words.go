package jobs

import "fmt"

// countOf writes a number with its noun: "1 terminal", "3 terminals".
func countOf(n int, noun string) string { return fmt.Sprintf("%d %s", n, choose(n, noun, noun+"s")) }

// choose returns the word that goes with a number.
func choose(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
