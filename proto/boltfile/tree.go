package boltfile

import (
	"bytes"
	"encoding/binary"
)

// checkTree checks one bucket: its pages, the order of its keys, and the buckets in it.
func (c *checker) checkTree(root uint64, depth int) error {
	return c.checkPage(root, depth, &order{})
}

// order watches the keys of one bucket as they are met from left to right.
type order struct {
	// last is the greatest key of a leaf so far, nil before the first.
	last []byte
	// least is the key under which the current page hangs: its own keys may not be less.
	least []byte
}

func (o *order) holds(key []byte) bool {
	return (o.last == nil || bytes.Compare(o.last, key) < 0) && bytes.Compare(o.least, key) <= 0
}

// checkPage checks a page and all below it.
func (c *checker) checkPage(id uint64, depth int, o *order) error {
	if depth > maxDepth {
		return damaged("page %d is nested too deeply", id)
	}
	page, err := c.readPage(id)
	if err != nil {
		return err
	}
	switch binary.LittleEndian.Uint16(page[8:]) {
	case flagBranch:
		return c.checkBranch(id, page, depth, o)
	case flagLeaf:
		return c.checkLeaf(id, page, depth, o)
	default:
		return damaged("page %d is of no kind that belongs into a tree", id)
	}
}

func (c *checker) checkBranch(id uint64, page []byte, depth int, o *order) error {
	n, err := elements(id, page)
	if err != nil {
		return err
	}
	if n == 0 {
		return damaged("branch page %d is empty", id)
	}
	data := dataOf(page, n)
	for i := range n {
		at := pageHeader + i*elementSize
		e := page[at:]
		key, ok := data.next(at, binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:]))
		if !ok {
			return damaged("page %d: key %d does not lie where it should", id, i)
		}
		if !o.holds(key) {
			return damaged("page %d: key %d is out of order", id, i)
		}
		o.least = key
		if err := c.checkPage(binary.LittleEndian.Uint64(e[8:]), depth+1, o); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) checkLeaf(id uint64, page []byte, depth int, o *order) error {
	n, err := elements(id, page)
	if err != nil {
		return err
	}
	if n == 0 && bytes.ContainsFunc(page[pageHeader:], func(r rune) bool { return r != 0 }) {
		return damaged("page %d says that it is empty and is not", id)
	}
	le, data := binary.LittleEndian, dataOf(page, n)
	for i := range n {
		at := pageHeader + i*elementSize
		e := page[at:]
		keySize, valueSize := le.Uint32(e[8:]), le.Uint32(e[12:])
		key, ok := data.next(at, le.Uint32(e[4:]), keySize)
		if !ok {
			return damaged("page %d: key %d does not lie where it should", id, i)
		}
		value, ok := data.next(at, le.Uint32(e[4:])+keySize, valueSize)
		if !ok {
			return damaged("page %d: value %d does not lie where it should", id, i)
		}
		if !o.holds(key) {
			return damaged("page %d: key %d is out of order", id, i)
		}
		o.last = key
		if le.Uint32(e)&leafBucket != 0 {
			err = c.checkBucket(id, value, depth)
		} else if c.sealed {
			err = checkSeal(id, key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkBucket checks a nested bucket, which is either a tree of its own or a small leaf page inside the value.
func (c *checker) checkBucket(id uint64, value []byte, depth int) error {
	if len(value) < bucketSize {
		return damaged("page %d: a bucket is cut off", id)
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return c.checkTree(root, depth+1)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || binary.LittleEndian.Uint16(inline[8:]) != flagLeaf || depth > maxDepth {
		return damaged("page %d: a bucket in it is not sound", id)
	}
	return c.checkLeaf(id, inline, depth+1, &order{})
}

func checkSeal(id uint64, key, value []byte) error {
	if _, err := UnsealFor(key, value); err != nil {
		return damaged("page %d: the record of key %q does not agree with its checksum", id, key)
	}
	return nil
}

// elements returns how many elements a page says that it has, when they fit.
func elements(id uint64, page []byte) (int, error) {
	n := int(binary.LittleEndian.Uint16(page[10:]))
	if pageHeader+n*elementSize > len(page) {
		return 0, damaged("page %d has more entries than it can hold", id)
	}
	return n, nil
}

// pageData reads the keys and values of a page one after the other. bbolt writes them without a gap right after the entries,
// so a wrong count of entries shows too: the first key is not where it should be.
type pageData struct {
	page []byte
	at   uint64
}

func dataOf(page []byte, entries int) *pageData {
	return &pageData{page, uint64(pageHeader + entries*elementSize)}
}

// next returns the following size bytes, when they lie within the page and begin at offset from base.
func (d *pageData) next(base int, offset, size uint32) ([]byte, bool) {
	end := d.at + uint64(size)
	if uint64(base)+uint64(offset) != d.at || end > uint64(len(d.page)) {
		return nil, false
	}
	text := d.page[d.at:end:end]
	d.at = end
	return text, true
}

// bitset is a set of page numbers below its size.
type bitset struct {
	words []uint64
	size  uint64
}

func newBitset(size uint64) bitset { return bitset{words: make([]uint64, (size+63)/64), size: size} }

// set adds i and reports whether it was new.
func (b bitset) set(i uint64) bool {
	w, bit := &b.words[i/64], uint64(1)<<(i%64)
	fresh := *w&bit == 0
	*w |= bit
	return fresh
}

func (b bitset) firstUnset() (uint64, bool) {
	for i := range b.size {
		if b.words[i/64]&(1<<(i%64)) == 0 {
			return i, true
		}
	}
	return 0, false
}
