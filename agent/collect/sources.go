package collect

import (
	"context"
	"path"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/agent/places"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// source is a kind of logs.
type source struct {
	name   string
	places []places.Place
	// config files have their secrets masked; whatever cannot be masked stays out.
	config bool
}

// sources is the closed list: the places that the guide names (chapters on logs and on the support tool).
func sources() []source {
	return []source{
		// The Nymi Band Application: each user's own logs.
		{name: "nba", places: []places.Place{places.BandApplication()}},
		{name: "lock-control", places: []places.Place{places.LockControl()}},
		{name: "ziplog", places: []places.Place{{Root: places.Profiles, Path: "*/AppData/Roaming/Nymi/unlock/ZipLog/*"}}},
		{name: "install-logs", places: places.Installation()},
		{name: "nes-admin", places: []places.Place{places.AdminService()}},
		{name: "nes-enrollment", places: []places.Place{places.EnrollmentService()}},
		{name: "nes-authentication", places: []places.Place{places.AuthenticationService()}},
		{name: "instance-config", config: true, places: []places.Place{
			{Root: "nes", Path: "web.config"}, {Root: "nenrollment", Path: "web.config"}, {Root: "authenticationservice", Path: "web.config"},
		}},
		{name: "endpoint-config", config: true, places: []places.Place{{Root: "endpoint", Path: "nbe.toml"}, {Root: "endpoint", Path: "nbe.default.toml"}}},
		{name: "event-logs", places: []places.Place{{Root: "eventlogs", Path: "Application.evtx"}, {Root: "eventlogs", Path: "System.evtx"}}},
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
			for _, file := range p.Files(ctx, a.files, 10*maxFiles) {
				all = append(all, found{source: s, root: p.Root, state: file})
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
