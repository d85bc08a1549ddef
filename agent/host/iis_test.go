package host

import (
	"context"
	"embed"
	"errors"
	"slices"
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
)

// answers are what tools of Windows say. They are in the test program, which also runs where its sources are not.
//
//go:embed testdata/iis testdata/dism
var answers embed.FS

// recorded is an appcmd that answers list commands from testdata and notes the others.
type recorded struct {
	t    *testing.T
	done []string
	// fail makes the next other command fail.
	fail bool
}

func (r *recorded) run(_ context.Context, arguments ...string) (string, int, error) {
	files := map[string]string{"site": "list-sites", "apppool": "list-pools", "app": "list-apps", "vdir": "list-vdirs", "config": "list-access"}
	if arguments[0] != "list" {
		r.done = append(r.done, strings.Join(arguments, "|"))
		if r.fail {
			return "ERROR ( message:Configuration error\r\nFilename: applicationHost.config )", 13, nil
		}
		return "", 0, nil
	}
	content, err := answers.ReadFile("testdata/iis/" + files[arguments[1]] + ".xml")
	if err != nil {
		r.t.Fatal(err)
	}
	return string(content), 0, nil
}

func recordedIIS(t *testing.T) (appcmdIIS, *recorded) {
	t.Helper()
	r := &recorded{t: t}
	return appcmdIIS{
		appcmd:       appcmd{r.run},
		expand:       func(s string) string { return strings.ReplaceAll(s, "%SystemDrive%", "C:") },
		folderExists: func(folder string) bool { return folder == `C:\inetpub\wwwroot/images` },
	}, r
}

func TestInventoryOfTheWebServer(t *testing.T) {
	iis, _ := recordedIIS(t)
	got, err := iis.Inventory(t.Context(), "Default Web Site", "Default Web Site/crl", "Default Web Site/images", "Default Web Site/none", "No Site")
	if err != nil {
		t.Fatal(err)
	}
	want := &actionv1.IISInventory{
		Installed: true,
		Sites:     []*actionv1.IISSite{{Name: "Default Web Site", Started: true}, {Name: "WSUS Administration"}},
		Pools: []*actionv1.IISPool{
			{Name: "DefaultAppPool", Started: true, Identity: "ApplicationPoolIdentity"}, {Name: "plant & nes", Identity: "LocalService"},
		},
		Applications: []*actionv1.IISApplication{
			{Site: "Default Web Site", Path: "/", Pool: "DefaultAppPool", Folder: `C:\inetpub\wwwroot`},
			{Site: "Default Web Site", Path: "/plant", Pool: "plant & nes", Folder: `C:\inetpub\wwwroot\plant\nes`},
		},
		SslFlags: map[string]string{
			"Default Web Site": "Ssl,SslNegotiateCert", "Default Web Site/crl": "Ssl,SslNegotiateCert", "Default Web Site/images": "Ssl,SslNegotiateCert",
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
}

func TestChangesOfTheWebServer(t *testing.T) {
	const flags, identity = actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY
	ctx := t.Context()
	for name, c := range map[string]struct {
		do   func(IIS) error
		want []string
	}{
		"ssl flags": {
			func(i IIS) error { return i.Set(ctx, flags, "Default Web Site/crl", "SslNegotiateCert") },
			[]string{"set|config|Default Web Site/crl|/section:system.webServer/security/access|/sslFlags:SslNegotiateCert|/commit:apphost"},
		},
		"no ssl flags": {
			func(i IIS) error { return i.Set(ctx, flags, "Default Web Site", "None") },
			[]string{"set|config|Default Web Site|/section:system.webServer/security/access|/sslFlags:None|/commit:apphost"},
		},
		"identity": {
			func(i IIS) error { return i.Set(ctx, identity, "plant & nes", "LocalSystem") },
			[]string{"set|apppool|/apppool.name:plant & nes|/processModel.identityType:LocalSystem"},
		},
		"start a site":         {func(i IIS) error { return i.StartSite(ctx, "WSUS Administration") }, []string{"start|site|/site.name:WSUS Administration"}},
		"site started already": {func(i IIS) error { return i.StartSite(ctx, "Default Web Site") }, nil},
		"start a pool":         {func(i IIS) error { return i.StartPool(ctx, "plant & nes") }, []string{"start|apppool|/apppool.name:plant & nes"}},
		"pool started already": {func(i IIS) error { return i.StartPool(ctx, "DefaultAppPool") }, nil},
		"recycle":              {func(i IIS) error { return i.RecyclePool(ctx, "DefaultAppPool") }, []string{"recycle|apppool|/apppool.name:DefaultAppPool"}},
	} {
		iis, commands := recordedIIS(t)
		if err := c.do(iis); err != nil || !slices.Equal(commands.done, c.want) {
			t.Errorf("%s: %v, commands %q; want %q", name, err, commands.done, c.want)
		}
	}
}

// TestWhatTheWebServerIsNotAsked: bad input is refused before a command is run.
func TestWhatTheWebServerIsNotAsked(t *testing.T) {
	const flags, identity = actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS, actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY
	ctx := t.Context()
	for name, c := range map[string]struct {
		do   func(IIS) error
		want error
	}{
		"unknown flag":            {do: func(i IIS) error { return i.Set(ctx, flags, "Default Web Site", "Ssl,All") }},
		"flag with an option":     {do: func(i IIS) error { return i.Set(ctx, flags, "Default Web Site", "Ssl /commit:webroot") }},
		"unknown location":        {do: func(i IIS) error { return i.Set(ctx, flags, "Default Web Site/none", "None") }, want: ErrNotExist},
		"location that goes up":   {do: func(i IIS) error { return i.Set(ctx, flags, "Default Web Site/../x", "None") }},
		"unknown identity":        {do: func(i IIS) error { return i.Set(ctx, identity, "DefaultAppPool", "Administrator") }},
		"unknown pool":            {do: func(i IIS) error { return i.Set(ctx, identity, "none", "LocalSystem") }, want: ErrNotExist},
		"pool that is an option":  {do: func(i IIS) error { return i.RecyclePool(ctx, "/apppool.name:x") }},
		"pool with quotes":        {do: func(i IIS) error { return i.StartPool(ctx, `a" /b:"c`) }},
		"unknown site":            {do: func(i IIS) error { return i.StartSite(ctx, "none") }, want: ErrNotExist},
		"attribute of later days": {do: func(i IIS) error { return i.Set(ctx, 99, "DefaultAppPool", "x") }, want: ErrNotSupported},
	} {
		iis, commands := recordedIIS(t)
		if err := c.do(iis); err == nil || c.want != nil && !errors.Is(err, c.want) || len(commands.done) != 0 {
			t.Errorf("%s: %v, commands %q; want an error (%v) and no command", name, err, commands.done, c.want)
		}
	}
}

func TestAnswersOfAppcmd(t *testing.T) {
	for name, c := range map[string]struct {
		output  string
		code    int
		problem string
	}{
		"nothing found":    {"", 1, ""},
		"an empty list":    {"<?xml version=\"1.0\"?>\r\n<appcmd>\r\n</appcmd>", 1, ""},
		"words":            {"ERROR ( message:Cannot find SITE object )", 1168, "Cannot find SITE object"},
		"in XML":           {`<appcmd><ERROR message="Access is denied." /></appcmd>`, 5, "Access is denied"},
		"no rights":        {"", 5, "code 5"},
		"cut off":          {"<appcmd><SITE ", 0, "cannot be read"},
		"a line before it": {"warning\r\n<appcmd/>", 0, ""},
	} {
		_, err := parseAppcmd(c.output, c.code)
		if (err != nil) != (c.problem != "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v, want a problem with %q", name, err, c.problem)
		}
	}
	iis, commands := recordedIIS(t)
	commands.fail = true
	if err := iis.RecyclePool(t.Context(), "DefaultAppPool"); err == nil || !strings.Contains(err.Error(), `"DefaultAppPool"`) || !strings.Contains(err.Error(), "Configuration error") {
		t.Errorf("a command that fails: %v, want the pool and what appcmd says", err)
	}
}
