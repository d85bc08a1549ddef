package certificates

import (
	"fmt"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// placed is a certificate with its place in the order of all.
type placed struct {
	place       string
	certificate *fleetv1.FleetCertificate
}

// placeOf is where a certificate stands in the list: by its end, then by whose it is. No two have the same.
func placeOf(c *fleetv1.FleetCertificate) string {
	end := store.Number(uint64(max(0, c.GetCertificate().GetNotAfter().GetSeconds())))
	return string(end) + strings.Join([]string{
		fmt.Sprint(int32(c.GetOwner())), c.GetTerminalId(), c.GetHolder(), c.GetCertificate().GetStore(), c.GetCertificate().GetSha256(),
	}, "\x00")
}

// latest is a heap with the certificate that ends last at its head.
type latest []placed

// full reports whether there is one more than a page has.
func (h latest) full(size int) bool { return len(h) == size+1 }

// last is the end of the head, in seconds since 1970.
func (h latest) last() int64 { return int64(store.ParseNumber([]byte(h[0].place[:8]))) }

// Len implements heap.Interface.
func (h latest) Len() int { return len(h) }

// Less implements heap.Interface.
func (h latest) Less(i, j int) bool { return h[i].place > h[j].place }

// Swap implements heap.Interface.
func (h latest) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *latest) Push(x any) {
	if p, ok := x.(placed); ok {
		*h = append(*h, p)
	}
}

// Pop implements heap.Interface.
func (h *latest) Pop() any {
	old := *h
	p := old[len(old)-1]
	*h = old[:len(old)-1]
	return p
}
