package boltfile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// ErrCorrupt says that a record or a file does not agree with its own checksum.
var ErrCorrupt = errors.New("is corrupt")

// sealSize is the length in bytes of the checksum before a payload.
const sealSize = 4

// Seeds of the two kinds of checksum. They are not 0, so that four zero bytes are no valid record.
const (
	seedBare  = 0x62616e64
	seedKeyed = 0x6b657964
)

// Seal makes a record: the seeded CRC-32C of the payload (big-endian), then the payload.
func Seal(payload []byte) []byte { return seal(checksum(seedBare, payload), payload) }

// Unseal returns a record's payload, which shares the record's memory, or ErrCorrupt.
func Unseal(record []byte) ([]byte, error) {
	return unseal(record, func(payload []byte) uint32 { return checksum(seedBare, payload) })
}

// SealFor is Seal with the record's key in the checksum: damage to the key, or a record under another's key, is found too.
func SealFor(key, payload []byte) []byte { return seal(keyedChecksum(key, payload), payload) }

// UnsealFor is Unseal for what SealFor made.
func UnsealFor(key, record []byte) ([]byte, error) {
	return unseal(record, func(payload []byte) uint32 { return keyedChecksum(key, payload) })
}

func seal(sum uint32, payload []byte) []byte {
	record := make([]byte, sealSize+len(payload))
	binary.BigEndian.PutUint32(record, sum)
	copy(record[sealSize:], payload)
	return record
}

func unseal(record []byte, sum func(payload []byte) uint32) ([]byte, error) {
	if len(record) < sealSize {
		return nil, ErrCorrupt
	}
	payload := record[sealSize:]
	if binary.BigEndian.Uint32(record) != sum(payload) {
		return nil, ErrCorrupt
	}
	return payload, nil
}

// keyedChecksum begins with the key's length, so that no byte can pass from the key to the payload.
func keyedChecksum(key, payload []byte) uint32 {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(key)))
	return checksum(checksum(checksum(seedKeyed, length), key), payload)
}

func checksum(sum uint32, text []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), text)
}
