package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The example of a rival's description is one that can be measured.
func TestDescribedRivalIsMeasured(t *testing.T) {
	b, err := readRival("rivals/haproxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all, err := enter(t.Context(), options{rivals: []balancer{b}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if e := all[0]; e.Name != "own-haproxy" || !strings.Contains(e.Version, ".") || !strings.HasSuffix(e.Command, "/haproxy -db -f haproxy.cfg") {
		t.Errorf("entered as %+v", e)
	}
	const why = "it does not balance UDP, and nobody has written the rest"
	for name, out := range map[string]string{"tcp-keepalive": "", "http-keepalive": "", "udp-roundtrip": why, "https-keepalive": why} {
		r := shortRunner(t, io.Discard, all...)
		r.rounds = 1
		got, err := r.scenario(t.Context(), scenarioNamed(t, name))
		if err != nil {
			t.Fatal(err)
		}
		row := got.Rows[0]
		if row.Failed != "" || row.Out != out || (len(row.Samples) == 1) != (out == "") {
			t.Errorf("%s: %d samples, failed %q, out %q", name, len(row.Samples), row.Failed, row.Out)
		}
	}
	onlySelfIsLeft(t)
}

// A description that cannot be used says where, what, and what would do.
func TestReadRivalSaysWhatIsWrong(t *testing.T) {
	const good = "name: mine\nbinary: mine\nargs: [run]\nconfig: mine.conf\nconfigs: { tcp: listen }\n"
	tests := []struct{ name, text, says string }{
		{name: "unknown key", text: good + "port: 80\n", says: "field port not found"},
		{name: "no YAML", text: "name: [", says: "yaml"},
		{name: "empty", text: "", says: `name: ""`},
		{name: "name", text: strings.Replace(good, "name: mine", "name: My/Own", 1), says: "small letters"},
		{name: "binary", text: strings.Replace(good, "binary: mine", "", 1), says: "binary: give"},
		{name: "args", text: strings.Replace(good, "args: [run]", "", 1), says: "args: give"},
		{name: "config", text: strings.Replace(good, "config: mine.conf", "config: etc/mine.conf", 1), says: "without a directory"},
		{name: "no shape", text: strings.Replace(good, "configs: { tcp: listen }", "", 1), says: "they are: tcp, sni"},
		{name: "unknown shape", text: strings.Replace(good, "tcp:", "tpc:", 1), says: "configs.tpc: no scenario has this shape; there are: tcp, sni"},
		{name: "file", text: good + "files: { ../x: y }\n", says: `"../x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mine.yaml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readRival(path)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want %s: %s", err, path, tt.says)
			}
		})
	}
	if _, err := readRival("no-such-file.yaml"); err == nil {
		t.Error("no error for a file that is not there")
	}
}

// A path of a program counts from the file; a name is looked for.
func TestRivalBinary(t *testing.T) {
	dir := t.TempDir()
	for binary, want := range map[string]string{"mine": "mine", "./mine": filepath.Join(dir, "mine"), "/opt/mine": "/opt/mine"} {
		path := filepath.Join(dir, "mine.yaml")
		text := "name: mine\nbinary: " + binary + "\nargs: [run]\nconfig: mine.conf\nconfigs: { tcp: listen }\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := readRival(path); err != nil || b.binary != want {
			t.Errorf("%s is at %q (%v), want %q", binary, b.binary, err, want)
		}
	}
}

func TestChooseRivals(t *testing.T) {
	chosen, err := chooseRivals([]string{"nginx", "caddy"}, []string{"rivals/haproxy.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range chosen {
		names = append(names, b.name)
	}
	if got := strings.Join(names, " "); got != "nginx caddy own-haproxy" {
		t.Errorf("chosen: %s", got)
	}
	for _, tt := range []struct {
		names, files []string
		says         string
	}{
		{names: []string{"relayd"}, says: `unknown rival "relayd"`},
		{names: []string{"nginx", "nginx"}, says: "two balancers called nginx"},
		{files: []string{"rivals/haproxy.yaml", "rivals/haproxy.yaml"}, says: "two balancers called own-haproxy"},
		{files: []string{"none.yaml"}, says: "none.yaml"},
	} {
		if _, err := chooseRivals(tt.names, tt.files); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v, %v: error %v, want %s", tt.names, tt.files, err, tt.says)
		}
	}
}

// A template that asks for a port that the balancer does not is refused.
func TestPortsOfARival(t *testing.T) {
	at := example(t, relay)
	b := balancer{name: "mine", ports: []string{"stats", "health"}}
	if err := b.furnish(&at); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{at.Listen: true, at.Admin: true}
	for _, name := range b.ports {
		addr, err := render("{{.Ports."+name+"}}", at)
		if err != nil || seen[addr] || !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Errorf("%s is %q (%v) beside %v", name, addr, err, seen)
		}
		seen[addr] = true
	}
	if text, err := render("{{.Ports.other}}", at); err == nil {
		t.Errorf("a port that is not there is %q", text)
	}
}

// What a user may write into a description, the manual of the bench explains.
func TestReadmeExplainsRivals(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range shapes() {
		if !strings.Contains(string(text), "`"+string(sh)+"`") {
			t.Errorf("README.md lacks the shape %s", sh)
		}
	}
	description := reflect.TypeFor[rivalFile]()
	for i := range description.NumField() {
		if key := description.Field(i).Tag.Get("yaml"); !strings.Contains(string(text), "| `"+key+"` |") {
			t.Errorf("README.md lacks the key %s", key)
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[site]()) {
		if field.IsExported() && !strings.Contains(string(text), "."+field.Name) {
			t.Errorf("README.md lacks the field .%s", field.Name)
		}
	}
}
