package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/bandfleet/bandfleet/agent/host"
)

// programEntry is a program that this agent may run: nobody else can add one, nor change what it is.
type programEntry struct {
	// Name is what actions call it ("firmware-log-tool").
	Name string `yaml:"name"`
	Path string `yaml:"path"`
	// SHA256 are the approved hashes of the file, lower case hexadecimal.
	SHA256 []string `yaml:"sha256"`
	// Arguments it is always run with.
	Arguments []string `yaml:"arguments"`
	// Folder it runs in; the folder of path when empty.
	Folder string `yaml:"folder"`
}

var (
	programName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	sha256Text  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	rootName    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
)

// checkPrograms returns everything that is wrong with the list.
func checkPrograms(list []programEntry) []error {
	var out []error
	seen := map[string]bool{}
	for i, p := range list {
		if seen[p.Name] {
			out = append(out, fmt.Errorf("programs[%d]: there is another one named %q", i, p.Name))
		}
		seen[p.Name] = true
		for _, err := range p.check() {
			out = append(out, fmt.Errorf("programs[%d]: %w", i, err))
		}
	}
	return out
}

func (p programEntry) check() []error {
	var out []error
	if !programName.MatchString(p.Name) {
		out = append(out, fmt.Errorf("name %q: want lower case letters, digits and dashes", p.Name))
	}
	if !filepath.IsAbs(p.Path) {
		out = append(out, fmt.Errorf("path %q: want an absolute path", p.Path))
	}
	if p.Folder != "" && !filepath.IsAbs(p.Folder) {
		out = append(out, fmt.Errorf("folder %q: want an absolute path", p.Folder))
	}
	if len(p.SHA256) == 0 {
		out = append(out, errors.New("sha256: want at least one approved hash of the file"))
	}
	for _, hash := range p.SHA256 {
		if !sha256Text.MatchString(hash) {
			out = append(out, fmt.Errorf("sha256 %q: want 64 lower case hexadecimal digits", hash))
		}
	}
	return out
}

// checkLogs returns everything that is wrong with the further folders of logs.
func checkLogs(logs, roots map[string]string) []error {
	var out []error
	for name, path := range logs {
		if !rootName.MatchString(name) {
			out = append(out, fmt.Errorf("logs.%s: want a name of lower case letters, digits and dashes", name))
		}
		if !filepath.IsAbs(path) {
			out = append(out, fmt.Errorf("logs.%s: path %q: want an absolute path", name, path))
		}
		if roots[name] != "" {
			out = append(out, fmt.Errorf("logs.%s: there is a root of that name: what is in logs is only read", name))
		}
		if slices.Contains(host.WritableRoots(), name) {
			out = append(out, fmt.Errorf("logs.%s: actions write to that root: set it in roots", name))
		}
	}
	return out
}

// programs is the allow-list as the machine takes it.
func (s settings) programs() map[string]host.Program {
	list := map[string]host.Program{}
	for _, p := range s.Programs {
		list[p.Name] = host.Program{Path: p.Path, SHA256: p.SHA256, Arguments: p.Arguments, Folder: p.Folder}
	}
	return list
}

// logRoots are the machine's own folders with logs and those of the configuration, which win.
func (s settings) logRoots() map[string]string {
	all := map[string]string{}
	maps.Copy(all, host.DefaultLogRoots())
	maps.Copy(all, s.Logs)
	return all
}
