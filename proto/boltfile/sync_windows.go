package boltfile

// syncDir does nothing: Windows has no way to flush a directory, and NTFS journals its names.
func syncDir(string) error { return nil }
