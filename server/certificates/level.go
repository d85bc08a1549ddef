package certificates

import (
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const day = 24 * time.Hour

// levelOf is how near the end of a certificate is.
func levelOf(c *actionv1.Certificate, now time.Time) fleetv1.ExpiryLevel {
	left := c.GetNotAfter().AsTime().Sub(now)
	switch {
	case c.GetNotBefore() != nil && now.Before(c.GetNotBefore().AsTime()):
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_NOT_YET_VALID
	case left < 0:
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_EXPIRED
	case left <= day:
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_1_DAY
	case left <= 7*day:
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_7_DAYS
	case left <= 14*day:
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_14_DAYS
	case left <= 30*day:
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_30_DAYS
	case left <= 60*day:
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_60_DAYS
	default:
		return fleetv1.ExpiryLevel_EXPIRY_LEVEL_GOOD
	}
}

// crossed reports whether a certificate has come to a level that is worse than the one that was noted last. One that is not valid yet
// comes to none.
func crossed(noted, now fleetv1.ExpiryLevel) bool {
	return now > noted && now > fleetv1.ExpiryLevel_EXPIRY_LEVEL_GOOD && now <= fleetv1.ExpiryLevel_EXPIRY_LEVEL_EXPIRED
}

// levelWord is a level as the audit record has it ("within 30 days").
func levelWord(l fleetv1.ExpiryLevel) string {
	if l == fleetv1.ExpiryLevel_EXPIRY_LEVEL_UNSPECIFIED {
		return ""
	}
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(l.String(), "EXPIRY_LEVEL_")), "_", " ")
}
