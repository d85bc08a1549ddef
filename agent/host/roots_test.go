package host

import (
	"context"
	"strings"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// webServer is an IIS with applications in these folders; it counts how often it is asked.
type webServer struct {
	NoIIS
	folders []string
	asked   int
}

func (w *webServer) Inventory(context.Context, ...string) (*actionv1.IISInventory, error) {
	w.asked++
	inventory := &actionv1.IISInventory{Installed: true}
	for _, folder := range w.folders {
		inventory.Applications = append(inventory.Applications, &actionv1.IISApplication{Folder: folder})
	}
	return inventory, nil
}

// TestRootsOfTheWebServer: the folder of an application is its root when there is one instance, and never a guess.
func TestRootsOfTheWebServer(t *testing.T) {
	one := []string{`C:\inetpub\wwwroot`, `C:\inetpub\wwwroot\plant\nes`, `C:\inetpub\wwwroot\plant\NES\`, `D:\plant\AuthenticationService`}
	two := append(one, `C:\inetpub\wwwroot\second\nes`)
	for name, c := range map[string]struct {
		folders    []string
		root, want string
		problem    string
	}{
		"one instance":           {folders: one, root: NESRoot, want: `C:\inetpub\wwwroot\plant\NES`},
		"another case":           {folders: one, root: AuthenticationRoot, want: `D:\plant\AuthenticationService`},
		"not installed":          {folders: one, root: EnrollmentRoot, problem: "roots.nenrollment"},
		"several instances":      {folders: two, root: NESRoot, problem: "roots.nes"},
		"no root of any machine": {folders: one, root: "wwwroot", problem: "does not exist"},
	} {
		w := &webRoots{iis: &webServer{folders: c.folders}, now: time.Now}
		got, err := w.folder(t.Context(), c.root)
		if !strings.EqualFold(got, c.want) || (err != nil) != (c.problem != "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %q, %v; want %q and a problem with %q", name, got, err, c.want, c.problem)
		}
	}
}

func TestTheWebServerIsAskedSeldom(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	server := &webServer{folders: []string{`C:\plant\nes`}}
	w := &webRoots{iis: server, now: func() time.Time { return now }}
	for range 5 {
		if _, err := w.folder(t.Context(), NESRoot); err != nil {
			t.Fatal(err)
		}
	}
	if server.asked != 1 {
		t.Errorf("the web server was asked %d times, want once: each time a program is started", server.asked)
	}
	now = now.Add(webRootsAge)
	server.folders = []string{`D:\moved\nes`}
	if got, err := w.folder(t.Context(), NESRoot); err != nil || got != `D:\moved\nes` {
		t.Errorf("later: %q, %v; want where it has moved to", got, err)
	}
}

// TestConfiguredRootsWin: over what the web server would say.
func TestConfiguredRootsWin(t *testing.T) {
	roots := newRoots(LocalConfig{Roots: map[string]string{NESRoot: `E:\nes`}})
	roots.web = &webRoots{iis: &webServer{folders: []string{`C:\plant\nes`}}, now: time.Now}
	if got, err := roots.folder(t.Context(), NESRoot); err != nil || got != `E:\nes` {
		t.Errorf("root is %q, %v; want the configured one", got, err)
	}
}
