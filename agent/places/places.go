// Package places says where the product's log files lie: places below the named roots of a machine, as the vendor's guide gives them. Package
// collect copies what is there, package logs follows it.
package places

import (
	"context"
	"path"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Place is a root of the agent's configuration, and a path below it in which "*" stands for any one name.
type Place struct{ Root, Path string }

// Profiles is the root that holds a folder for each user.
const Profiles = "profiles"

// BandApplication is where the Nymi Band Application writes each user's logs (guide: log files).
func BandApplication() Place { return Place{Profiles, "*/AppData/Roaming/Nymi/NEM/Logs/*"} }

// LockControl is where Lock Control writes the results of sign-ins.
func LockControl() Place { return Place{"public", "unlock/Log/*"} }

// Installation is where the installer of NES writes; the guide's path may be a file or a folder.
func Installation() []Place {
	return []Place{{"programdata", "NESg2.install/log"}, {"programdata", "NESg2.install/log/*"}}
}

// AdminService is where the administrator service of each NES instance writes.
func AdminService() Place { return Place{"programdata", "NESg2.Admin/Default_Web_Site/*/log/*"} }

// EnrollmentService is where the enrolment service of each NES instance writes.
func EnrollmentService() Place { return Place{"programdata", "NEnrollment/Default_Web_Site/*/log/*"} }

// AuthenticationService is where the authentication service of each NES instance writes.
func AuthenticationService() Place {
	return Place{"programdata", "AuthenticationService/Default_Web_Site/*/log/*"}
}

// Folder is the path of a place's folder.
func (p Place) Folder() string { return path.Dir(p.Path) }

// Name is the last element of a place's path.
func (p Place) Name() string { return path.Base(p.Path) }

// Folders lists the folders that the place's path may mean, whether they are there or not; about limit at most.
func (p Place) Folders(ctx context.Context, files host.Files, limit int) []string {
	folders := []string{""}
	if p.Folder() == "." {
		return folders
	}
	for element := range strings.SplitSeq(p.Folder(), "/") {
		folders = step(ctx, files, p.Root, folders, element, limit)
	}
	return folders
}

// Files finds the files of a place. What cannot be listed is as good as empty: most machines have few of the places. A folder, a link or a
// pipe is no file.
func (p Place) Files(ctx context.Context, files host.Files, limit int) (found []*actionv1.FileState) {
	for _, name := range step(ctx, files, p.Root, p.Folders(ctx, files, limit), p.Name(), limit) {
		if state, err := files.Stat(ctx, p.Root, name); err == nil && state.GetExists() {
			found = append(found, state)
		}
	}
	return found
}

// step goes from folders to what lies in them under a name, or under any.
func step(ctx context.Context, files host.Files, root string, folders []string, element string, limit int) (next []string) {
	for _, folder := range folders {
		names := []string{element}
		if element == "*" {
			names, _ = files.List(ctx, root, orRoot(folder))
		}
		for _, name := range names {
			next = append(next, path.Join(folder, name))
		}
		if len(next) > limit {
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
