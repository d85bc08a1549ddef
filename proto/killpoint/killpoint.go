//go:build killpoints

package killpoint

import "os"

// Variable names the environment variable that holds the point at which the process dies.
const Variable = "BANDFLEET_KILLPOINT"

// Armed says whether the process is to die at the point with this name.
func Armed(name string) bool { return os.Getenv(Variable) == name }

// Reach is called at the point with this name. When the process is to die there it does not return.
func Reach(name string) {
	if !Armed(name) {
		return
	}
	// SIGKILL, or what Windows has for it.
	if self, err := os.FindProcess(os.Getpid()); err != nil || self.Kill() != nil {
		panic("killpoint " + name + ": the process cannot kill itself")
	}
	select {} // the signal is on its way; nothing after this point may happen
}
