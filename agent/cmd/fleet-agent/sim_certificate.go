package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent/host/sim"
)

// simCertificateOptions are the flags of `sim certificate`.
type simCertificateOptions struct {
	sim.IssueOptions
	out, passwordOut, rootOut string
	days                      int
}

func newSimCertificate() *cobra.Command {
	var o simCertificateOptions
	cmd := &cobra.Command{
		Use:   "certificate DIR --out FILE.pfx --password-out FILE",
		Short: "Make a PFX as the authority of a simulated NES host would",
		Long: `Make a PFX as the authority of a simulated NES host would, to try the rotation of a certificate with. It changes nothing on the
host. Prints the certificate's SHA-256. The password is made up, and goes to a file that only you can read.`,
		Example: `  fleet-agent sim certificate ./nes --out nes.pfx --password-out nes.password
  fleet-agent sim certificate ./nes --stranger --root-out root.pem --out bad.pfx --password-out bad.password`,
		Args: takes(1, 1),
		RunE: action(func(cmd *cobra.Command, args []string) error { return runSimCertificate(cmd, args[0], o) }),
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "where the PFX goes")
	f.StringVar(&o.passwordOut, "password-out", "", "where its password goes")
	f.StringVar(&o.rootOut, "root-out", "", "where the authority's root goes, in PEM; nowhere when empty")
	f.IntVar(&o.days, "days", 365, "how long the certificate is valid")
	f.StringSliceVar(&o.Names, "name", nil, "names of the certificate (default: the host's own)")
	f.BoolVar(&o.Stranger, "stranger", false, "by an authority that nobody trusts")
	f.BoolVar(&o.Legacy, "legacy", false, "encrypt it as Windows Server 2016 needs it")
	return cmd
}

func runSimCertificate(cmd *cobra.Command, dir string, o simCertificateOptions) error {
	if o.out == "" || o.passwordOut == "" {
		return asInput(fmt.Errorf("flags --out and --password-out: are needed: name two files that are to be made"))
	}
	o.ValidFor = time.Duration(o.days) * 24 * time.Hour
	issued, err := sim.Issue(cmd.Context(), dir, o.IssueOptions)
	if err != nil {
		return asInput(err)
	}
	files := map[string][]byte{o.out: issued.PFX, o.passwordOut: []byte(issued.Password)}
	if o.rootOut != "" {
		files[o.rootOut] = issued.Root
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return asInput(err)
		}
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), issued.SHA256)
	return err
}
