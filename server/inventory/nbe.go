package inventory

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Bounds of signal strengths in dBm and of windows in measurements. The guide gives the signs; the rest is what no receiver
// leaves, so that a digit too many is found.
const (
	weakestSignal  = -127
	longestTapSpan = 1000
	// longestSpan is what the action that writes nbe.toml takes, too.
	longestSpan = 10_000
)

// nbeKeys are the keys of nbe.toml that the vendor documents, each with what is wrong with a value, or "".
func nbeKeys() map[string]func(any) string {
	return map[string]func(any) string{
		"agent_url":          agentURLProblem,
		"rssi_window_tap":    between(1, longestTapSpan),
		"rssi_window_long":   between(1, longestSpan),
		"rssi_tap_threshold": between(weakestSignal, 0),
		"rssi_cutoff_close":  between(weakestSignal, 0),
		"rssi_cutoff_far":    between(weakestSignal, -1),
	}
}

// nbeProblem says what is wrong with a wanted key of nbe.toml and its value in TOML, or "".
func nbeProblem(key, text string) string {
	check := nbeKeys()[key]
	if check == nil {
		return fmt.Sprintf("nbe.toml has no such key; it has %s", strings.Join(slices.Sorted(maps.Keys(nbeKeys())), ", "))
	}
	if len(text) > maxURL {
		return fmt.Sprintf("is %d bytes long, at most %d are allowed", len(text), maxURL)
	}
	value, ok := tomlValue(text)
	if !ok {
		return fmt.Sprintf("%s is no value in TOML; give a number such as -42, or text in double quotes", clipped(text))
	}
	return check(value)
}

// tomlValue reads one value on one line.
func tomlValue(text string) (value any, ok bool) {
	var doc map[string]any
	if strings.ContainsAny(text, "\r\n#") || toml.Unmarshal([]byte("value = "+text), &doc) != nil {
		return nil, false
	}
	value, ok = doc["value"]
	return value, ok && len(doc) == 1
}

func between(least, most int64) func(any) string {
	return func(value any) string {
		if n, ok := value.(int64); !ok || n < least || n > most {
			return fmt.Sprintf("is %v, want a whole number from %d to %d", value, least, most)
		}
		return ""
	}
}

func agentURLProblem(value any) string {
	text, ok := value.(string)
	u, err := url.Parse(text)
	if !ok || err != nil || u.Hostname() == "" || (u.Scheme != "ws" && u.Scheme != "wss") || u.User != nil {
		return `want the Nymi Agent's address in double quotes, such as "ws://127.0.0.1:9120/socket/websocket"`
	}
	return ""
}

// cutoffProblem wants far to be farther than close, unless close is 0, which switches proximity off.
func cutoffProblem(profile map[string]string) string {
	near, _ := tomlValue(profile["rssi_cutoff_close"])
	far, _ := tomlValue(profile["rssi_cutoff_far"])
	n, isNear := near.(int64)
	f, isFar := far.(int64)
	if !isNear || !isFar || n == 0 || f < n {
		return ""
	}
	return fmt.Sprintf("is %d, and must be less than rssi_cutoff_close, %d: a band would be far before it is not close any more", f, n)
}
