//go:build !unix

package artifacts

import "math"

// free does not know: a server that does not run on Unix relies on the limit of all artefacts alone.
func free(string) (uint64, error) { return math.MaxUint64 >> 1, nil }
