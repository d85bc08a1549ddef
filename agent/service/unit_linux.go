package service

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
	"unicode"
)

// unitTemplate is the unit. What is hardened leaves the agent what its work needs: the system bus, the network, children that
// it starts and ends, and the files of what it repairs. MemoryDenyWriteExecute is absent because a plugin may be
// written in a language that compiles as it runs; the capability set is not narrowed because a plugin's account may differ
// from the agent's.
const unitTemplate = `# Written by "fleet-agent service install"; "fleet-agent service uninstall" removes it.
[Unit]
Description={{.Description}}
Documentation=https://github.com/bandfleet/bandfleet
Wants=network-online.target
After=network-online.target dbus.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={{.Command}}
Restart=always
RestartSec=5
TimeoutStopSec={{.StopSeconds}}
KillMode=mixed
{{if .StateDirectory}}StateDirectory={{.StateDirectory}}
StateDirectoryMode=0700
{{else}}ReadWritePaths={{.DataDir}}
{{end}}UMask=0077
LimitCORE=0
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ProtectHome=read-only
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`

// stateRoot is where systemd makes state directories.
const stateRoot = "/var/lib"

// unitText fills the template.
func unitText(c Config) (string, error) {
	words := append([]string{c.Executable}, c.Args...)
	for i, word := range words {
		if strings.ContainsFunc(word, unicode.IsControl) {
			return "", fmt.Errorf("%q: control characters cannot stand in a unit", word)
		}
		words[i] = quote(word)
	}
	data := map[string]any{
		"Description": oneLine(c.Description),
		"Command":     strings.Join(words, " "),
		"StopSeconds": int(stopTimeout.Seconds()),
		"DataDir":     quotePath("-" + c.DataDir),
	}
	if filepath.Dir(c.DataDir) == stateRoot {
		data["StateDirectory"] = quotePath(filepath.Base(c.DataDir))
	}
	var text strings.Builder
	err := template.Must(template.New("unit").Parse(unitTemplate)).Execute(&text, data)
	return text.String(), err
}

// quote makes one word of a command line: see systemd.syntax(7) and, for % and $, systemd.unit(5) and systemd.service(5).
func quote(word string) string { return quotePath(strings.ReplaceAll(word, "$", "$$")) }

// quotePath makes one word of a setting in which variables are not expanded.
func quotePath(word string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(word)
	if escaped == word && !strings.ContainsAny(word, " ';") {
		return word
	}
	return `"` + escaped + `"`
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "%", "%%")), " ")
}
