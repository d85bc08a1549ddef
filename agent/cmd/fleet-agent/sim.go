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
with --host sim:DIR. With --role nes-host it is a NES host, whose web server speaks TLS on this machine alone.`,
		Example: `  fleet-agent sim init ./terminal
  fleet-agent sim init --role nes-host --hostname nes-lyon-1.example ./nes
  fleet-agent sim set ./terminal reach ./nes
  fleet-agent sim set ./terminal trust ./nes
  fleet-agent sim set ./terminal service "Nymi Bluetooth Endpoint" hang-on-stop
  fleet-agent sim set ./terminal adapter absent
  fleet-agent sim set ./terminal user alice active
  fleet-agent sim show ./terminal
  fleet-agent sim stop ./terminal`,
	}, newSimInit(), newSimShow(), newSimSet(), newSimCertificate(), newSimStop())
}

func newSimInit() *cobra.Command {
	var o sim.Options
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a simulated terminal, or a simulated NES host, with its services running",
		Args:  takes(1, 1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := sim.Init(args[0], o); err != nil {
				return asInput(err)
			}
			what := "terminal %q: both services run, the adapter is present\n"
			if o.Role == sim.RoleNESHost {
				what = "NES host %q: its web server runs\n"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "simulated "+what+
				"next: enrol and run an agent with --host sim:%s; end its services with `fleet-agent sim stop %s`\n", args[0], args[0], args[0])
			return err
		}),
	}
	cmd.Flags().StringVar(&o.Role, "role", sim.RoleUserTerminal, "what it is: "+sim.RoleUserTerminal+" or "+sim.RoleNESHost)
	cmd.Flags().StringVar(&o.Hostname, "hostname", "", "what the machine calls itself (default: the folder's name)")
	return cmd
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
		Use:   "set DIR service NAME STATE | set DIR adapter STATE | set DIR user NAME ACTIVITY | set DIR …",
		Short: "Change a simulated terminal",
		Long: `Change a simulated terminal.

  set DIR service NAME stopped         stop the service
  set DIR service NAME running         start the service
  set DIR service NAME normal          let it behave well again
  set DIR service NAME hang-on-stop    from now on it does not stop when it is asked to
  set DIR service NAME crash-on-start  from now on it ends with an error when it starts
  set DIR service NAME die-after=5s    from now on it ends by itself so long after each start
  set DIR service NAME slow-start=5s   from now on it is starting for so long
  set DIR service NAME starting        it is starting, and stopping when that is set, until its behaviour is set again
  set DIR service NAME missing         it is not installed, until its behaviour is set again
  set DIR adapter absent|present       pull the Bluetooth adapter out, or plug it in; swapped plugs another one in
  set DIR adapter stuck                it has a problem until it is disabled and enabled again
  set DIR adapter broken|updating      it has a problem that stays; it is as after a firmware update that was cut off
  set DIR adapter several              there are two
  set DIR user NAME active             sign somebody in, who is at work; also idle (no input for a while) and away (locked)
  set DIR user NAME none               sign somebody out
  set DIR tool firmware-log-tool hang  how a vendor's program behaves: works, hang, crash, nothing, changed or missing; the other one is
                                       nymi-runtime, an installer that brings back services that are missing
  set DIR host NAME:PORT ADDRESS:PORT  where a name is really to be found; none takes it away
  set DIR reach NES                    find the simulated NES host in the folder NES by its name
  set DIR trust NES|FILE.pem           trust the root of that host's authority, or the one in a file; distrust takes it away
  set DIR nes-url URL                  the address of the NES that it uses
  set DIR usb-suspend on|off|policy    USB selective suspend
  set DIR feature NAME installed       a feature of Windows; also absent and unknown
  set DIR dotnet 528040                release number of .NET Framework
  set DIR reboot-pending yes|no        whether Windows waits for a restart
  set DIR reboot now                   start the machine anew; ends-agent has later starts kill the agent that asked for them
  set DIR clock 10m                    how far the machine's clock is ahead; -10m is behind
  set DIR free 900                     MiB that are free on the system's volume
  set DIR domain NAME|none             the domain that the machine is in
  set DIR domain-role 5                as Windows numbers it: 3 is a member server, 5 a domain controller
  set DIR windows 6.1.7601             have it say that it runs this version of Windows; none: what it really runs on
  set DIR registry KEY\VALUE DATA      a value of the registry; none takes it away
  set DIR root valid-for=21d           make a root, trusted here, and leave it in root.pem; a negative time has expired
  set DIR nbe-file default|absent      nbe.toml as at first, or not there; broken is no TOML, too-long cannot be read
  set DIR nbe KEY VALUE|none           a key of nbe.toml, as TOML writes it: nbe rssi_tap_threshold -42

On a NES host also:

  set DIR certificate valid-for=21d    issue another certificate and bind it; a negative time has expired; for=NAME is for another name
  set DIR bind SHA256|none             bind a certificate that is in a store of the host; missing takes the binding away
  set DIR ca-certificate valid-for=21d another CA certificate of NES in the store CA
  set DIR ca-provider ok|other|none    the cryptographic provider of the CA
  set DIR auth-url URL|none            the console's address of the authentication service
  set DIR log-level APP SWITCH LEVEL   a switch in an application's web.config: nes Global Verbose
  set DIR site|pool NAME stopped       stop a site or an application pool; started starts it
  set DIR pool-identity NAME IDENTITY  the account of an application pool
  set DIR ssl-flags LOCATION FLAGS     "Default Web Site/crl" Ssl
  set DIR answer PATH STATUS|none      answer a path with an HTTP status; 500.19 shows a page with the substatus`,
		Args: takes(3, 5),
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
