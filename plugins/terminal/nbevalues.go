package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Keys of nbe.toml (guide: Editing the nbe.toml File).
const (
	keyAgentURL     = "agent_url"
	keyWindowTap    = "rssi_window_tap"
	keyWindowLong   = "rssi_window_long"
	keyTapThreshold = "rssi_tap_threshold"
	keyCutoffClose  = "rssi_cutoff_close"
	keyCutoffFar    = "rssi_cutoff_far"
)

// What the guide says that holds when neither nbe.toml nor nbe.default.toml has the key.
const (
	guideCutoffClose = -70
	guideCutoffFar   = -75
)

// numberKeys are the keys that are parameters of the same name, in the order of the guide.
func numberKeys() []string {
	return []string{keyWindowTap, keyWindowLong, keyTapThreshold, keyCutoffClose, keyCutoffFar}
}

// allKeys are the keys that the vendor documents.
func allKeys() []string { return append([]string{keyAgentURL}, numberKeys()...) }

// tapKeys are the keys that decide how a tap is recognised.
func tapKeys() []string { return []string{keyTapThreshold, keyWindowTap} }

// textOf returns a key's value in a file, as TOML text, and whether it is there.
func textOf(c *actionv1.ConfigState, key string) (string, bool) {
	for _, v := range c.GetValues() {
		if v.GetKey() == key {
			return v.GetValue(), true
		}
	}
	return "", false
}

// decode reads TOML text. What is no TOML stays text.
func decode(text string) any {
	var doc map[string]any
	if strings.ContainsAny(text, "\r\n") || toml.Unmarshal([]byte("value = "+text), &doc) != nil || len(doc) != 1 {
		return text
	}
	return doc["value"]
}

// same says whether two texts mean the same value: the endpoint reads values, not how they are written.
func same(a, b string) bool {
	x, y := decode(a), decode(b)
	switch x.(type) {
	case string, int64, float64, bool:
		return x == y
	}
	return a == b
}

// number returns a key's integer in the first of the files that has one.
func number(key string, files ...*actionv1.ConfigState) (int64, bool) {
	for _, c := range files {
		if text, ok := textOf(c, key); ok {
			n, isNumber := decode(text).(int64)
			return n, isNumber
		}
	}
	return 0, false
}

// inWords writes a value of a file for people.
func inWords(c *actionv1.ConfigState, key string) string {
	if text, ok := textOf(c, key); ok {
		return text
	}
	return "not set"
}

// quoted writes an address as TOML text.
func quoted(address string) (text string, ok bool) {
	if strings.ContainsAny(address, "\"\\") {
		return "", false
	}
	text = strconv.Quote(address)
	return text, decode(text) == address
}

// pointer returns a pointer to a file's value, nil when the key is not there.
func pointer(c *actionv1.ConfigState, key string) *string {
	if text, ok := textOf(c, key); ok {
		return &text
	}
	return nil
}

// differing names the keys that two files do not have alike, save agent_url and those of except, sorted.
func differing(a, b *actionv1.ConfigState, except map[string]string) []string {
	keys := map[string]bool{}
	for _, c := range []*actionv1.ConfigState{a, b} {
		for _, v := range c.GetValues() {
			keys[v.GetKey()] = true
		}
	}
	delete(keys, keyAgentURL)
	maps.DeleteFunc(keys, func(key string, _ bool) bool {
		x, inA := textOf(a, key)
		y, inB := textOf(b, key)
		_, excepted := except[key]
		return excepted || inA && inB && same(x, y)
	})
	return slices.Sorted(maps.Keys(keys))
}
