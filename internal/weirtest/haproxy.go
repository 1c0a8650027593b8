package weirtest

import (
	"path/filepath"
	"strings"
	"testing"
)

// HAProxy starts an HAProxy in the foreground with the given configuration, which is ready when every listen address accepts.
func HAProxy(t testing.TB, config string, listen ...string) *Process {
	t.Helper()
	dir := serverDir(t, "haproxy", nil)
	file := filepath.Join(dir, "haproxy.cfg")
	writeFile(t, file, 0o644, []byte(strings.TrimLeft(config, "\n")+"\n"))
	return startProcess(t, spec{
		name: "haproxy", path: Tool(t, "haproxy"), args: []string{"-db", "-f", file}, dir: dir,
		ready: accepting(listen),
	})
}
