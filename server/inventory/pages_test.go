package inventory_test

import (
	"fmt"
	"strings"
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/inventory"
)

// A machine that says too much of itself must not make the list too long for a message.
func TestPagesAreBoundedInBytes(t *testing.T) {
	f := newFixture(t)
	const size = 200 << 10
	for n := range 12 {
		id := f.enrol("lyon", fmt.Sprintf("press-%d", n))
		if err := f.FactsChanged(t.Context(), id, &agentv1.Facts{OsVersion: strings.Repeat("x", size)}); err != nil {
			t.Fatal(err)
		}
	}
	seen, token := 0, ""
	for {
		page, next, err := f.Terminals(t.Context(), admin, nil, inventory.Page{Token: token}, false)
		if err != nil {
			t.Fatal(err)
		}
		if bytes := len(page) * size; bytes > 2<<20 {
			t.Errorf("a page of %d bytes, want 2 MiB at most", bytes)
		}
		if seen += len(page); next == "" {
			break
		}
		token = next
	}
	if seen != 12 {
		t.Errorf("%d terminals on all pages, want 12", seen)
	}
}
