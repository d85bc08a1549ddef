package host

import "time"

// LocalConfig says where things are on this machine.
type LocalConfig struct {
	// Roots are the folders that Files serves, by name of the root; nil means DefaultRoots.
	Roots map[string]string
	// Logs are folders with logs, by name of the root; they are only read. See DefaultLogRoots.
	Logs map[string]string
	// ServiceKeys are the operating system's own names of services whose display name alone does not lead to them
	// (display name → service name on Windows, unit on Linux).
	ServiceKeys map[string]string
	// QuietAfter is how long after the last input a person counts as active; 0 means DefaultQuietAfter.
	QuietAfter time.Duration
	// Programs is the allow-list of programs, by name.
	Programs map[string]Program
}

// Local returns the machine that this program runs on.
func Local(cfg LocalConfig) (*Host, error) {
	return newLocal(newRoots(cfg), cfg)
}
