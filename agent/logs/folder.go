package logs

import (
	"cmp"
	"context"
	"path"
	"slices"
	"time"
)

// Bounds of what is followed.
const (
	// maxFolders is how many folders of one place are looked into.
	maxFolders = 500
	// maxFiles is how many files of one folder are followed, the newest ones.
	maxFiles = 24
	// maxNames is how many names of a folder are looked at; in a folder with more, those that come last by name and those that are followed.
	maxNames = 256
	// hotFor is how long after a change a folder is looked at between scans.
	hotFor = 10 * time.Minute
)

// folder is a folder with logs of one class.
type folder struct {
	class              string
	of                 class
	root, path, wanted string
	// key stands for it in the marks.
	key string
	// seen is what was in it when it was last gone through.
	seen []stat
	// changed is when that last was different.
	changed time.Time
	// unfinished: there is more to read than might be read at once.
	unfinished bool
	// known is false until it was gone through once; shut says that a file could not be opened, so that the next scan tries again.
	known, shut bool
}

// stat is what tells that a file has changed.
type stat struct {
	name     string
	size     int64
	modified time.Time
}

// file is a file of a folder while it is gone through.
type file struct {
	stat
	path, key string
	// isLog: it is of the folder's class by its name. Others are read only when they turn out to be such a log that was renamed.
	isLog bool
	o     *opened
	// shut: it could not be opened, so nothing is known of it.
	shut bool
	mark *mark
}

// scan looks for the folders of all classes that have rules.
func (w *Watcher) scan(ctx context.Context, o *orders) {
	began := time.Now()
	earlier := map[string]*folder{}
	for _, f := range w.folders {
		earlier[f.key] = f
	}
	w.learnNames(ctx)
	w.folders = nil
	known := classes()
	for _, name := range o.set.Classes() {
		for _, f := range w.foldersOf(ctx, name, known[name]) {
			if e := earlier[f.key]; e != nil {
				f = e
			}
			w.folders = append(w.folders, f)
			w.register(ctx, f)
		}
		// From here on, what is new in the class was not there before.
		w.memory.Scanned[name] = began
	}
	w.memory.forget(began)
	w.scanned, w.firstScanOf, w.scans = began, o, w.scans+1
}

// foldersOf lists the folders in which logs of a class may be.
func (w *Watcher) foldersOf(ctx context.Context, name string, c class) (all []*folder) {
	for _, p := range c.places {
		for _, dir := range p.Folders(ctx, w.cfg.Files, maxFolders) {
			all = append(all, &folder{
				class: name, of: c, root: p.Root, path: dir, wanted: p.Name(), key: keyOf(name, p.Root, dir, p.Name()),
			})
		}
	}
	return all
}

func keyOf(elements ...string) string { return hashOf([]byte(path.Join(elements...))) }

// register notes which files of a folder there are, so that what appears later is known to be new.
func (w *Watcher) register(ctx context.Context, f *folder) {
	files := w.look(ctx, f)
	if !f.known || f.shut || !slices.EqualFunc(f.seen, statsOf(files), stat.same) {
		w.through(ctx, f, files, func(*file) {})
		f.seen, f.unfinished = nil, true // visit reads it
	}
}

// due says whether a folder is to be gone through now.
func (w *Watcher) due(ctx context.Context, f *folder) bool {
	now := time.Now()
	switch {
	case f.unfinished || w.hasPartial(f, now):
		return true
	case now.Sub(f.changed) > hotFor:
		return false // the next scan looks at it
	}
	return !slices.EqualFunc(f.seen, statsOf(w.look(ctx, f)), stat.same)
}

func (w *Watcher) hasPartial(f *folder, now time.Time) bool {
	return slices.ContainsFunc(w.memory.Marks[f.key], func(m *mark) bool { return w.overdue(m, now) })
}

// overdue says whether a last line without an end has been left alone for so long that it counts as whole.
func (w *Watcher) overdue(m *mark, now time.Time) bool {
	return !m.partial.IsZero() && now.Sub(m.partial) >= w.cfg.Timings.Partial
}

// look lists the files of a folder, the newest first. A folder that is not there has none.
func (w *Watcher) look(ctx context.Context, f *folder) (files []*file) {
	names, err := w.cfg.Files.List(ctx, f.root, orRoot(f.path))
	if err != nil {
		return nil
	}
	for _, name := range w.few(f, names) {
		full := path.Join(f.path, name)
		state, err := w.cfg.Files.Stat(ctx, f.root, full)
		if err != nil || !state.GetExists() {
			continue // a folder, a link, a pipe, or deleted meanwhile
		}
		s := stat{name, int64(state.GetSize()), state.GetModified().AsTime()}
		files = append(files, &file{stat: s, path: full, key: keyOf(f.key, name), isLog: f.of.has(name, f.wanted)})
	}
	slices.SortStableFunc(files, func(a, b *file) int { return cmp.Or(b.modified.Compare(a.modified), cmp.Compare(a.name, b.name)) })
	return files[:min(len(files), maxFiles)]
}

// few bounds the names of a folder in which nobody tidies up.
func (w *Watcher) few(f *folder, names []string) []string {
	if len(names) <= maxNames {
		return names
	}
	followed := map[string]bool{}
	for _, m := range w.memory.Marks[f.key] {
		followed[m.Name] = m.Missing.IsZero()
	}
	logs := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !f.of.has(n, f.wanted) })
	last := len(logs) - maxNames/2
	keep := func(i int, n string) bool { return i >= last || followed[keyOf(f.key, n)] }
	var kept []string
	for i, n := range logs {
		if keep(i, n) {
			kept = append(kept, n)
		}
	}
	return kept
}

func statsOf(files []*file) (all []stat) {
	for _, f := range files {
		all = append(all, f.stat)
	}
	return all
}

func (s stat) same(o stat) bool {
	return s.name == o.name && s.size == o.size && s.modified.Equal(o.modified)
}

func orRoot(folder string) string {
	if folder == "" {
		return "."
	}
	return folder
}

// pass goes through a folder and reads on in its files.
func (w *Watcher) pass(ctx context.Context, o *orders, f *folder) {
	files := w.look(ctx, f)
	f.unfinished = false
	w.through(ctx, f, files, func(file *file) { w.readOn(ctx, o, f, file) })
	f.seen = statsOf(files)
}

// through gives each file its mark and calls read for each that has one.
func (w *Watcher) through(ctx context.Context, f *folder, files []*file, read func(*file)) {
	a := &assignment{files: files, marks: w.memory.Marks[f.key], open: func(file *file) { w.open(ctx, f, file) }}
	defer a.close()
	a.assign()
	now := time.Now()
	a.recopy()
	// The largest and oldest first: a copy has no more than what it was copied from.
	for _, file := range slices.SortedStableFunc(slices.Values(files), largerFirst) {
		if file.mark == nil && file.isLog && !file.shut {
			file.mark = w.begin(f, file, a)
		}
	}
	w.memory.Marks[f.key] = a.kept(now)
	f.shut = slices.ContainsFunc(files, func(file *file) bool { return file.shut })
	if !f.known || !slices.EqualFunc(f.seen, statsOf(files), stat.same) {
		f.changed, f.known, w.dirty = now, true, true
	}
	for _, file := range files {
		if file.mark != nil && !file.shut {
			file.mark.Name, file.mark.Missing = file.key, time.Time{}
			read(file)
		}
	}
}

// open opens a file of a folder, once. Why it cannot be is not told each time: it may be another program's for a moment.
func (w *Watcher) open(ctx context.Context, f *folder, file *file) {
	if file.o != nil || file.shut {
		return
	}
	o, err := open(ctx, w.cfg.Files, f.root, file.path)
	if err != nil {
		file.shut = true
		return
	}
	file.o = o
}

func largerFirst(a, b *file) int {
	return cmp.Or(cmp.Compare(b.size, a.size), a.modified.Compare(b.modified))
}
