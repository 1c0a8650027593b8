package weirtest

import (
	"path/filepath"
	"testing"
)

// A NodeServer is a running Node program that serves on a port of its own.
type NodeServer struct {
	*Process
	Addr string // 127.0.0.1:port
}

// Node runs a program in Node's CommonJS, which must listen on the address in its first argument, host:port, and is
// ready when it accepts there.
func Node(t testing.TB, program string) *NodeServer {
	t.Helper()
	dir := serverDir(t, "node", nil)
	file := filepath.Join(dir, "server.cjs")
	writeFile(t, file, 0o644, []byte(program))
	n := &NodeServer{Addr: FreeAddr(t)}
	n.Process = startProcess(t, spec{
		name: "node " + n.Addr, path: Tool(t, "node"), args: []string{file, n.Addr}, dir: dir,
		ready: accepting([]string{n.Addr}),
	})
	return n
}
