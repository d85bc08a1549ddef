package inventory

import (
	"bytes"
	"context"
	"encoding/base64"

	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	defaultPage = 100
	maxPage     = 1000
	// maxPageBytes is how much one page holds at most, but for its first item: what a machine says of itself may be long, and
	// one that says too much must not make its site's list unreadable.
	maxPageBytes = 2 << 20
	// scanChunk is how many records one view reads: views must be short.
	scanChunk = 1000
)

// Page is the part of a list that is asked for.
type Page struct {
	// Size is the most items wanted; 0 means 100, at most 1000.
	Size int32
	// Token is where the last page ended; empty means the beginning.
	Token string
}

func (p Page) size() (int, error) {
	switch {
	case p.Size == 0:
		return defaultPage, nil
	case p.Size < 0 || p.Size > maxPage:
		return 0, refusal.New(refusal.Invalid, "BAD_PAGE_SIZE", "page size %d: must be 0 to %d", p.Size, maxPage).At("page_size")
	default:
		return int(p.Size), nil
	}
}

// start returns the first key that may be on the page.
func (p Page) start() ([]byte, error) {
	last, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil || len(last) > 512 {
		return nil, refusal.New(refusal.Invalid, "BAD_PAGE_TOKEN", "page token: is none of this list's").
			At("page_token").Then("begin again without a page token")
	}
	if len(last) == 0 {
		return nil, nil
	}
	return append(last, 0), nil
}

// list reads one page of a table. pick turns a record into an item, or leaves it out. The token for the next page names the
// last key of this one, never a key that pick left out: it could be at a site that the caller may not know of.
func list[T any](ctx context.Context, st store.Store, t store.Table, p Page, pick func(key, value []byte) (item T, ok bool, err error)) (items []T, next string, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", err
	}
	from, err := p.start()
	if err != nil {
		return nil, "", err
	}
	var last []byte
	more, read := false, 0
	err = scanAll(ctx, st, t, nil, from, func(key, value []byte) (bool, error) {
		item, ok, err := pick(key, value)
		if err != nil || !ok {
			return err == nil, err
		}
		if read += len(value); len(items) == size || len(items) > 0 && read > maxPageBytes {
			more = true
			return false, nil
		}
		items, last = append(items, item), bytes.Clone(key)
		return true, nil
	})
	if err != nil || !more {
		return items, "", err
	}
	return items, base64.RawURLEncoding.EncodeToString(last), nil
}

// scanAll calls fn for each record with the prefix, in several short views. What changes meanwhile may be seen or not.
func scanAll(ctx context.Context, st store.Store, t store.Table, prefix, from []byte, fn func(key, value []byte) (more bool, err error)) error {
	for {
		seen, stopped := 0, false
		var failed error
		err := st.View(ctx, func(v store.Snapshot) error {
			return v.Scan(t, prefix, from, func(key, value []byte) bool {
				var more bool
				if more, failed = fn(key, value); failed != nil || !more {
					stopped = true
					return false
				}
				if seen++; seen == scanChunk {
					from = append(bytes.Clone(key), 0)
					return false
				}
				return true
			})
		})
		if err == nil {
			err = failed
		}
		if err != nil || stopped || seen < scanChunk {
			return err
		}
	}
}
