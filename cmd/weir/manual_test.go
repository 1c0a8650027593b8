package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	manualBlock   = regexp.MustCompile("(?ms)^```(yaml weir|console)\n(.*?)^```$")
	manualCommand = regexp.MustCompile(`^[$#] (?:bin/)?weir (.*)$`)
	manualFile    = regexp.MustCompile(`/etc/weir/([\w-]+)\.(crt|key|pem|secret|htpasswd|htdigest)`)
)

// offline are the verbs that need nothing but the configuration. The others are only held against the command line.
var offline = []string{"check", "config", "routes", "version"}

// TestManualCommandsAreTrue checks every configuration of the manual as weir check does, certificates included, and runs
// every command that needs no running weir. Such a command reads the configuration that stands before it, and what the
// manual says that it prints must be what it prints.
func TestManualCommandsAreTrue(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) < 4 {
		t.Fatalf("the manual is not where it was: %v, %v", files, err)
	}
	checked, ran := 0, 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		config := ""
		for _, m := range manualBlock.FindAllStringSubmatchIndex(string(text), -1) {
			info, block := string(text[m[2]:m[3]]), string(text[m[4]:m[5]])
			name := fmt.Sprintf("%s:%d", filepath.Base(file), strings.Count(string(text[:m[0]]), "\n")+1)
			if info == "console" {
				t.Run(name, func(t *testing.T) { ran += runManual(t, block, config) })
				continue
			}
			checked++
			config = writeManual(t, block)
			if code, _, stderr := weir("check", "-c", config); code != exitOK {
				t.Errorf("%s: weir check ends with %d:\n%s", name, code, stderr)
			}
		}
	}
	if checked < 10 || ran < 10 {
		t.Errorf("only %d configurations and %d commands are found: the manual has more", checked, ran)
	}
}

// writeManual writes a configuration of the manual, and certificates and keys for the files that it names.
func writeManual(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	authority, err := newDemoAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, m := range manualFile.FindAllStringSubmatch(text, -1) {
		file, err := filepath.Join(dir, m[1]+"."+m[2]), error(nil)
		switch {
		case written[file]:
		case m[2] == "crt":
			_, _, err = authority.write(m[1])
			written[filepath.Join(dir, m[1]+".key")] = true
		case m[2] == "pem":
			err = writePEM(file, 0o600, "CERTIFICATE", authority.cert.Raw)
		case m[2] == "htpasswd":
			err = os.WriteFile(file, []byte("ada:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n"), 0o600)
		case m[2] == "htdigest":
			err = os.WriteFile(file, []byte("ada:meters:"+strings.Repeat("0f", 16)+"\n"), 0o600)
		default: // a key without a certificate before it is a secret of another kind
			err = os.WriteFile(file, []byte(strings.Repeat("secret", 6)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		written[file] = true
	}
	config := filepath.Join(dir, "weir.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(text, "/etc/weir/", dir+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// runManual runs the commands of a console block and returns how many there were. What follows a command in the block is
// what it prints; where nothing does, anything may be printed.
func runManual(t *testing.T, block, config string) (ran int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(block, "\n"), "\n")
	for i, line := range lines {
		m := manualCommand.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		ran++
		args := strings.Fields(strings.ReplaceAll(m[1], `"`, ""))
		if !slices.Contains(offline, args[0]) {
			if code, _, stderr := weir(append(args, "--help")...); code != exitOK {
				t.Errorf("%s: exit code %d\n%s", line, code, stderr)
			}
			continue
		}
		if at := slices.Index(args, "-c"); at >= 0 {
			args[at+1] = config
		}
		code, stdout, stderr := weir(args...)
		var says []string
		for _, next := range lines[i+1:] {
			if strings.HasPrefix(next, "$ ") || strings.HasPrefix(next, "# ") {
				break
			}
			says = append(says, next)
		}
		if want := strings.Join(says, "\n") + "\n"; len(says) > 0 && stdout+stderr != want {
			t.Errorf("%s\nprints:\n%s%sthe manual says:\n%s", line, stdout, stderr, want)
		} else if len(says) == 0 && code != exitOK {
			t.Errorf("%s: exit code %d\n%s", line, code, stderr)
		}
	}
	return ran
}
