package paging_test

import (
	"testing"

	"github.com/bandfleet/bandfleet/server/paging"
)

func TestSize(t *testing.T) {
	for asked, want := range map[int32]int{0: 100, 1: 1, 1000: 1000, 5000: 1000} {
		if got, err := paging.Size(asked); err != nil || got != want {
			t.Errorf("asked for %d: %d, %v; want %d", asked, got, err, want)
		}
	}
	if _, err := paging.Size(-1); err == nil {
		t.Error("a page of less than nothing is taken")
	}
}
