package notify

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
)

func TestReceiversAreChecked(t *testing.T) {
	good := ReceiverConfig{Name: "a", Kind: Email, Server: "mail:587", From: "a@b.example", To: []string{"c@d.example"}}
	for want, bad := range map[string]ReceiverConfig{
		"kind: is \"pager\"":      {Name: "a", Kind: "pager"},
		"name: want lower case":   {Name: "A b", Kind: File, Path: "/x"},
		"url: want an https":      {Name: "a", Kind: Webhook, URL: "chat", SecretFile: "/k"},
		"plain http is for this":  {Name: "a", Kind: Webhook, URL: "http://chat.example/x", SecretFile: "/k"},
		"secret_file: is require": {Name: "a", Kind: Webhook, URL: "https://chat.example/x"},
		"server: is \"siem\"":     {Name: "a", Kind: Syslog, Server: "siem"},
		"path: is \"notices\"":    {Name: "a", Kind: File, Path: "notices"},
		"url: a receiver of kind": {Name: "a", Kind: File, Path: "/x", URL: "https://y.example"},
		"from: \"nobody\"":        {Name: "a", Kind: Email, Server: "mail:25", From: "nobody", To: good.To},
		"to: is required":         {Name: "a", Kind: Email, Server: "mail:25", From: good.From},
		"tls: is \"none\"":        {Name: "a", Kind: Email, Server: "mail:25", From: good.From, To: good.To, TLS: "none"},
		"want both or neither":    {Name: "a", Kind: Email, Server: "mail:25", From: good.From, To: good.To, User: "x"},
	} {
		if err := CheckReceivers([]ReceiverConfig{bad}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("receiver %+v: error %v, want one with %q", bad, err, want)
		}
	}
	if err := CheckReceivers([]ReceiverConfig{good, good}); err == nil || !strings.Contains(err.Error(), "used twice") {
		t.Errorf("two receivers of one name: error %v, want one", err)
	}
	if err := CheckReceivers([]ReceiverConfig{good}); err != nil {
		t.Errorf("a good receiver: %v", err)
	}
}

func TestRoutesAreChecked(t *testing.T) {
	b := newBench(t, ReceiverConfig{Name: "book", Kind: File, Path: "/dev/null"})
	good := func() *fleetv1.Route { return &fleetv1.Route{Name: "r", Receiver: "book"} }
	for want, change := range map[string]func(*fleetv1.Route){
		"lower case letters":             func(r *fleetv1.Route) { r.Name = "R\n" },
		"is not in the server's config":  func(r *fleetv1.Route) { r.Receiver = "pager" },
		"there is no such event":         func(r *fleetv1.Route) { r.Events = []string{"everything"} },
		"site \"atlantis\"":              func(r *fleetv1.Route) { r.Sites = []string{"atlantis"} },
		"unclosed action":                func(r *fleetv1.Route) { r.Template = "{{.Summary" },
		"can't evaluate field Password":  func(r *fleetv1.Route) { r.Template = "{{.Password}}" },
		"printf is not for templates":    func(r *fleetv1.Route) { r.Template = `{{printf "%1000000000d" 1}}` },
		"define, block and template are": func(r *fleetv1.Route) { r.Template = `{{if .Site}}{{template "route" .}}{{end}}` },
		"print is not for templates":     func(r *fleetv1.Route) { r.Template = "{{$x := .Summary}}" + strings.Repeat("{{$x = print $x $x}}", 60) },
		"html is not for templates":      func(r *fleetv1.Route) { r.Template = "{{$x := .Summary}}" + strings.Repeat("{{$x = html $x $x}}", 60) },
		"js is not for templates": func(r *fleetv1.Route) {
			r.Template = strings.Repeat("(js ", 60) + ".Summary" + strings.Repeat(")", 60) + "}}"
			r.Template = "{{" + r.Template
		},
		"range is for {{range .Details}} only, and not within another": func(r *fleetv1.Route) {
			r.Template = strings.Repeat("{{range $.Details}}", 100) + strings.Repeat("{{end}}", 100)
		},
		"range is for {{range .Details}} only": func(r *fleetv1.Route) { r.Template = "{{range .Time.UnixNano}}{{end}}" },
		"range is for":                         func(r *fleetv1.Route) { r.Template = "{{with .Site}}{{range 1000000000000}}{{end}}{{end}}" },
		"makes more than":                      func(r *fleetv1.Route) { r.Template = strings.Repeat("{{.Details}}{{.Summary}}", 160) },
		"at most 4096 are allowed":             func(r *fleetv1.Route) { r.Template = strings.Repeat("x", 5000) },
	} {
		bad := good()
		change(bad)
		if _, err := b.SetRoute(t.Context(), admin(), &fleetv1.SetRouteRequest{Route: bad}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("route %v: error %v, want one with %q", bad, err, want)
		}
	}
	if routes, err := b.Routes(t.Context(), admin()); err != nil || len(routes) > 0 {
		t.Errorf("after refusals there are routes %v (%v), want none", routes, err)
	}
}

// TestARouteIsForOnesOwnSites: neither a route for all sites nor one of another site is changed by who administers lyon alone.
func TestARouteIsForOnesOwnSites(t *testing.T) {
	b := newBench(t, ReceiverConfig{Name: "book", Kind: File, Path: "/dev/null"})
	b.route(&fleetv1.Route{Name: "turin", Receiver: "book", Sites: []string{"turin"}})
	lyon := operator("lyon")
	for _, bad := range []*fleetv1.Route{
		{Name: "x", Receiver: "book"}, {Name: "x", Receiver: "book", Sites: []string{"turin"}}, {Name: "turin", Receiver: "book", Sites: []string{"lyon"}},
	} {
		wantDenied(t, b, lyon, bad)
	}
	err := b.DeleteRoute(t.Context(), lyon, &fleetv1.DeleteRouteRequest{Name: "turin"})
	if no, ok := errors.AsType[*refusal.Error](err); !ok || no.Kind != refusal.NotFound {
		t.Errorf("who administers lyon alone deletes the route of turin: error %v, want that there is no such route", err)
	}
	b.route(&fleetv1.Route{Name: "all", Receiver: "book"})
	routes, err := b.Routes(t.Context(), lyon)
	if err != nil || len(routes) != 1 || routes[0].GetName() != "all" {
		t.Errorf("who administers lyon alone is shown the routes %v (%v), want the one for all sites and not that of turin", routes, err)
	}
	if _, err := b.SetRoute(t.Context(), lyon, &fleetv1.SetRouteRequest{Route: &fleetv1.Route{Name: "mine", Receiver: "book", Sites: []string{"Lyon"}}}); err != nil {
		t.Errorf("one's own site: %v", err)
	}
}

func TestRoutesAreBounded(t *testing.T) {
	b := newBench(t, ReceiverConfig{Name: "book", Kind: File, Path: "/dev/null"})
	for i := range maxRoutes {
		b.route(&fleetv1.Route{Name: fmt.Sprint("r", i), Receiver: "book"})
	}
	b.route(&fleetv1.Route{Name: "r0", Receiver: "book", Sites: []string{"lyon"}})
	_, err := b.SetRoute(t.Context(), admin(), &fleetv1.SetRouteRequest{Route: &fleetv1.Route{Name: "more", Receiver: "book"}})
	if no, ok := errors.AsType[*refusal.Error](err); !ok || no.Reason != "TOO_MANY_ROUTES" {
		t.Errorf("route %d: error %v, want that it is one too many", maxRoutes+1, err)
	}
}

func wantDenied(t *testing.T, b *bench, p *access.Principal, r *fleetv1.Route) {
	t.Helper()
	if _, err := b.SetRoute(t.Context(), p, &fleetv1.SetRouteRequest{Route: r}); err == nil || !strings.Contains(err.Error(), "you do not administer") {
		t.Errorf("route %v: error %v, want that it is denied", r, err)
	}
}

// TestReceiversAreTried: what the receiver says is answered, and no secret is in an error.
func TestReceiversAreTried(t *testing.T) {
	mail, letters := mailServer(t)
	wrong := mail
	wrong.Name, wrong.PasswordFile = "wrong", written(t, "hunter2")
	chat := ReceiverConfig{Name: "chat", Kind: Webhook, URL: "https://127.0.0.1:1/secret-path", SecretFile: written(t, "key")}
	lost := ReceiverConfig{Name: "lost", Kind: Webhook, URL: "https://127.0.0.1:1/secret-path", SecretFile: "/missing"}
	stranger, _ := syslogReceiver(t)
	stranger.CAFile = mail.CAFile
	b := newBench(t, mail, wrong, chat, lost, stranger)
	if answer, err := b.Test(t.Context(), admin(), "desk-mail"); err != nil || !strings.Contains(answer, "taken by") {
		t.Errorf("a test of the mailbox answers %q, %v; want that it was taken", answer, err)
	}
	if letter := next(t, letters); !strings.Contains(letter, "asked for by jane") {
		t.Errorf("the mailbox got %q, want a test that says who asked", letter)
	}
	for name, want := range map[string]string{"wrong": "receiver \"wrong\"", "chat": "refused", "lost": "secret_file", "siem": "certificate", "pager": "not in the server's configuration"} {
		_, err := b.Test(t.Context(), admin(), name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a test of %s: error %v, want one with %q", name, err, want)
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "secret-path") {
			t.Errorf("a test of %s: error %q tells a secret", name, text)
		}
	}
}

// TestAMailboxThatIsNotThereIsNotAskedForEver and holds nothing up.
func TestAMailboxThatIsNotThereIsNotAskedForEver(t *testing.T) {
	cfg, _ := mailServer(t)
	cfg.To = []string{"nobody@lyon.example"}
	b := newBench(t, cfg)
	b.route(&fleetv1.Route{Name: "all", Receiver: "desk-mail"})
	b.post(fault("lyon", "one"))
	defer b.run()()
	b.wantDone("desk-mail", 1)
	b.wantProblem("desk-mail", "was given up")
}

// TestNoticesAreBounded in all their parts.
func TestNoticesAreBounded(t *testing.T) {
	b := newBench(t, ReceiverConfig{Name: "book", Kind: File, Path: written(t, "")})
	b.route(&fleetv1.Route{Name: "all", Receiver: "book"})
	n := fault("lyon", strings.Repeat("é", 10000))
	for range 100 {
		n.Details = append(n.Details, strings.Repeat("x\x00", 10000))
	}
	defer b.run()()
	b.post(n)
	b.wantDone("book", 1)
	text, err := os.ReadFile(b.receivers[0].cfg.Path)
	must(t, err)
	if len(text) > 12<<10 || !strings.Contains(string(text), "é…") {
		t.Errorf("the notice has %d bytes, want it cut between characters", len(text))
	}
}
