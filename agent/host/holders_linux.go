package host

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Holders implements Files, by the links that the kernel shows of each process: open files, the folder that it stands in, its program.
// Of processes that this account may not look into nothing is told.
func (f *localFiles) Holders(ctx context.Context, root string) ([]*actionv1.HandleHolder, error) {
	folder, err := f.roots.folder(ctx, root)
	if err != nil {
		return nil, err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return nil, fileError(root, ".", err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("who holds files of root %q: %w", root, err)
	}
	var holders []*actionv1.HandleHolder
	for _, entry := range entries {
		pid, err := strconv.ParseUint(entry.Name(), 10, 32)
		if err != nil || !holdsBelow(entry.Name(), folder) {
			continue
		}
		name, err := readLine("/proc/" + entry.Name() + "/comm")
		if err == nil { // else it has just ended
			holders = append(holders, &actionv1.HandleHolder{Pid: uint32(pid), Program: name})
		}
	}
	slices.SortFunc(holders, func(a, b *actionv1.HandleHolder) int { return cmp.Compare(a.GetPid(), b.GetPid()) })
	return holders, nil
}

func holdsBelow(pid, folder string) bool {
	links, _ := filepath.Glob("/proc/" + pid + "/fd/*") // the pattern is a valid one
	for _, link := range append(links, "/proc/"+pid+"/cwd", "/proc/"+pid+"/exe") {
		target, err := os.Readlink(link)
		if err == nil && (target == folder || strings.HasPrefix(target, strings.TrimSuffix(folder, "/")+"/")) {
			return true
		}
	}
	return false
}
