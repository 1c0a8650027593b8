package weir_test

import (
	"bytes"
	"fmt"
	"go/format"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

const middlewarePage = "docs/writing-middleware.md"

// writeMiddleware writes the Go files of the page as a module of its own, as a user of weir's would have it, and returns where, and the page's
// configuration.
func writeMiddleware(t *testing.T) (dir, config string) {
	t.Helper()
	text, err := os.ReadFile(middlewarePage)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	files := 0
	for _, b := range blocks(middlewarePage, string(text)) {
		name, isGo := strings.CutPrefix(b.info, "go ")
		switch {
		case b.info == "yaml weir tenants":
			config = b.text
		case isGo:
			files++
			if strings.Contains(b.text, "github.com/weirlb/weir/internal/") {
				t.Errorf("%s imports what nobody outside weir can", name)
			}
			if good, err := format.Source([]byte(b.text)); err != nil || string(good) != b.text {
				t.Errorf("%s:%d: gofmt would write %s otherwise: %v\n%s", middlewarePage, b.line, name, err, good)
			}
			put(t, filepath.Join(dir, name), b.text)
		}
	}
	if files != 3 || config == "" {
		t.Fatalf("%s has %d Go files and a configuration of %d bytes", middlewarePage, files, len(config))
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	// With weir's own requirements, so that nothing has to be looked up.
	rest := strings.Replace(string(module), "module github.com/weirlb/weir\n", "module example.com/tenants\n", 1)
	put(t, filepath.Join(dir, "go.mod"), rest+"\nrequire github.com/weirlb/weir v0.0.0\nreplace github.com/weirlb/weir => "+root+"\n")
	put(t, filepath.Join(dir, "go.sum"), string(sums))
	return dir, config
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// goIn runs the go command in a directory.
func goIn(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestManualMiddleware does with the page about middlewares what its readers do: takes the files, runs the tests, builds the program, checks the
// configuration, and sends it requests over HTTP/1.1 and HTTP/2.
func TestManualMiddleware(t *testing.T) {
	dir, config := writeMiddleware(t)
	goIn(t, dir, "vet", ".")
	goIn(t, dir, "test", "-count=1", ".")
	goIn(t, dir, "build", "-o", "weir-tenants", ".")
	program := filepath.Join(dir, "weir-tenants")

	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Tenant"))
	}))
	defer shop.Close()
	admin, web := weirtest.FreeAddr(t), weirtest.FreeAddr(t)
	file := filepath.Join(dir, "weir.yaml")
	config = strings.Replace(config, `":8080"`, `"`+web+`"`, 1)
	config = strings.Replace(config, "http://127.0.0.1:8081", shop.URL, 1)
	put(t, file, config+"admin: { address: \""+admin+"\" }\n")
	if out, err := exec.Command(program, "-check", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("the page's configuration: %v\n%s", err, out)
	}
	refusedByTenants(t, program, config)

	cmd := exec.Command(program, file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the program ends with %v\n%s", err, &log)
		}
	}()
	const patience = 20 * time.Second
	weirtest.Eventually(t, patience, func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	}, "the program is ready")
	for _, http2 := range []bool{false, true} {
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP1(!http2)
		tr.Protocols.SetUnencryptedHTTP2(http2)
		for key, want := range map[string]string{"k-2": "200 globex", "": "401 {\"error\":\"no-key\"}\n"} {
			req, err := http.NewRequest("GET", "http://"+web+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Api-Key", key)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if got := fmt.Sprintf("%d %s", resp.StatusCode, body); got != want {
				t.Errorf("HTTP/2 %v, key %q: %q, want %q", http2, key, got, want)
			}
		}
		tr.CloseIdleConnections()
	}
}

// refusedByTenants wants the error that the page shows, where it shows it.
func refusedByTenants(t *testing.T, program, config string) {
	t.Helper()
	page, err := os.ReadFile(middlewarePage)
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?m)^weir\.yaml:\d+:\d+: http\.middlewares\..*$`).FindString(string(page))
	dir := t.TempDir()
	put(t, filepath.Join(dir, "weir.yaml"), strings.Replace(config, "stamp: true", `header: "a b"`, 1))
	cmd := exec.Command(program, "-check", "weir.yaml")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSuffix(string(out), "\n"); err == nil || said == "" || got != said {
		t.Errorf("a bad option gives %v and\n%s\nthe page says\n%s", err, got, said)
	}
}
