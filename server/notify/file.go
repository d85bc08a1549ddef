package notify

import (
	"context"
	"encoding/json"
	"errors"
	"os"
)

// file adds lines of JSON to a file, each on disk before the next. The file is opened for each, so that it may be moved away at any time.
type file struct{ path string }

func (f file) send(_ context.Context, m *message) (answer string, err error) {
	text, err := json.Marshal(payload(m))
	if err != nil {
		return "", refused{err}
	}
	out, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.Write(append(text, '\n')); err != nil {
		return "", err
	}
	return "written to " + f.path, out.Sync()
}
