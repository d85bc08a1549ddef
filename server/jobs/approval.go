package jobs

import (
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// unapproved says why a job may not start anything for want of approval; nil when it may.
func (j *job) unapproved(time.Time) *fleetv1.Wait { return nil }
