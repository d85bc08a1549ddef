package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"

	"github.com/bandfleet/bandfleet/agent/configfile"
	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxListed bounds the files of one list.
const maxListed = 5000

func (p *phaseCalls) queryConfig(ctx context.Context, q *actionv1.ConfigQuery) (*actionv1.QueryResult, error) {
	if q.GetFormat() == actionv1.ConfigFormat_CONFIG_FORMAT_UNSPECIFIED {
		return nil, p.refuse("it asked for the keys of file %q without its format", clip(q.GetPath(), maxName))
	}
	state, err := readConfig(ctx, p.c.r.host.Files, q.GetRoot(), q.GetPath(), q.GetFormat())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Config{Config: state}}, nil
}

// readConfig reads the keys of a configuration file. A file that is not there, or is not what it should be, is no error.
func readConfig(ctx context.Context, files host.Files, root, name string, format actionv1.ConfigFormat) (*actionv1.ConfigState, error) {
	state := &actionv1.ConfigState{Root: root, Path: name}
	file, err := readFile(ctx, files, root, name, maxFileRead)
	if err != nil || !file.GetExists() {
		return state, err
	}
	state.Exists = true
	if file.GetTruncated() {
		state.Malformed = fmt.Sprintf("is larger than %d bytes, which no such file should be", maxFileRead)
		return state, nil
	}
	sum := sha256.Sum256(file.GetContent())
	state.Sha256 = hex.EncodeToString(sum[:])
	parsed, err := configfile.Parse(format, file.GetContent())
	var malformed *configfile.MalformedError
	switch {
	case errors.As(err, &malformed):
		state.Malformed = malformed.Error()
	case err != nil:
		return nil, fmt.Errorf("file %q: %w", name, err)
	default:
		state.Values = parsed.Values
	}
	return state, nil
}

func (p *phaseCalls) queryFileList(ctx context.Context, q *actionv1.FileListQuery) (*actionv1.QueryResult, error) {
	files, err := listFiles(ctx, p.c.r.host.Files, q.GetRoot(), q.GetPath())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_FileList{FileList: &actionv1.FileList{Files: files}}}, nil
}

// listFiles lists the files right in a folder. A folder that is not there has none; what is no file, or is gone again, is left out.
func listFiles(ctx context.Context, files host.Files, root, folder string) ([]*actionv1.FileState, error) {
	names, err := files.List(ctx, root, folder)
	if errors.Is(err, host.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(names) > maxListed {
		return nil, fmt.Errorf("folder %q of root %q: has %d entries, at most %d are listed", folder, root, len(names), maxListed)
	}
	var list []*actionv1.FileState
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		state, err := files.Stat(ctx, root, path.Join(folder, name))
		if err == nil && state.GetExists() {
			list = append(list, state)
		}
	}
	return list, nil
}
