package guided

import (
	"math"
	"strconv"
	"time"
)

const (
	// LockoutFrom is how many failed fingerprint matches in a row lock a band.
	LockoutFrom = 5
	// longestLockout is where the doubling ends.
	longestLockout = 60 * time.Minute
	// MostFailures is more than anybody can have counted: the hours that they take would have been noticed.
	MostFailures = 1000
)

// Lockout is how long a band is locked after so many failed fingerprint matches in a row: a minute after the fifth, twice as long after
// each further one, an hour at most. Taking the band off, charging it or letting it run empty does not shorten it. 0 means that it is not
// locked.
func Lockout(failures uint32) time.Duration {
	if failures < LockoutFrom {
		return 0
	}
	minutes := math.Exp2(float64(min(failures-LockoutFrom, 16)))
	return min(time.Duration(minutes)*time.Minute, longestLockout)
}

// failuresIn reads the count that an order for a lockout brings; 0 when it brings none.
func failuresIn(params map[string]string) uint32 {
	n, err := strconv.ParseUint(params[paramFailures], 10, 32)
	if err != nil || n > MostFailures {
		return 0
	}
	return uint32(n)
}
