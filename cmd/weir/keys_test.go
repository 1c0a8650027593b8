package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/admin"
)

func TestKeys(t *testing.T) {
	secret := []byte("hushhushhushhush")
	encoded := base64.StdEncoding.EncodeToString(secret)
	var got []admin.KeyChange
	address := serveCommands(t, admin.State{Cluster: &admin.Cluster{}}, admin.Commands{
		Keys: func(context.Context) (admin.Keys, error) {
			return admin.Keys{Fingerprints: []string{"8f14", "c9f0"}, Acked: []string{"lb-1", "lb-2"}}, nil
		},
		ChangeKeys: func(_ context.Context, c admin.KeyChange) (admin.Keys, error) {
			got = append(got, c)
			if c.Fingerprint == "8f14" {
				return admin.Keys{}, fmt.Errorf("%w: key 8f14 encrypts; use another first", admin.ErrInvalid)
			}
			return admin.Keys{Fingerprints: []string{"8f14", "c9f0"}, Changed: "c9f0", Acked: []string{"lb-1"}, Missing: []string{"lb-2"}}, nil
		},
	})
	one := writeFile(t, "new.key", "# the new one\n"+encoded+"\n")
	two := writeFile(t, "two.key", encoded+"\n"+base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))+"\n")
	bad := writeFile(t, "bad.key", "hush, hush\n")
	install := []admin.KeyChange{{Do: "install", Secret: secret}}
	tests := []struct {
		name, line string
		code       int
		stdout     string
		stderr     string // a part of it
		want       []admin.KeyChange
	}{
		{"show", "keys", exitOK, "FINGERPRINT  USE\n8f14         encrypts and decrypts\nc9f0         decrypts\nacked 2/2\n", "", nil},
		{"install", "keys install " + one, exitOK, "installed c9f0 (acked 1/2, not yet by lb-2)\n", "", install},
		{"use", "keys use c9f0", exitOK, "using c9f0 (acked 1/2, not yet by lb-2)\n", "", []admin.KeyChange{{Do: "use", Fingerprint: "c9f0"}}},
		{"remove", "keys remove c9f0", exitOK, "removed c9f0 (acked 1/2, not yet by lb-2)\n", "", []admin.KeyChange{{Do: "remove", Fingerprint: "c9f0"}}},
		{"remove what is used", "keys remove 8f14", exitFailure, "", "not possible: key 8f14 encrypts", []admin.KeyChange{{Do: "remove", Fingerprint: "8f14"}}},
		{"install several", "keys install " + two, exitFailure, "", "holds more than one key", nil},
		{"install what is none", "keys install " + bad, exitFailure, "", bad + ":1:5: not base64 (make a key with: openssl rand -base64 32)", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got = nil
			code, stdout, stderr := weir(append(strings.Fields(tt.line), "--admin", address)...)
			if code != tt.code || stdout != tt.stdout || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit code %d, says\n%s%s", code, stdout, stderr)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if strings.Contains(stdout+stderr, "hush") || strings.Contains(stdout+stderr, encoded) {
				t.Errorf("it shows the secret:\n%s%s", stdout, stderr)
			}
		})
	}
	t.Run("standard input", func(t *testing.T) {
		key, err := readKey(strings.NewReader(encoded), "-")
		if err != nil || string(key) != string(secret) {
			t.Errorf("%q, %v", key, err)
		}
		for text, want := range map[string]string{
			"":                                "standard input:1:1: holds no key",
			strings.Repeat("#", 1+maxKeyFile): "standard input: longer than 65536 bytes",
		} {
			if _, err := readKey(strings.NewReader(text), "-"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		if _, stdout, _ := weir("keys", "install", one, "--admin", address, "-o", "json"); !strings.Contains(stdout, `"changed": "c9f0"`) {
			t.Error(stdout)
		}
	})
}
