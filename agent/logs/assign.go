package logs

import (
	"bytes"
	"slices"
	"time"
)

// assignment finds out which file of a folder each mark is of by now: logs are renamed, copied, emptied and made anew, and whoever does it
// tells nobody.
type assignment struct {
	files []*file
	marks []*mark
	// open opens a file once.
	open func(*file)
	// copies are marks of files that held nothing but what another one held, when they were last looked at.
	copies []*mark
	taken  map[*mark]bool
}

// assign gives files their marks. A file that gets none is new.
func (a *assignment) assign() {
	a.taken = map[*mark]bool{}
	a.marks = slices.DeleteFunc(slices.Clone(a.marks), func(m *mark) bool {
		if m.Copy {
			a.copies = append(a.copies, m)
		}
		return m.Copy
	})
	a.unchanged()
	// The same file with the same beginning, whatever its name. One of which nothing was read is known by its name only: a new file may have
	// the identity of a deleted one.
	a.match(func(m *mark, f *file) bool {
		return m.ID != "" && m.ID == f.o.id && (m.Name == f.key || m.Offset > enough) && m.continues(f.o)
	})
	// The same name and content: written anew by a program that replaces files, or on a machine that cannot tell files apart.
	a.match(func(m *mark, f *file) bool { return m.Name == f.key && m.alike(f.o) && m.continues(f.o) })
	// The same content under another name: copied away before it was emptied.
	a.match(func(m *mark, f *file) bool { return m.Offset >= certain && m.continues(f.o) })
}

// alike says whether a file without the mark's identity may be its file.
func (m *mark) alike(o *opened) bool { return m.Offset >= certain || m.ID == "" || o.id == "" }

// unchanged gives marks to files of the same name, size and time without opening them.
func (a *assignment) unchanged() {
	for _, f := range a.files {
		for _, m := range a.marks {
			if !a.taken[m] && m.Name == f.key && m.Size == f.size && m.Modified.Equal(f.modified) && m.Offset <= f.size {
				a.give(m, f)
				break
			}
		}
	}
}

// match gives marks to files of which the test is true.
func (a *assignment) match(is func(*mark, *file) bool) {
	for _, f := range a.files {
		if f.mark != nil || len(a.taken) == len(a.marks) {
			continue
		}
		if a.open(f); f.shut {
			a.hold(f)
			continue
		}
		if i := slices.IndexFunc(a.marks, func(m *mark) bool { return !a.taken[m] && is(m, f) }); i >= 0 {
			a.give(a.marks[i], f)
		}
	}
}

func (a *assignment) give(m *mark, f *file) {
	f.mark = m
	a.taken[m] = true
}

// hold leaves a file that cannot be opened now its mark.
func (a *assignment) hold(f *file) {
	if i := slices.IndexFunc(a.marks, func(m *mark) bool { return !a.taken[m] && m.Name == f.key }); i >= 0 {
		a.give(a.marks[i], f)
	}
}

// replaced says whether a file of this name was followed before.
func (a *assignment) replaced(f *file) bool {
	return slices.ContainsFunc(a.marks, func(m *mark) bool { return m.Name == f.key })
}

// copied says whether a new file holds nothing that another one that is followed does not hold: as much, or less up to the end of a line.
func (a *assignment) copied(f *file) bool {
	return f.o.size >= certain && slices.ContainsFunc(a.files, func(of *file) bool {
		if of == f || of.mark == nil || of.mark.Copy {
			return false
		}
		a.open(of)
		return !of.shut && f.o.partOf(of.o)
	})
}

// partOf says whether another file begins with all that is in this one.
func (o *opened) partOf(whole *opened) bool {
	if o.size > whole.size || o.size < whole.size && !o.endsLine() {
		return false
	}
	begin, end := min(headBytes, o.size), max(0, o.size-tailBytes)
	return o.print(0, begin) == whole.print(0, begin) && o.print(end, o.size) == whole.print(end, o.size)
}

// endsLine says whether a file ends with a line's end, in any encoding.
func (o *opened) endsLine() bool {
	last, err := o.part(max(0, o.size-2), o.size)
	return err == nil && bytes.IndexByte(last, '\n') >= 0
}

// recopy gives files that were copies their marks back. What is no longer a copy, because it grew or what it was copied from is gone, is a log
// of its own from there on.
func (a *assignment) recopy() {
	for _, m := range a.copies {
		i := slices.IndexFunc(a.files, func(f *file) bool { return f.mark == nil && a.isOf(m, f) })
		switch {
		case i < 0:
		case a.files[i].shut:
			a.files[i].mark = m
		case !a.copied(a.files[i]): // else begin makes it a copy again
			m.Copy, a.files[i].mark = false, m
		}
	}
}

// isOf says whether a mark of a copy is of a file.
func (a *assignment) isOf(m *mark, f *file) bool {
	if a.open(f); f.shut {
		return f.key == m.Name
	}
	return (f.key == m.Name || m.ID != "" && m.ID == f.o.id) && m.continues(f.o)
}

// kept are the marks after this: those of files, and those whose file is not there, since it may come back. A mark whose name another file
// has now is gone: its file was emptied or deleted.
func (a *assignment) kept(now time.Time) (marks []*mark) {
	there := map[string]bool{}
	for _, f := range a.files {
		there[f.key] = true
		if f.mark != nil {
			marks = append(marks, f.mark)
		}
	}
	for _, m := range a.marks {
		if a.taken[m] || there[m.Name] {
			continue
		}
		if m.Missing.IsZero() {
			m.Missing = now
		}
		marks = append(marks, m)
	}
	return marks
}

func (a *assignment) close() {
	for _, f := range a.files {
		if f.o != nil {
			_ = f.o.Close() // only read
		}
	}
}
