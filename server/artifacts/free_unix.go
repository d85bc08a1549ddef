//go:build unix

package artifacts

import "golang.org/x/sys/unix"

// free returns how many bytes this account may still write where a folder lies.
func free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
