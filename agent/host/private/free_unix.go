//go:build unix

package private

import "golang.org/x/sys/unix"

// Free returns how many bytes this account may still write where a folder lies.
func Free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
