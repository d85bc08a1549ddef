//go:build realhost

package host

import (
	"net/netip"
	"testing"
	"unsafe"
)

// TestLayoutOfTheDriversStructures: offsets and sizes as a C compiler has them for http.h on 64-bit Windows. The structures of SNI are not
// in the header that was at hand; they are the documented key (a SOCKADDR_STORAGE, a string) before the same parameters.
func TestLayoutOfTheDriversStructures(t *testing.T) {
	var p sslParam
	for name, c := range map[string]struct{ got, want uintptr }{
		"hash": {unsafe.Offsetof(p.hash), 8}, "application": {unsafe.Offsetof(p.appID), 16}, "store": {unsafe.Offsetof(p.store), 32},
		"check mode": {unsafe.Offsetof(p.checkMode), 40}, "freshness": {unsafe.Offsetof(p.freshness), 44},
		"retrieval timeout": {unsafe.Offsetof(p.retrievalTimeout), 48}, "trust list": {unsafe.Offsetof(p.trustList), 56},
		"store of the trust list": {unsafe.Offsetof(p.trustListStore), 64}, "flags": {unsafe.Offsetof(p.flags), 72},
		"parameters": {unsafe.Sizeof(p), 80}, "record by address": {unsafe.Sizeof(byAddress{}), 88}, "query by address": {unsafe.Sizeof(addressQuery{}), 24},
		"token of a query": {unsafe.Offsetof(addressQuery{}.token), 16}, "room for an address": {unsafe.Sizeof(sockaddr{}), 128},
		"record by host": {unsafe.Sizeof(byHost{}), 216}, "query by host": {unsafe.Sizeof(hostQuery{}), 152},
	} {
		if c.got != c.want {
			t.Errorf("%s is at or of %d bytes, want %d: the driver would read something else", name, c.got, c.want)
		}
	}
}

func TestRecordsKeepAllThatTheyHold(t *testing.T) {
	want := sslRecord{
		sha1: "0a0b0c", store: "WebHosting", appID: iisAppID(), checkMode: 1, freshness: 2, retrievalTimeout: 3, flags: 4,
		trustList: "list", trustListStore: "WebHosting",
	}
	p, err := want.param()
	if err != nil || p.record() != want {
		t.Errorf("record comes back as %+v, %v; want %+v", p.record(), err, want)
	}
	if p, err = (sslRecord{}).param(); err != nil || p.record() != (sslRecord{}) || p.hash != nil || p.store != nil {
		t.Errorf("an empty record becomes %+v, %v; want nothing but zeros", p, err)
	}
}

func TestAddressesOfTheDriver(t *testing.T) {
	bytes := func(k sslKey) [8]byte {
		room := k.sockaddr()
		return [8]byte((*[128]byte)(unsafe.Pointer(&room))[:8])
	}
	const ipv4, ipv6 = 2, 23 // AF_INET, AF_INET6
	for name, c := range map[string]struct {
		key  sslKey
		want [8]byte
	}{
		"any":  {sslKey{address: netip.IPv4Unspecified(), port: 443}, [8]byte{ipv4, 0, 1, 0xbb}},
		"one":  {sslKey{address: netip.MustParseAddr("10.1.2.3"), port: 8443}, [8]byte{ipv4, 0, 0x20, 0xfb, 10, 1, 2, 3}},
		"host": {sslKey{host: "nes.example", port: 443}, [8]byte{ipv4, 0, 1, 0xbb}},
		"six":  {sslKey{address: netip.MustParseAddr("fe80::1"), port: 443}, [8]byte{ipv6, 0, 1, 0xbb}},
	} {
		if got := bytes(c.key); got != c.want {
			t.Errorf("%s: address begins with %v, want %v", name, got, c.want)
		}
	}
}
