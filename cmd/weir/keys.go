package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
)

func newKeys() *cobra.Command {
	cmd := newView(&cobra.Command{
		Use:   "keys",
		Short: "Show and change the keys that encrypt the talk between the nodes of a cluster",
		Long: `Show which keys encrypt the talk between the nodes of a cluster, by their fingerprints, and which nodes have them.

A change takes three steps: install the new key, use it, remove the old one. Each must have reached all nodes before the next.`,
	}, func(ctx context.Context, c *admin.Client) (*admin.Keys, error) { return c.Keys(ctx) })
	cmd.AddCommand(newKeysInstall(), newKeysUse(), newKeysRemove())
	return cmd
}

func newKeysInstall() *cobra.Command {
	return newKeyChange(&cobra.Command{
		Use:   "install FILE|-",
		Short: "Give all nodes one more key, which does not encrypt yet",
		Long:  "Give all nodes one more key, which does not encrypt yet. FILE holds it in base64; - is the standard input.",
		Args:  exactArgs("a file with one key"),
	}, "installed", func(cmd *cobra.Command, arg string) (admin.KeyChange, error) {
		secret, err := readKey(cmd.InOrStdin(), arg)
		return admin.KeyChange{Do: "install", Secret: secret}, err
	})
}

func newKeysUse() *cobra.Command {
	return newKeyChange(&cobra.Command{
		Use:   "use FINGERPRINT",
		Short: "Have all nodes encrypt with a key that all have",
		Args:  exactArgs("a fingerprint"),
	}, "using", func(_ *cobra.Command, arg string) (admin.KeyChange, error) {
		return admin.KeyChange{Do: "use", Fingerprint: arg}, nil
	})
}

func newKeysRemove() *cobra.Command {
	return newKeyChange(&cobra.Command{
		Use:   "remove FINGERPRINT",
		Short: "Have all nodes take a key no more",
		Args:  exactArgs("a fingerprint"),
	}, "removed", func(_ *cobra.Command, arg string) (admin.KeyChange, error) {
		return admin.KeyChange{Do: "remove", Fingerprint: arg}, nil
	})
}

// newKeyChange makes cmd a verb that changes the keys. read makes the change of its argument.
func newKeyChange(cmd *cobra.Command, done string, read func(*cobra.Command, string) (admin.KeyChange, error)) *cobra.Command {
	var r remote
	r.addTo(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		change, err := read(cmd, args[0])
		if err != nil {
			return err
		}
		return r.ask(cmd, func(ctx context.Context, c *admin.Client) error {
			got, err := c.ChangeKeys(ctx, change)
			if err != nil {
				return err
			}
			if r.output == "json" {
				return admin.Render(cmd.OutOrStdout(), r.output, got, time.Now())
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s (%s)\n", done, got.Changed, admin.Acks(got.Acked, got.Missing))
			return nil
		})
	}
	return cmd
}

// maxKeyFile bounds a file with a key, in bytes.
const maxKeyFile = 64 << 10

// readKey reads the one key of a file, or of in if the file is "-".
func readKey(in io.Reader, file string) ([]byte, error) {
	name := file
	if file == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("longer than %d bytes", maxKeyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	keys, err := config.ParseClusterKeys(name, text)
	if err != nil {
		return nil, err
	}
	if len(keys) > 1 {
		return nil, errors.New(name + " holds more than one key: write the new one to a file of its own")
	}
	return keys[0], nil
}
