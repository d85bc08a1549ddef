package private

import (
	"errors"
	"fmt"
	"io"
)

// errLocked is met when another process holds the lock.
var errLocked = errors.New("another program holds it")

// Lock makes a file that one process at a time can hold. It is held until the closer is closed or the process ends, however that ends.
func Lock(path string) (io.Closer, error) {
	held, err := lock(path)
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
	return held, nil
}
