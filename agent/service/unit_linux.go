package service

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"unicode"
)

// unitTemplate is the unit. What is hardened leaves the agent what its work needs: the system bus, the network, children that
// it starts and ends, and the folders of the files that it repairs. ProtectSystem is strict because a thin client's nbe.toml lies in
// /usr/bin, which "full" keeps read-only whatever ReadWritePaths says, wherever /bin is a link to it. The devices in /sys are left out of
// ProtectKernelTunables: a USB adapter is switched off and on there. MemoryDenyWriteExecute is absent
// because a plugin may be written in a language that compiles as it runs; the capability set is not narrowed because a plugin's account
// may differ from the agent's.
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
{{end}}{{range .Changes}}ReadWritePaths={{.}}
{{end}}UMask=0077
LimitCORE=0
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ReadWritePaths=-/sys/devices -/sys/bus/usb/devices
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
	for _, word := range slices.Concat(words, c.Changes) {
		if strings.ContainsFunc(word, unicode.IsControl) {
			return "", fmt.Errorf("%q: control characters cannot stand in a unit", word)
		}
	}
	for i, word := range words {
		words[i] = quote(word)
	}
	data := map[string]any{
		"Description": oneLine(c.Description),
		"Command":     strings.Join(words, " "),
		"StopSeconds": int(stopTimeout.Seconds()),
		"DataDir":     writable(c.DataDir)[0],
		"Changes":     writable(c.Changes...),
	}
	if filepath.Dir(c.DataDir) == stateRoot {
		data["StateDirectory"] = quotePath(filepath.Base(c.DataDir))
	}
	var text strings.Builder
	err := template.Must(template.New("unit").Parse(unitTemplate)).Execute(&text, data)
	return text.String(), err
}

// writable are folders as ReadWritePaths takes them; one that is not there is no error.
func writable(folders ...string) []string {
	words := make([]string, len(folders))
	for i, folder := range folders {
		words[i] = quotePath("-" + folder)
	}
	return words
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
