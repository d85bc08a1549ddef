package service

import (
	"strings"
	"testing"
)

func TestUnitQuotesWhatSystemdWouldExpand(t *testing.T) {
	text, err := unitText(Config{
		Description: "Bandfleet agent,\nat 100%",
		Executable:  "/opt/band fleet/fleet-agent",
		Args:        []string{"service", "run", "--data-dir", `/srv/a%n$HOME"x\`},
		DataDir:     "/srv/data",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Description=Bandfleet agent, at 100%%\n",
		`ExecStart="/opt/band fleet/fleet-agent" service run --data-dir "/srv/a%%n$$HOME\"x\\"` + "\n",
		"ReadWritePaths=-/srv/data\n",
		"Type=notify\n", "Restart=always\n", "NoNewPrivileges=yes\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the unit lacks %q; it is:\n%s", want, text)
		}
	}
}

func TestUnitUsesAStateDirectoryBelowVarLib(t *testing.T) {
	text, err := unitText(Config{Executable: "/usr/bin/fleet-agent", DataDir: "/var/lib/bandfleet-agent"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "StateDirectory=bandfleet-agent\n") || strings.Contains(text, "ReadWritePaths=-/var/lib") {
		t.Errorf("want a StateDirectory, which systemd makes and keeps private; the unit is:\n%s", text)
	}
}

func TestUnitRefusesNewlines(t *testing.T) {
	if text, err := unitText(Config{Executable: "/bin/x", Changes: []string{"/srv/a\nUser=evil"}}); err == nil {
		t.Errorf("want an error: a line end in a folder would add a setting of the caller's choice to the unit:\n%s", text)
	}
	if text, err := unitText(Config{Executable: "/bin/x", Args: []string{"a\nExecStartPre=/bin/evil"}}); err == nil {
		t.Errorf("want an error: a line end in an argument would add a setting of the caller's choice to the unit:\n%s", text)
	}
}

// TestUnitLetsTheAgentWriteWhatItRepairs: everything else stays read-only.
func TestUnitLetsTheAgentWriteWhatItRepairs(t *testing.T) {
	text, err := unitText(Config{Executable: "/opt/fleet-agent", DataDir: "/var/lib/bandfleet-agent", Changes: []string{"/usr/bin", "/srv/n e s"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ProtectSystem=strict\n", "ReadWritePaths=-/sys/devices -/sys/bus/usb/devices\n", "ReadWritePaths=-/usr/bin\n", "ReadWritePaths=\"-/srv/n e s\"\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the unit lacks %q; it is:\n%s", want, text)
		}
	}
}
