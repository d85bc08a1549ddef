package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/bandfleet/bandfleet/server/artifacts"
)

// parseSize reads a number of bytes: a whole number and its unit ("512MiB").
func parseSize(text string) (uint64, error) {
	for unit, shift := range map[string]uint{"MiB": 20, "GiB": 30, "TiB": 40} {
		digits, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 20)
		if err != nil || n == 0 {
			return 0, errors.New("no whole number")
		}
		return n << shift, nil
	}
	return 0, errors.New("no unit")
}

// artifactLimits are the limits of a checked configuration.
func (c *config) artifactLimits() artifacts.Limits {
	total, _ := parseSize(c.ArtifactsMaxTotal)
	return artifacts.Limits{MaxTotal: total, Retention: c.ArtifactsRetention}
}
