// Package cli is fleetctl: one file per verb, each with a constructor of its command, the options it takes and the function
// that runs it. It owns what a person sees and is asked; calls go through cli/client, printing through cli/output, and every
// run ends with a code of cli/exit. Only cli/cmd/fleetctl calls it.
package cli
