package main_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestVarnishtest plays client and server of testdata/vtc with varnishtest, weir in between. In a case, weir stands at
// ${weir_addr} and ${weir_port}; the server must listen at ${server_addr}:${server_port}, to which weir leads everything.
func TestVarnishtest(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/vtc/*.vtc")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".vtc"), func(t *testing.T) {
			t.Parallel()
			server := weirtest.FreeAddr(t)
			w := weirtest.Weir(t, "engine: { loops: 1 }\n"+site("", ", connect: { retries: 0 }", server))
			weirAddr := addressOf(t, w, "web")
			out, err := weirtest.TryRun(t, "varnishtest", "-t", "30", "-b", "4M",
				"-D", "weir_addr=127.0.0.1", "-D", "weir_port="+portOf(weirAddr), "-D", "server_addr=127.0.0.1", "-D", "server_port="+portOf(server), file)
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if strings.Contains(w.Log(), "panicked") {
				t.Errorf("weir panicked:\n%s", w.Log())
			}
		})
	}
}
