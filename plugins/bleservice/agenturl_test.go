package bleservice

import (
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestPointsHere(t *testing.T) {
	h := &actionv1.HostState{Hostname: "Press-4.plant.example", Addresses: []string{"192.0.2.4", "fe80::1", "2001:db8::4"}}
	for url, want := range map[string]bool{
		"ws://127.0.0.1:9120/socket/websocket": true,
		"ws://127.3.2.1:9120/":                 true,
		"ws://[::1]:9120/":                     true,
		"ws://localhost:9120/":                 true,
		"ws://LOCALHOST:9120/":                 true,
		"ws://press-4:9120/":                   true,
		"ws://PRESS-4.Plant.Example.:9120/":    true,
		"ws://192.0.2.4/":                      true,
		"ws://[2001:db8:0::4]:1/":              true,
		"ws://press-4.other.example:9120/":     false,
		"ws://press-44:9120/":                  false,
		"ws://192.0.2.44/":                     false,
		"wss://central/":                       false,
	} {
		u, err := ParseAgentURL(url, "test")
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := u.PointsHere(h); got != want {
			t.Errorf("%s points to %s: %v, want %v", url, h.GetHostname(), got, want)
		}
	}
}

func TestParseAgentURL(t *testing.T) {
	for url, want := range map[string]string{
		"ws://127.0.0.1:9120/socket/websocket": "127.0.0.1:9120",
		"ws://central/":                        "central:80",
		"wss://central/":                       "central:443",
		"wss://[2001:db8::4]:8443/":            "[2001:db8::4]:8443",
	} {
		if u, err := ParseAgentURL(url, "test"); err != nil || u.Address() != want {
			t.Errorf("%s: address %q, %v; want %q", url, u.Address(), err, want)
		}
	}
	for _, url := range []string{"", "central:9120", "http://central/", "ws:///socket", "ws://central:0/", "ws://central:65536/", "ws://central:ws/", "ws://%zz/"} {
		if u, err := ParseAgentURL(url, "test"); err == nil {
			t.Errorf("%q was taken as %v", url, u)
		}
	}
}
