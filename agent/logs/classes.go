package logs

import (
	"path"
	"strings"

	"github.com/bandfleet/bandfleet/agent/places"
)

// class is a kind of log files (package proto/catalogue lists them).
type class struct {
	places []places.Place
	// prefix begins the names of its files, in small letters: the vendor's name, and whatever rotation makes of that. Empty means that
	// every log in the folder is one.
	prefix string
}

// classes returns what is known of each class of the catalogue.
func classes() map[string]class {
	one := func(p places.Place, prefix string) class { return class{[]places.Place{p}, prefix} }
	return map[string]class{
		"nem":                 one(places.BandApplication(), "nem"),
		"nymi-api":            one(places.BandApplication(), "nymi_api"),
		"credential-provider": one(places.LockControl(), "credential-provider"),
		"nes-install":         {places: places.Installation()},
		"nes-service":         {places: []places.Place{places.AdminService(), places.EnrollmentService()}},
		"authentication":      one(places.AuthenticationService(), ""),
	}
}

// has says whether a file of one of the class's folders is a log of it. wanted is the name that the place asks for, "*" for any.
func (c class) has(name, wanted string) bool {
	name = strings.ToLower(name)
	if wanted != "*" && name != strings.ToLower(wanted) {
		return false
	}
	return strings.HasPrefix(name, c.prefix) && !packed(name)
}

// packed says whether a file holds no text by its name.
func packed(name string) bool {
	switch path.Ext(name) {
	case ".zip", ".gz", ".7z", ".cab", ".evtx", ".etl", ".dmp", ".exe", ".dll", ".msi", ".db":
		return true
	}
	return false
}
