package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

// Record is what the enrolment settled (agent.json). The server may later move or rename the terminal; what it says when a
// session opens counts, not this.
type Record struct {
	// Server is the host and port to connect to.
	Server string `json:"server"`
	// TerminalID is the terminal's id, as the certificate names it.
	TerminalID string `json:"terminal_id"`
	Name       string `json:"name"`
	Site       string `json:"site"`
	Role       string `json:"role"`
	// Host is the machine that the agent acts on: empty for the one it runs on, "sim:DIR" for a simulated one.
	Host string `json:"host,omitempty"`
}

// ReadRecord reads the record of an enrolled data directory.
func (d Dir) ReadRecord() (Record, error) {
	text, err := private.ReadFile(d.file(recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, &NotEnrolledError{Dir: d}
	}
	if err != nil {
		return Record{}, err
	}
	var r Record
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Record{}, d.damaged(recordFile, err)
	}
	if r.Server == "" || r.TerminalID == "" {
		return Record{}, d.damaged(recordFile, errors.New("no server or no terminal id"))
	}
	return r, nil
}

func (d Dir) writeRecord(r Record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return private.WriteFile(d.file(recordFile), append(text, '\n'))
}

// damaged says that a file cannot be used and what a person does about it. The content is never repeated.
func (d Dir) damaged(name string, cause error) error {
	return fmt.Errorf("file %q: %w; restore the file, or enrol this machine again with `fleet-agent enroll --force-re-enrol`",
		d.file(name), cause)
}

// NotEnrolledError says that there is no completed enrolment in a data directory.
type NotEnrolledError struct {
	Dir Dir
}

// Error implements error.
func (e *NotEnrolledError) Error() string {
	return fmt.Sprintf("data directory %q: is not enrolled; run `fleet-agent enroll --data-dir %s` with a token from `fleetctl token create`",
		string(e.Dir), string(e.Dir))
}
