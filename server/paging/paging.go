// Package paging says how the lists of the API are asked for page by page, and refuses what is no page. Domain packages with lists
// whose tokens are ids or places call it.
package paging

import "github.com/bandfleet/bandfleet/server/refusal"

const (
	// Default is how many items a page has when no size is asked for.
	Default = 100
	// Most is how many items a page has at most.
	Most = 1000
)

// Size is how many items a page has of which this many are asked for.
func Size(asked int32) (int, error) {
	switch {
	case asked < 0:
		return 0, refusal.New(refusal.Invalid, "BAD_PAGE_SIZE", "page_size is %d, want 0 to %d", asked, Most).At("page_size").
			Then("give a number in that range, or leave it out")
	case asked == 0:
		return Default, nil
	default:
		return min(int(asked), Most), nil
	}
}

// BadToken refuses a token that no page of the list ended with.
func BadToken() error {
	return refusal.New(refusal.Invalid, "BAD_PAGE_TOKEN", "page_token: is none of this list").At("page_token").
		Then("use next_page_token of the page before, or leave it out")
}
