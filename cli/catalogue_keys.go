package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/signing"
)

// maxKeyFile is the most that is read of a file of a key or a signature, in bytes.
const maxKeyFile = 4 << 10

func newCatalogueKeygen(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key to sign packs with",
		Long: `Makes a key and writes its secret part to FILE, which must not be there yet and which only you may read. The public part is printed: it goes
into the server's configuration, under catalogue.trusted_keys. Keep FILE where the server is not: whoever has it decides what terminals do.`,
		Example: "  fleetctl catalogue keygen pack.key",
		Args:    takes(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := signing.Generate()
			if err != nil {
				return exit.Errorf(exit.Internal, "key: %v", err)
			}
			if err := writeSecretKey(args[0], key); err != nil {
				return exit.Errorf(exit.BadInput, "key file %q: %v; no key was made", args[0], err).Then("name a file that is not there yet")
			}
			a.info.Line("the secret key %s is in %s; the server trusts it once this line is under catalogue.trusted_keys in its configuration:", key.Public().ID(), args[0])
			a.out.Line("%s", key.Public().String())
			return nil
		},
	}
}

func writeSecretKey(path string, key *signing.SecretKey) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // the person names the file
	if err != nil {
		return err
	}
	if _, err = f.WriteString(key.Text() + "\n"); err == nil {
		err = f.Sync()
	}
	if bad := f.Close(); err == nil {
		err = bad
	}
	return err
}

func newCatalogueSign(a *app) *cobra.Command {
	key := ""
	c := &cobra.Command{
		Use:   "sign FILE --key FILE",
		Short: "Sign a pack",
		Long: `Signs the pack in FILE with a secret key and writes the signature beside it, to FILE.sig. A pack in which something is wrong is not signed;
see "fleetctl catalogue lint".`,
		Example: "  fleetctl catalogue sign lyon.yaml --key pack.key",
		Args:    takes(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, text, err := readPack(args[0])
			if err != nil {
				return err
			}
			secret, err := readSecretKey(key)
			if err != nil {
				return err
			}
			sum := secret.Sign(text)
			path := args[0] + signatureEnding
			if err := os.WriteFile(path, []byte(sum.String()+"\n"), 0o644); err != nil { //nolint:gosec // a signature is public
				return exit.Errorf(exit.BadInput, "signature %q: %v", path, err)
			}
			a.people().Line("%s is signed by key %s; the signature is in %s", args[0], sum.KeyID, path)
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "", "`file` of the secret key, as keygen wrote it")
	return c
}

// signatureEnding is what the name of a pack's signature has after the pack's.
const signatureEnding = ".sig"

func readSecretKey(path string) (*signing.SecretKey, error) {
	if path == "" {
		return nil, exit.Errorf(exit.BadInput, "--key is missing").Then("name the file that `fleetctl catalogue keygen` wrote")
	}
	text, err := readBounded(path, maxKeyFile)
	if err != nil {
		return nil, exit.Errorf(exit.BadInput, "key file: %v", err)
	}
	key, err := signing.ParseSecretKey(string(text))
	if err != nil {
		return nil, exit.Errorf(exit.BadInput, "key file %q: %v", path, err)
	}
	return key, nil
}

func newCatalogueVerify(a *app) *cobra.Command {
	key, signature := "", ""
	c := &cobra.Command{
		Use:     "verify FILE --key KEY",
		Short:   "Check the signature of a pack",
		Long:    `Checks that the signature beside FILE (FILE.sig, unless --signature names another) is by a public key over this very text.`,
		Example: "  fleetctl catalogue verify lyon.yaml --key bandfleet-pack-key-1:ID:KEY",
		Args:    takes(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			public, err := signing.ParsePublicKey(key)
			if err != nil {
				return exit.Errorf(exit.BadInput, "--key: %v", err)
			}
			_, text, err := readPack(args[0])
			if err != nil {
				return err
			}
			sum, err := readSignature(args[0], signature)
			if err != nil {
				return err
			}
			if err := public.Verify(text, sum); err != nil {
				return exit.Errorf(exit.NotSuccessful, "%s: its signature is by key %s: %v", args[0], sum.KeyID, err)
			}
			a.people().Line("%s is signed by key %s", args[0], public.ID())
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "", "the public `key`: the line that keygen printed")
	addSignature(c, &signature)
	return c
}

func addSignature(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "signature", "", "`file` of the signature (default FILE.sig)")
}

func readSignature(pack, path string) (signing.Signature, error) {
	if path == "" {
		path = pack + signatureEnding
	}
	text, err := readBounded(path, maxKeyFile)
	if err != nil {
		return signing.Signature{}, exit.Errorf(exit.BadInput, "signature: %v", err).Then("`fleetctl catalogue sign %s --key FILE` makes one", pack)
	}
	sum, err := signing.ParseSignature(string(text))
	if err != nil {
		return sum, exit.Errorf(exit.BadInput, "signature %q: %v", path, err)
	}
	return sum, nil
}

// readPack reads a pack and its text.
func readPack(path string) (*catalogue.Pack, []byte, error) {
	text, err := readBounded(path, catalogue.MaxPack)
	if err != nil {
		return nil, nil, exit.Errorf(exit.BadInput, "pack %q: %v", path, err).Then("name a YAML file of at most %d bytes", catalogue.MaxPack)
	}
	pack, err := catalogue.ParsePack(text)
	if err != nil {
		return nil, nil, exit.Errorf(exit.BadInput, "%s: %s", path, strings.TrimPrefix(err.Error(), "pack: ")).Then("see `fleetctl catalogue lint --help`")
	}
	return pack, text, nil
}
