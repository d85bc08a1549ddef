package main

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleet-agent",
		Short: "The Bandfleet agent of one machine",
		Long: `fleet-agent enrols this machine in a fleet and carries out there what the fleet's server asks for.

` + exitHelp,
		Example: `  fleet-agent enroll --server fleet.example.com:7443 --plugins /opt/bandfleet/plugins --token-file token
  fleet-agent run`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newInstall(), newUninstall(), newEnroll(), newRun(), newService(), newSim(), newPlugins(), newVersion())
	return root
}

// defaultProgramDir is where a release of the agent is installed unless told otherwise.
func defaultProgramDir() string {
	if runtime.GOOS == "windows" {
		// A 32-bit program that distributes software has the other folder in ProgramFiles.
		return filepath.Join(cmp.Or(os.Getenv("ProgramW6432"), os.Getenv("ProgramFiles"), `C:\Program Files`), "Bandfleet")
	}
	return "/opt/bandfleet"
}

// defaultDataDir is where an agent keeps its identity and its journal unless told otherwise.
func defaultDataDir() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "Bandfleet", "agent")
	}
	return "/var/lib/bandfleet-agent"
}
