package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/journal"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	pageSize = 4096
	// sector is what a disk writes whole or not at all.
	sector = 512
	// metaPages are the two pages at the head of a file, of which a commit writes one, last.
	metaPages = 2
	// commits is long enough for the file to grow and for freed pages to be used again.
	commits = 60
	// losses is how many states each commit is lost in.
	losses = 12
	seed   = 20260301
)

// book is a durable file of ours: the server's store or the agent's journal.
type book interface {
	// write writes the n-th record; it is on disk when write returns.
	write(n int) error
	// read returns how many records there are, and an error when they are not the first ones as they were written.
	read() (int, error)
	Close() error
}

type opener func(path string) (book, error)

func books() map[string]opener {
	return map[string]opener{"store": openStore, "journal": openJournal}
}

// TestPowerLoss: whatever a loss of power leaves of a commit that was under way, the file opens, and all that was acknowledged
// before is in it. What a disk may leave are any of the sectors of the pages written, but the meta page only after all else.
func TestPowerLoss(t *testing.T) {
	for name, open := range books() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, seed))
			history := record(t, open)
			states := 0
			for n := 1; n < len(history); n++ {
				for range losses {
					checkLoss(t, open, lost(random, history[n-1], history[n]), n-1, n)
					states++
				}
				// Complete but for the answer.
				checkLoss(t, open, history[n], n, n)
			}
			if states < commits*losses || t.Failed() {
				t.Errorf("%d states were tried, seed %d", states, seed)
			}
		})
	}
}

// TestDamagedTail: a file whose last pages are cut off, zeroed or altered opens with everything, or is refused with a diagnosis and
// left as it is. It is never taken for an earlier one.
func TestDamagedTail(t *testing.T) {
	for name, open := range books() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, seed))
			history := record(t, open)
			refused := 0
			for n := 1; n < len(history); n++ {
				for range losses {
					if !opensWhole(t, open, damaged(random, history[n]), n) {
						refused++
					}
				}
			}
			if refused == 0 {
				t.Error("no damage was ever found: the damage is not where the records are")
			}
		})
	}
}

// record writes a book and returns what its file is like after each record, from none on.
func record(t *testing.T, open opener) [][]byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "book.db")
	b, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	history := [][]byte{content(t, path)}
	for n := 1; n <= commits; n++ {
		if err := b.write(n); err != nil {
			t.Fatal(err)
		}
		history = append(history, content(t, path))
	}
	return history
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	c, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lost is a state between two: some sectors of the pages that are to change, and with luck the meta page after all of them.
func lost(random *rand.Rand, before, after []byte) []byte {
	state := bytes.Clone(before)
	if len(after) > len(before) && random.IntN(2) == 0 {
		state = append(state, make([]byte, len(after)-len(before))...)
	}
	all := random.IntN(4) == 0
	if all {
		state = append(state, make([]byte, len(after)-len(state))...)
	}
	for at := metaPages * pageSize; at < len(state); at += sector {
		if all || random.IntN(2) == 0 {
			copy(state[at:at+sector], after[at:])
		}
	}
	if all && random.IntN(2) == 0 {
		copy(state[:metaPages*pageSize], after)
	}
	return state
}

// damaged is a file of which something at the end is gone or wrong.
func damaged(random *rand.Rand, whole []byte) []byte {
	state := bytes.Clone(whole)
	tail := (1 + random.IntN(len(state)/pageSize-metaPages)) * pageSize
	from := len(state) - tail
	switch random.IntN(3) {
	case 0:
		return state[:from]
	case 1:
		clear(state[from : from+pageSize])
	default:
		state[from+random.IntN(pageSize)] ^= 0xff
	}
	return state
}

// checkLoss: the state opens, and has at least what was acknowledged and at most what was being written.
func checkLoss(t *testing.T, open opener, state []byte, least, most int) {
	t.Helper()
	n, err := reopen(t, open, state)
	if err != nil || n < least || n > most {
		t.Errorf("after a loss of power in commit %d: %d records, %v; want %d or %d", most, n, err, least, most)
	}
}

// opensWhole says whether a damaged state opens; then it must have everything. One that does not must say what is wrong.
func opensWhole(t *testing.T, open opener, state []byte, want int) bool {
	t.Helper()
	n, err := reopen(t, open, state)
	if err != nil {
		if !diagnosis.MatchString(err.Error()) {
			t.Errorf("the refusal %q does not say which file is damaged, how, and what to do", err)
		}
		return false
	}
	if n != want {
		t.Errorf("a damaged file opened with %d records, want all %d or a refusal", n, want)
	}
	return true
}

// diagnosis is a refusal that names the file, what is wrong with it, and the next step.
var diagnosis = regexp.MustCompile(`book\.db": (is corrupt: .+; it was left as it is: .+|.* no table ".+; restore a backup)`)

// reopen opens a state as a file and reads it. A state that is refused must be left as it is.
func reopen(t *testing.T, open opener, state []byte) (int, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "book.db")
	if err := os.WriteFile(path, state, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	b, err := open(path)
	if err != nil {
		if !bytes.Equal(content(t, path), state) {
			t.Errorf("a file that was refused with %q was changed", err)
		}
		return 0, err
	}
	defer b.Close()
	return b.read()
}

// storeBook is the server's store.
type storeBook struct{ *store.Bolt }

func openStore(path string) (book, error) {
	st, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	return storeBook{st}, nil
}

// text is a record of some length, so that pages fill, split and are freed.
func text(n int) string { return fmt.Sprintf("record %d %s", n, strings.Repeat("x", 37*n%400)) }

func (s storeBook) write(n int) error {
	return s.Update(context.Background(), func(w store.Writer) error {
		// The count is changed by each update, and the record is new.
		return errors.Join(
			w.Put(store.TableSites, store.Key("count"), store.Number(uint64(n))),
			w.Put(store.TableBands, store.Number(uint64(n)), []byte(text(n))))
	})
}

func (s storeBook) read() (count int, err error) {
	err = s.View(context.Background(), func(v store.Snapshot) error {
		noted, err := v.Get(store.TableSites, store.Key("count"))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		var wrong error
		err = v.Scan(store.TableBands, nil, nil, func(key, value []byte) bool {
			count++
			if store.ParseNumber(key) != uint64(count) || string(value) != text(count) {
				wrong = fmt.Errorf("record %d is %q under %x", count, value, key)
			}
			return wrong == nil
		})
		if store.ParseNumber(noted) != uint64(count) {
			wrong = errors.Join(wrong, fmt.Errorf("%d records, %d were noted", count, store.ParseNumber(noted)))
		}
		return errors.Join(err, wrong)
	})
	return count, err
}

// journalBook is the agent's journal.
type journalBook struct{ *journal.Journal }

func openJournal(path string) (book, error) {
	j, err := journal.Open(path)
	if err != nil {
		return nil, err
	}
	return journalBook{j}, nil
}

func (j journalBook) write(n int) error {
	at := time.Unix(int64(n), 0)
	task := &agentv1.Task{Key: &agentv1.TaskKey{JobId: fmt.Sprintf("j-%03d", n), Attempt: 1}, Reason: text(n)}
	_, _, err := j.Accept(task, at)
	return err
}

func (j journalBook) read() (int, error) {
	tasks, err := j.OpenTasks()
	for i, rec := range tasks {
		if rec.GetTask().GetReason() != text(i+1) {
			return 0, fmt.Errorf("task %d is %v", i+1, rec.GetTask())
		}
	}
	return len(tasks), err
}
