package logs

import "time"

// Timings say how often and how much is read. Fields that are 0 get their defaults.
type Timings struct {
	// Look is how often files that were written to lately are looked at; Scan how often all folders are.
	Look, Scan time.Duration
	// Partial is how long a last line without an end must be left alone before it is taken for a whole one.
	Partial time.Duration
	// Save is the least time between two writes of the marks.
	Save time.Duration
	// Rate is how much is read, in bytes a second over all files.
	Rate int64
	// Behind is how far behind the end of a file reading may be, in bytes; what is further back is skipped, and that is told.
	Behind int64
}

func (t Timings) withDefaults() Timings {
	or := func(d *time.Duration, by time.Duration) {
		if *d <= 0 {
			*d = by
		}
	}
	or(&t.Look, 2*time.Second)
	or(&t.Scan, 15*time.Second)
	or(&t.Partial, 30*time.Second)
	or(&t.Save, 5*time.Second)
	if t.Rate <= 0 {
		t.Rate = 8 << 20
	}
	if t.Behind <= 0 {
		t.Behind = 64 << 20
	}
	return t
}
