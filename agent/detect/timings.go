package detect

import "time"

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
	// Expensive: stores of certificates, power schemes.
	Expensive time.Duration
	// Rare: the features of Windows, which take seconds to list.
	Rare time.Duration
	// Patience is how long one reader may take before what it reads is unknown.
	Patience time.Duration
	// Again is the least time between two reports of a fault that lasts; it doubles up to AgainMost.
	Again, AgainMost time.Duration
}
