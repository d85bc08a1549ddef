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

// seed begins each checksum. It is not 0, so that four zero bytes are no valid record.
const seed = 0x6b657964

// SealFor makes the record of a key: a seeded CRC-32C of key and payload (big-endian), then the payload. So damage to the key,
// or a record under another's key, is found too.
func SealFor(key, payload []byte) []byte {
	record := make([]byte, sealSize+len(payload))
	binary.BigEndian.PutUint32(record, checksum(key, payload))
	copy(record[sealSize:], payload)
	return record
}

// UnsealFor returns the payload of a key's record, which shares the record's memory, or ErrCorrupt.
func UnsealFor(key, record []byte) ([]byte, error) {
	if len(record) < sealSize {
		return nil, ErrCorrupt
	}
	payload := record[sealSize:]
	if binary.BigEndian.Uint32(record) != checksum(key, payload) {
		return nil, ErrCorrupt
	}
	return payload, nil
}

// checksum begins with the key's length, so that no byte can pass from the key to the payload.
func checksum(key, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(seed, table, binary.BigEndian.AppendUint32(nil, uint32(len(key))))
	return crc32.Update(crc32.Update(sum, table, key), table, payload)
}
