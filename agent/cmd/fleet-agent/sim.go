package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/host/sim"
)

func newSim() *cobra.Command {
	return group(&cobra.Command{
		Use:   "sim",
		Short: "Make, look at and break a simulated terminal",
		Long: `Make, look at and break a simulated terminal: a folder whose services are real child processes. An agent acts on it
with --host sim:DIR.`,
		Example: `  fleet-agent sim init ./terminal
  fleet-agent sim set ./terminal service "Nymi Bluetooth Endpoint" hang-on-stop
  fleet-agent sim set ./terminal adapter absent
  fleet-agent sim set ./terminal user alice active
  fleet-agent sim show ./terminal
  fleet-agent sim stop ./terminal`,
	}, newSimInit(), newSimShow(), newSimSet(), newSimStop())
}

func newSimInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Make a simulated terminal: both services running, adapter present, nbe.toml and log folders",
		Args:  takes(1, 1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := sim.Init(args[0], sim.Options{}); err != nil {
				return asInput(err)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "simulated terminal %q: both services run, the adapter is present\n"+
				"next: enrol and run an agent with --host sim:%s; end its services with `fleet-agent sim stop %s`\n", args[0], args[0], args[0])
			return err
		}),
	}
}

func newSimShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show DIR",
		Short: "Print the state of a simulated terminal as JSON",
		Args:  takes(1, 1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			text, err := sim.Show(args[0])
			if err != nil {
				return asInput(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		}),
	}
}

func newSimSet() *cobra.Command {
	return &cobra.Command{
		Use:   "set DIR service NAME STATE | set DIR adapter STATE | set DIR user NAME ACTIVITY",
		Short: "Change a simulated terminal",
		Long: `Change a simulated terminal.

  set DIR service NAME stopped         stop the service
  set DIR service NAME running         start the service
  set DIR service NAME normal          let it behave well again
  set DIR service NAME hang-on-stop    from now on it does not stop when it is asked to
  set DIR service NAME crash-on-start  from now on it ends with an error when it starts
  set DIR service NAME die-after=5s    from now on it ends by itself so long after each start
  set DIR adapter absent|present       pull the Bluetooth adapter out, or plug it in
  set DIR user NAME active             sign somebody in, who is at work; also idle (no input for a while) and away (locked)
  set DIR user NAME none               sign somebody out`,
		Args: takes(3, 4),
		RunE: action(func(_ *cobra.Command, args []string) error {
			return asInput(sim.Set(args[0], args[1:]...))
		}),
	}
}

func newSimStop() *cobra.Command {
	return &cobra.Command{
		Use:   "stop DIR",
		Short: "End the processes of a simulated terminal",
		Args:  takes(1, 1),
		RunE: action(func(_ *cobra.Command, args []string) error {
			return asInput(sim.Shutdown(args[0]))
		}),
	}
}

// asInput treats an error about a simulated terminal as the person's to mend: it is a folder of theirs.
func asInput(err error) error {
	if err == nil {
		return nil
	}
	return &agent.InputError{Err: err}
}
