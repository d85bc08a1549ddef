package store

import (
	"crypto/sha256"
	"encoding/hex"
)

// numberWidth is how wide a number in a key is, in bytes.
const numberWidth = 8

// PairKey is a key of two numbers, which sorts by the first.
func PairKey(first, second uint64) []byte { return append(Number(first), Number(second)...) }

// ParsePair reads the numbers out of a key that PairKey made; of anything else both are 0.
func ParsePair(key []byte) (first, second uint64) {
	if len(key) != 2*numberWidth {
		return 0, 0
	}
	return ParseNumber(key[:numberWidth]), ParseNumber(key[numberWidth:])
}

// FaultKey is the key under which the last fault of a terminal with this entry and subject is found. A subject may be any text: its hash
// stands for it.
func FaultKey(terminal, entry, subject string) []byte {
	return Key(Ordinal(terminal), entry, hashOf(subject))
}

// OpenFaultKey is the key of a fault under its site.
func OpenFaultKey(site string, number uint64) []byte { return append(Prefix(site), Number(number)...) }

// LastNumber reads the number at the end of a key.
func LastNumber(key []byte) uint64 { return ParseNumber(key[max(0, len(key)-numberWidth):]) }

// BreakerKey is the key of a breaker.
func BreakerKey(terminal, entry, subject, action string) []byte {
	return Key(Ordinal(terminal), entry, hashOf(subject), action)
}

// CommonKey is the key of what faults of a site have in common.
func CommonKey(site, kind, subject string) []byte { return Key(site, kind, hashOf(subject)) }

// UnmatchedKey is the key of a kind of line of a site.
func UnmatchedKey(site, class, template string) []byte {
	return Key(site, hashOf(class+separator+template))
}

// FindingKey is the key of a result whose findings are still to be looked at.
func FindingKey(job string, index uint32) []byte { return TaskKey(job, index) }

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
