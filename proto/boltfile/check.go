package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"
)

// The page format of bbolt, version 2, all numbers in the machine's byte order (little-endian everywhere we run):
//
//	page    id u64, flags u16, count u16, overflow u32 (further pages that belong to it), then by kind
//	meta    magic u32, version u32, page size u32, flags u32, root page u64, root sequence u64, freelist page u64,
//	        high-water mark u64 (pages in use end here), transaction u64, FNV-1a of all that u64
//	branch  count × (key offset u32, key size u32, child page u64), keys; offsets count from the element
//	leaf    count × (flags u32, key offset u32, key size u32, value size u32), keys and values
//	free    count × page u64; count 0xffff means that the first number is the count
const (
	pageHeader  = 16
	metaSize    = 64
	elementSize = 16
	bucketSize  = 16

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagMeta   = 0x04
	flagFree   = 0x10

	leafBucket = 0x01

	magic       = 0xED0CDAED
	version     = 2
	noFreelist  = ^uint64(0)
	minPageSize = 1 << 10
	maxPageSize = 1 << 24
	manyIDs     = 0xffff

	// maxDepth bounds nested buckets and tree levels; a sound file of any size that fits a disk stays far below.
	maxDepth = 64
)

// damage is what is wrong with a file, as opposed to a failure to read it.
type damage struct{ reason string }

func (d *damage) Error() string { return d.reason }

func damaged(format string, args ...any) error { return &damage{fmt.Sprintf(format, args...)} }

// checker walks a file with plain reads: nothing is mapped, so no damage can make it fault.
type checker struct {
	metaOnly bool
	sealed   bool

	file     io.ReaderAt
	size     int64
	pageSize uint64
	meta     meta
	// used has a bit per page that something refers to.
	used bitset
}

type meta struct{ root, freelist, end, tx uint64 }

func checkFile(path string, c checker) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("file %q: is not a regular file", path)
	}
	c.file, c.size = f, info.Size()
	return c.check()
}

func (c *checker) check() error {
	if err := c.readMetas(); err != nil || c.metaOnly {
		return err
	}
	c.used = newBitset(c.meta.end)
	c.used.set(0)
	c.used.set(1)
	if err := c.checkTree(c.meta.root, 0); err != nil {
		return err
	}
	if err := c.checkFreelist(); err != nil {
		return err
	}
	if lost, ok := c.used.firstUnset(); ok {
		return damaged("page %d is neither used nor free", lost)
	}
	return nil
}

// readMetas finds the meta page of the last complete transaction. One of the two may be torn by a crash.
func (c *checker) readMetas() error {
	if c.size == 0 {
		return damaged("it is empty")
	}
	first, pageSize, ok := c.readMeta(0)
	if !ok {
		// The second meta page lies one page further on, and the page size stands only in a meta page.
		for pageSize = minPageSize; pageSize <= maxPageSize; pageSize *= 2 {
			var size uint64
			if first, size, ok = c.readMeta(int64(pageSize)); ok && size == pageSize {
				break
			}
			ok = false
		}
		if !ok {
			return damaged("neither of its two meta pages is sound")
		}
	} else if second, size, ok := c.readMeta(int64(pageSize)); ok && size == pageSize && second.tx > first.tx {
		first = second
	}
	c.meta, c.pageSize = first, pageSize
	hi, need := bits.Mul64(first.end, pageSize)
	if hi != 0 || need > uint64(c.size) {
		return damaged("it is cut off: %d bytes long, at least %d belong to it", c.size, need)
	}
	if first.root < 2 || first.root >= first.end {
		return damaged("its root page %d does not exist", first.root)
	}
	return nil
}

func (c *checker) readMeta(offset int64) (m meta, pageSize uint64, ok bool) {
	var b [pageHeader + metaSize]byte
	if _, err := c.file.ReadAt(b[:], offset); err != nil {
		return meta{}, 0, false
	}
	p, le := b[pageHeader:], binary.LittleEndian
	sum := fnv.New64a()
	_, _ = sum.Write(p[:metaSize-8]) // never fails: see hash.Hash
	pageSize = uint64(le.Uint32(p[8:]))
	ok = le.Uint32(p) == magic && le.Uint32(p[4:]) == version && le.Uint64(p[56:]) == sum.Sum64() &&
		pageSize >= minPageSize && pageSize <= maxPageSize && pageSize&(pageSize-1) == 0
	return meta{root: le.Uint64(p[16:]), freelist: le.Uint64(p[32:]), end: le.Uint64(p[40:]), tx: le.Uint64(p[48:])}, pageSize, ok
}

// readPage reads a page with its overflow and marks all of it as used; twice used is damage, which also ends any cycle.
func (c *checker) readPage(id uint64) ([]byte, error) {
	if id < 2 || id >= c.meta.end {
		return nil, damaged("a reference to page %d, which does not exist", id)
	}
	var header [pageHeader]byte
	if err := c.read(header[:], id); err != nil {
		return nil, err
	}
	if got := binary.LittleEndian.Uint64(header[:]); got != id {
		return nil, damaged("page %d says that it is page %d", id, got)
	}
	pages := uint64(binary.LittleEndian.Uint32(header[12:])) + 1
	if pages > c.meta.end-id {
		return nil, damaged("page %d reaches beyond the end", id)
	}
	for i := range pages {
		if !c.used.set(id + i) {
			return nil, damaged("page %d is used twice", id+i)
		}
	}
	page := make([]byte, pages*c.pageSize)
	return page, c.read(page, id)
}

func (c *checker) read(b []byte, id uint64) error {
	_, err := c.file.ReadAt(b, int64(id*c.pageSize))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("page %d is cut off", id)
	}
	return err
}

func (c *checker) checkFreelist() error {
	if c.meta.freelist == noFreelist {
		return damaged("it has no list of free pages")
	}
	page, err := c.readPage(c.meta.freelist)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	if le.Uint16(page[8:]) != flagFree {
		return damaged("page %d is not the list of free pages", c.meta.freelist)
	}
	ids, count := page[pageHeader:], uint64(le.Uint16(page[10:]))
	if count == manyIDs {
		count, ids = le.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damaged("the list of free pages is longer than its page")
	}
	for i := range count {
		id := le.Uint64(ids[i*8:])
		if id < 2 || id >= c.meta.end {
			return damaged("page %d is listed as free and does not exist", id)
		}
		if !c.used.set(id) {
			return damaged("page %d is listed as free and is used", id)
		}
	}
	return nil
}
