package detect

import (
	"cmp"
	"time"
)

// Timings say how often things are read. Zero values mean the defaults, which keep an idle agent below 0.2 % of a core.
type Timings struct {
	// Cheap: sizes and times of files, values of the registry, the adapter.
	Cheap time.Duration
	// Middling: facts of the machine, and services although they are watched.
	Middling time.Duration
	// Probes: connections to other machines. Up to a tenth is added by chance, so that a fleet does not connect in step.
	Probes time.Duration
	// Web: what the web server has to be asked by starting a program.
	Web time.Duration
	// Expensive: stores of certificates.
	Expensive time.Duration
	// Rare: the features of Windows, which take seconds to list.
	Rare time.Duration
	// Patience is how long one reader may take before what it reads is unknown.
	Patience time.Duration
	// Again is the least time between two reports of a fault that lasts and stays the same; it doubles up to AgainMost.
	Again, AgainMost time.Duration
}

const (
	// probeTimeout is how long one connection may take.
	probeTimeout = 5 * time.Second
	// changeGap is the least time between two reports of a fault whose evidence goes on changing.
	changeGap = 5 * time.Second
	// retryGap is how soon a report that the sink did not keep is offered again, and a watch that ended is begun again.
	retryGap = 5 * time.Second
	// unwatched is how often services are read while they cannot be watched.
	unwatched = 2 * time.Second
)

// filled puts the defaults where nothing is said.
func (t Timings) filled() Timings {
	return Timings{
		Cheap:     cmp.Or(t.Cheap, 10*time.Second),
		Middling:  cmp.Or(t.Middling, time.Minute),
		Probes:    cmp.Or(t.Probes, time.Minute),
		Web:       cmp.Or(t.Web, 5*time.Minute),
		Expensive: cmp.Or(t.Expensive, 15*time.Minute),
		Rare:      cmp.Or(t.Rare, time.Hour),
		Patience:  cmp.Or(t.Patience, time.Minute),
		Again:     cmp.Or(t.Again, time.Minute),
		AgainMost: cmp.Or(t.AgainMost, 10*time.Minute),
	}
}

// cost is how often something is read.
type cost int

const (
	watched cost = iota
	cheap
	middling
	probing
	web
	expensive
	rare
)

// period is the time between two reads.
func (t Timings) period(c cost) time.Duration {
	switch c {
	case cheap:
		return t.Cheap
	case probing:
		return t.Probes
	case web:
		return t.Web
	case expensive:
		return t.Expensive
	case rare:
		return t.Rare
	case watched, middling:
	}
	return t.Middling
}
