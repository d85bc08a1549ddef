package host

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
)

// maxHeldFiles bounds how many files are asked about: the Restart Manager takes them all at once.
const maxHeldFiles = 2_000

// Holders implements Files, by the Restart Manager (restartmanager.h), which tells who has files open and, unlike a list of all handles,
// needs no driver. A folder that a program only stands in is not told.
func (f *localFiles) Holders(ctx context.Context, root string) ([]*actionv1.HandleHolder, error) {
	folder, err := f.roots.folder(ctx, root)
	if err != nil {
		return nil, err
	}
	files, err := filesBelow(folder)
	if err != nil || len(files) == 0 {
		return nil, fileError(root, ".", err)
	}
	holders, err := restartManagerList(files)
	if err != nil {
		return nil, fmt.Errorf("who holds files of root %q: %w", root, err)
	}
	return holders, nil
}

// filesBelow are the full names of the files below a folder.
func filesBelow(folder string) ([]*uint16, error) {
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer closeRoot(dir)
	var names []*uint16
	err = fs.WalkDir(dir.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := windows.UTF16PtrFromString(filepath.Join(folder, filepath.FromSlash(path)))
		if names = append(names, name); len(names) >= maxHeldFiles {
			return fs.SkipAll
		}
		return err
	})
	return names, err
}

// heldBy is RM_PROCESS_INFO.
type heldBy struct {
	pid                                uint32
	started                            windows.Filetime
	name                               [256]uint16
	service                            [64]uint16
	kind, status, session, restartable uint32
}

func restartManagerList(files []*uint16) ([]*actionv1.HandleHolder, error) {
	dll := windows.NewLazySystemDLL("rstrtmgr.dll")
	if err := dll.Load(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	var session uint32
	var key [33]uint16                                                                                                                         // CCH_RM_SESSION_KEY and a zero
	if err := status(dll.NewProc("RmStartSession").Call(uintptr(unsafe.Pointer(&session)), 0, uintptr(unsafe.Pointer(&key[0])))); err != nil { //nolint:gosec // variables of this frame
		return nil, err
	}
	defer func() { _, _, _ = dll.NewProc("RmEndSession").Call(uintptr(session)) }()                                                               // only frees
	err := status(dll.NewProc("RmRegisterResources").Call(uintptr(session), uintptr(len(files)), uintptr(unsafe.Pointer(&files[0])), 0, 0, 0, 0)) //nolint:gosec // kept alive by the caller
	if err != nil {
		return nil, err
	}
	return readHolders(dll.NewProc("RmGetList"), session)
}

// readHolders asks again with more room while there are more holders than fit.
func readHolders(list *windows.LazyProc, session uint32) ([]*actionv1.HandleHolder, error) {
	found := make([]heldBy, 16)
	for {
		var needed, reasons uint32
		count := uint32(len(found))
		err := status(list.Call(uintptr(session), uintptr(unsafe.Pointer(&needed)), uintptr(unsafe.Pointer(&count)), //nolint:gosec // variables of this frame
			uintptr(unsafe.Pointer(&found[0])), uintptr(unsafe.Pointer(&reasons)))) //nolint:gosec // likewise
		if err == windows.ERROR_MORE_DATA { //nolint:errorlint // what status returns
			found = make([]heldBy, needed+4)
			continue
		}
		if err != nil {
			return nil, err
		}
		var holders []*actionv1.HandleHolder
		for _, h := range found[:min(int(count), len(found))] {
			holders = append(holders, &actionv1.HandleHolder{Pid: h.pid, Program: windows.UTF16ToString(h.name[:])})
		}
		slices.SortFunc(holders, func(a, b *actionv1.HandleHolder) int { return cmp.Compare(a.GetPid(), b.GetPid()) })
		return holders, nil
	}
}
