// Package plugins finds, checks and starts action plugins. What may run is pinned: at enrolment the agent reads plugins.lock
// beside the plugins (ReadLock) and keeps a copy of its own (SavePins); from then on a plugin whose file or manifest differs
// from its pin is refused. Set implements the runner's Plugins; each run gets a process of its own over mutual TLS, without the
// agent's environment, ended together with its children. Callers: the agent's enrolment, its wiring, and
// `fleet-agent plugins lock`, which writes plugins.lock (WriteLock) when a release is built.
package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

// Pin is one plugin that may run: which file, with which content, and what it may ask for.
type Pin struct {
	// File is the absolute path of the executable.
	File string
	// SHA256 is the file's hash in lower case hexadecimal.
	SHA256 string
	// Manifest is what the plugin said of itself when it was pinned.
	Manifest *actionv1.Manifest
}

// pinsVersion is the version of the format of plugins.lock and of the agent's copy.
const pinsVersion = 1

// pinsFile is the JSON form of both files; in plugins.lock the file names are relative to its folder.
type pinsFile struct {
	Version int        `json:"version"`
	Plugins []pinEntry `json:"plugins"`
}

type pinEntry struct {
	File     string          `json:"file"`
	SHA256   string          `json:"sha256"`
	Manifest json.RawMessage `json:"manifest"`
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// SavePins writes the agent's own copy of its pins, atomically and readable by the agent's user alone.
func SavePins(path string, pins []Pin) error {
	content, err := encodePins(pins)
	if err != nil {
		return fmt.Errorf("pins %q: %w", path, err)
	}
	return writeFile(path, content, 0o600)
}

// LoadPins reads what SavePins wrote. Whether the files still match is checked at each start of a plugin.
func LoadPins(path string) ([]Pin, error) {
	content, err := readPins(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pins %q: not there: run `fleet-agent enroll` again", path)
	}
	if err != nil {
		return nil, err
	}
	pins, err := decodePins(content)
	if err != nil {
		return nil, fmt.Errorf("pins %q: %w: run `fleet-agent enroll` again", path, err)
	}
	return pins, nil
}

// maxPins bounds both files, in bytes: manifests are small.
const maxPins = 4 << 20

// readPins reads a file of pins, and no more of another than shows that it is none.
func readPins(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxPins+1))
	if err == nil && len(content) > maxPins {
		err = fmt.Errorf("file %q: is larger than a list of pinned plugins may be (%d bytes): reinstall the agent", path, maxPins)
	}
	return content, err
}

// encodePins returns the same bytes for the same pins.
func encodePins(pins []Pin) ([]byte, error) {
	out := pinsFile{Version: pinsVersion, Plugins: make([]pinEntry, 0, len(pins))}
	for _, p := range pins {
		manifest, err := protojson.Marshal(p.Manifest)
		if err != nil {
			return nil, err
		}
		out.Plugins = append(out.Plugins, pinEntry{p.File, p.SHA256, manifest})
	}
	// protojson varies its blanks on purpose; indenting writes them anew.
	content, err := json.MarshalIndent(out, "", "  ")
	return append(content, '\n'), err
}

func decodePins(content []byte) ([]Pin, error) {
	var in pinsFile
	dec := json.NewDecoder(strings.NewReader(string(content)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("not a list of pinned plugins: %w", err)
	}
	if dec.More() {
		return nil, errors.New("not a list of pinned plugins: something follows it")
	}
	if in.Version != pinsVersion {
		return nil, fmt.Errorf("format version %d, this agent reads %d", in.Version, pinsVersion)
	}
	pins := make([]Pin, 0, len(in.Plugins))
	for _, e := range in.Plugins {
		m := new(actionv1.Manifest)
		if err := protojson.Unmarshal(e.Manifest, m); err != nil {
			return nil, fmt.Errorf("plugin %q: manifest: %w", e.File, err)
		}
		pins = append(pins, Pin{File: e.File, SHA256: e.SHA256, Manifest: m})
	}
	return pins, nil
}

// checkPin refuses a pin that cannot be right, whatever the file holds.
func checkPin(p Pin) error {
	name := p.Manifest.GetName()
	switch {
	case !namePattern.MatchString(name):
		return fmt.Errorf("plugin %q: the name must be lower case letters, digits and dashes", name)
	case !filepath.IsAbs(p.File):
		return fmt.Errorf("plugin %q: path %q is not absolute", name, p.File)
	case pluginName(p.File) != name:
		return fmt.Errorf("plugin %q: its file is named %q", name, filepath.Base(p.File))
	case !sha256Pattern.MatchString(p.SHA256):
		return fmt.Errorf("plugin %q: %q is no SHA-256 in lower case hexadecimal", name, p.SHA256)
	case p.Manifest.GetProtocolVersion() != handshake.ProtocolVersion:
		return fmt.Errorf("plugin %q: %s", name, versionProblem(fmt.Sprint(p.Manifest.GetProtocolVersion())))
	case len(p.Manifest.GetActions()) == 0:
		return fmt.Errorf("plugin %q: it offers no action", name)
	}
	for _, a := range p.Manifest.GetActions() {
		if err := checkAsking(a); err != nil {
			return fmt.Errorf("plugin %q: action %q: %w", name, a.GetName(), err)
		}
	}
	return nil
}

// checkAsking refuses an action that may ask a person and could never have the answer.
func checkAsking(a *actionv1.Action) error {
	for _, c := range a.GetCapabilities() {
		switch least := 10 * time.Second; {
		case c.GetKind() != actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM:
		case c.GetObject() != "":
			return fmt.Errorf("the right to ask a person has the object %q, want none", c.GetObject())
		case a.GetReadOnly():
			return errors.New("it says that it only reads, and asks a person, which is an effect")
		case a.GetMaxDuration().AsDuration() <= least:
			return fmt.Errorf("it asks a person, and its max_duration is %s: want more than %s, the shortest wait for one", a.GetMaxDuration().AsDuration(), least)
		}
	}
	return nil
}

// versionProblem says that a plugin speaks another version of the protocol, and what to do.
func versionProblem(version string) string {
	return fmt.Sprintf("it speaks protocol %s, this agent speaks %d: update the agent and its plugins to the same release",
		version, handshake.ProtocolVersion)
}

// pluginName is a plugin's name by its file's.
func pluginName(file string) string { return strings.TrimSuffix(filepath.Base(file), ".exe") }

// writeFile replaces a file in one step and has it on disk before it returns.
func writeFile(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
