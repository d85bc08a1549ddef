package collect

import (
	"bytes"
	"fmt"
	"io"
)

// block is how much is read at once when lines are counted from the end, in bytes.
const block = 64 << 10

// part is what of a file goes in.
type part struct {
	from io.Reader
	// size is in bytes.
	size uint64
	// note says what is missing; cut is true when that is so because the archive is full.
	note string
	cut  bool
}

// endOf finds the part of a file that goes in: its last lines, and of those as much as still fits.
func (a *archive) endOf(content io.Reader) (part, error) {
	file, err := seekable(content)
	if err != nil {
		return part{}, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return part{}, err
	}
	start := int64(0)
	p := part{from: file}
	if lines := int(a.asked.GetTail()); lines > 0 {
		if start, err = lastLines(file, size, lines); err != nil {
			return part{}, err
		}
		if start > 0 {
			p.note = fmt.Sprintf("the last %d lines of %d bytes", lines, size)
		}
	}
	if room := int64(a.left); size-start > room {
		start, p.cut = size-room, true
		p.note = fmt.Sprintf("cut: the last %d of %d bytes", room, size)
	}
	start = wholeUnits(file, start, size)
	p.size = uint64(size - start)
	_, err = file.Seek(start, io.SeekStart)
	return p, err
}

// seekable returns content as a file. What cannot be sought in (a machine in memory) is small.
func seekable(content io.Reader) (io.ReadSeeker, error) {
	if file, ok := content.(io.ReadSeeker); ok {
		return file, nil
	}
	text, err := io.ReadAll(content)
	return bytes.NewReader(text), err
}

// lastLines returns where the last n lines of a file begin. An unfinished last line counts as one.
func lastLines(file io.ReadSeeker, size int64, n int) (int64, error) {
	buffer := make([]byte, block)
	for end := size; end > 0; {
		begin := max(0, end-block)
		chunk := buffer[:end-begin]
		if _, err := file.Seek(begin, io.SeekStart); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(file, chunk); err != nil {
			return 0, err
		}
		for i := len(chunk) - 1; i >= 0; i-- {
			at := begin + int64(i)
			if chunk[i] != '\n' || endsWith(at, size, chunk, i) {
				continue
			}
			if n--; n == 0 {
				return at + 1, nil
			}
		}
		end = begin
	}
	return 0, nil
}

// endsWith says whether a line break is the file's last character, of one byte or of two.
func endsWith(at, size int64, chunk []byte, i int) bool {
	return at == size-1 || at == size-2 && chunk[i+1] == 0
}

// wholeUnits moves the beginning of a part to one of a character in files of two-byte characters, which their first bytes tell.
func wholeUnits(file io.ReadSeeker, start, size int64) int64 {
	mark := make([]byte, 2)
	if start == 0 || start%2 == 0 {
		return start
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return start
	}
	if _, err := io.ReadFull(file, mark); err != nil {
		return start
	}
	if bytes.Equal(mark, []byte{0xff, 0xfe}) || bytes.Equal(mark, []byte{0xfe, 0xff}) {
		return min(start+1, size)
	}
	return start
}
