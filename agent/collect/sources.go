package collect

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// place is where files of a source lie: a root of the agent's configuration, and a path below it in which "*" stands for any one name.
type place struct{ root, path string }

// source is a kind of logs.
type source struct {
	name   string
	places []place
	// config files have their secrets masked; whatever cannot be masked stays out.
	config bool
}

// sources is the closed list: the places that the guide names (chapters on logs and on the support tool).
func sources() []source {
	return []source{
		// The Nymi Band Application: each user's own logs.
		{name: "nba", places: []place{{"profiles", "*/AppData/Roaming/Nymi/NEM/Logs/*"}}},
		{name: "lock-control", places: []place{{"public", "unlock/Log/*"}}},
		{name: "ziplog", places: []place{{"profiles", "*/AppData/Roaming/Nymi/unlock/ZipLog/*"}}},
		{name: "install-logs", places: []place{{"programdata", "NESg2.install/log"}, {"programdata", "NESg2.install/log/*"}}},
		{name: "nes-admin", places: []place{{"programdata", "NESg2.Admin/Default_Web_Site/*/log/*"}}},
		{name: "nes-enrollment", places: []place{{"programdata", "NEnrollment/Default_Web_Site/*/log/*"}}},
		{name: "nes-authentication", places: []place{{"programdata", "AuthenticationService/Default_Web_Site/*/log/*"}}},
		{name: "instance-config", config: true, places: []place{
			{"nes", "web.config"}, {"nenrollment", "web.config"}, {"authenticationservice", "web.config"},
		}},
		{name: "endpoint-config", config: true, places: []place{{"endpoint", "nbe.toml"}, {"endpoint", "nbe.default.toml"}}},
		{name: "event-logs", places: []place{{"eventlogs", "Application.evtx"}, {"eventlogs", "System.evtx"}}},
	}
}

// Known lists the names of sources.
func Known() (names []string) {
	for _, s := range sources() {
		names = append(names, s.name)
	}
	return names
}

func sourceOf(name string) (source, bool) {
	for _, s := range sources() {
		if s.name == name {
			return s, true
		}
	}
	return source{}, false
}

// found is a file that goes in.
type found struct {
	source source
	root   string
	state  *actionv1.FileState
}

// name is what the file is called in the archive.
func (f found) name() string { return path.Join(f.source.name, f.root, f.state.GetPath()) }

// find looks for the files of all sources, newest first. A source of which there is nothing is in the answer.
func (a *archive) find(ctx context.Context, now time.Time) (all []found) {
	for _, name := range a.asked.GetSources() {
		s, _ := sourceOf(name)
		before := len(all)
		for _, p := range s.places {
			for _, file := range a.expand(ctx, p) {
				all = append(all, found{source: s, root: p.root, state: file})
			}
		}
		if len(all) == before {
			a.note(s.name, "there is nothing of it on this machine")
		}
	}
	all = slices.DeleteFunc(all, func(f found) bool { return a.tooOld(f, now) })
	slices.SortStableFunc(all, func(x, y found) int { return y.state.GetModified().AsTime().Compare(x.state.GetModified().AsTime()) })
	if len(all) > maxFiles {
		a.note("", "more files than an archive may hold were found; the oldest are left out")
		a.answer.Truncated = true
		all = all[:maxFiles]
	}
	return all
}

// tooOld says whether a file was last written to before what is asked for. Configuration files are never too old.
func (a *archive) tooOld(f found, now time.Time) bool {
	since := a.asked.GetSince().AsDuration()
	return since > 0 && !f.source.config && f.state.GetModified() != nil && f.state.GetModified().AsTime().Before(now.Add(-since))
}

// expand finds the files of a place. What cannot be listed is as good as empty: most machines have few of the places.
func (a *archive) expand(ctx context.Context, p place) (files []*actionv1.FileState) {
	folders := []string{""}
	elements := strings.Split(p.path, "/")
	for _, element := range elements[:len(elements)-1] {
		folders = a.step(ctx, p.root, folders, element)
	}
	for _, name := range a.step(ctx, p.root, folders, elements[len(elements)-1]) {
		// A folder, a link or a pipe is no file.
		if state, err := a.files.Stat(ctx, p.root, name); err == nil && state.GetExists() {
			files = append(files, state)
		}
	}
	return files
}

// step goes from folders to what lies in them under a name, or under any.
func (a *archive) step(ctx context.Context, root string, folders []string, element string) (next []string) {
	for _, folder := range folders {
		names := []string{element}
		if element == "*" {
			names, _ = a.files.List(ctx, root, orRoot(folder))
		}
		for _, name := range names {
			next = append(next, path.Join(folder, name))
		}
		if len(next) > 10*maxFiles {
			return next
		}
	}
	return next
}

func orRoot(folder string) string {
	if folder == "" {
		return "."
	}
	return folder
}
