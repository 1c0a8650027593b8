package weirtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// buildWeir compiles cmd/weir once for the whole test binary. The result stays in bin/ of the tree under test, because no single test owns it:
// each build replaces the last instead of adding to a heap.
var buildWeir = sync.OnceValues(func() (string, error) {
	o := buildOptions{command: []string{"go"}, env: []string{"GOTOOLCHAIN=auto"}}
	if raceEnabled {
		o.flags = []string{"-race"}
		return build("race", o)
	}
	return build("test", o)
})

// buildOptions says how weir is compiled.
type buildOptions struct {
	command []string // go
	env     []string // beside the present one
	flags   []string
}

// build compiles cmd/weir into a directory under bin/ and returns its path.
func build(place string, o buildOptions) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", place)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Test binaries run side by side: each builds under a name of its own and puts it in place in one step.
	building, err := os.CreateTemp(dir, "building-")
	if err != nil {
		return "", err
	}
	defer os.Remove(building.Name())
	building.Close()
	command := slices.Concat(o.command, []string{"build"}, o.flags, []string{"-o", building.Name(), "./cmd/weir"})
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), o.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	path := filepath.Join(dir, "weir")
	if err := os.Rename(building.Name(), path); err != nil {
		return "", err
	}
	return path, nil
}

// moduleRoot returns the directory of the go.mod above the test, which runs in its package's directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the test's directory")
		}
		dir = parent
	}
}

// Binary returns the path of a weir built from the tree under test, with the race detector if the test has it.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := buildWeir()
	if err != nil {
		t.Fatalf("build weir: %v", err)
	}
	return path
}

// A WeirProcess is a running weir.
type WeirProcess struct {
	*Process
	File  string // its configuration file
	Admin string // host:port of its admin endpoint

	client *http.Client // for the admin endpoint
}

// Weir starts "weir run" on the given configuration and returns when /readyz is 200.
// A configuration without admin.address gets one on a free port; Reload does the same with the same port.
func Weir(t testing.TB, config string, flags ...string) *WeirProcess {
	t.Helper()
	return startWeir(t, http.DefaultClient, []string{Binary(t)}, config, flags...)
}

// Weir is Weir on a host. Its admin endpoint is asked from that host itself, so no fault of the network is in the way.
func (h *Host) Weir(config string, flags ...string) *WeirProcess {
	h.t.Helper()
	w := h.PrepareWeir(0, config, flags...)
	w.Start()
	return w
}

// PrepareWeir is Weir without the start, for weirs that wait for each other; see StartAll. Its clock is ahead of the others by some
// time, or behind if that is negative; a weir whose clock is wrong has not the race detector, see SkewedBinary.
func (h *Host) PrepareWeir(ahead time.Duration, config string, flags ...string) *WeirProcess {
	h.t.Helper()
	command := []string{Tool(h.t, "env"), clockSkew(ahead)}
	if ahead == 0 {
		command = append(command, Binary(h.t))
	} else {
		command = append(command, SkewedBinary(h.t))
	}
	path, args := h.command(command[0], command[1:]...)
	client := &http.Client{Transport: &http.Transport{DialContext: h.Dial}}
	w := prepareWeir(h.t, client, append([]string{path}, args...), config, flags...)
	w.spec.name = "weir on " + h.Name
	return w
}

// WeirWithFiles is Weir under a limit of open files, soft and hard.
func WeirWithFiles(t testing.TB, files int, config string, flags ...string) *WeirProcess {
	t.Helper()
	// A script of its own would be a file just written, and exec of one fails with ETXTBSY for as long as a program that another
	// test starts at the same time has not yet closed the descriptor it inherits.
	limited := []string{Tool(t, "sh"), "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, files), "sh", Binary(t)}
	return startWeir(t, http.DefaultClient, limited, config, flags...)
}

// startWeir starts weir by a command, to which it adds the arguments. The client reaches the admin endpoint.
func startWeir(t testing.TB, client *http.Client, command []string, config string, flags ...string) *WeirProcess {
	t.Helper()
	w := prepareWeir(t, client, command, config, flags...)
	w.Start()
	return w
}

// prepareWeir is startWeir without the start.
func prepareWeir(t testing.TB, client *http.Client, command []string, config string, flags ...string) *WeirProcess {
	t.Helper()
	dir := t.TempDir()
	w := &WeirProcess{Process: &Process{t: t}, File: filepath.Join(dir, "weir.yaml"), Admin: adminAddress(config), client: client}
	// A port that the configuration names is free too until weir binds it, and may be drawn once more.
	for w.Admin == "" || adminAddress(config) == "" && strings.Contains(config, w.Admin) {
		w.Admin = FreeAddr(t)
	}
	writeFile(t, w.File, 0o644, []byte(w.withAdmin(config)))
	w.prepare(spec{
		name: "weir", path: command[0], args: slices.Concat(command[1:], []string{"run", "-c", w.File}, flags), dir: dir,
		ready: func(ctx context.Context) error { return w.probe(ctx, "/readyz") },
	})
	return w
}

// Write replaces the configuration file in one step and says nothing to weir.
func (w *WeirProcess) Write(config string) {
	w.t.Helper()
	next := w.File + ".next"
	writeFile(w.t, next, 0o644, []byte(w.withAdmin(config)))
	if err := os.Rename(next, w.File); err != nil {
		w.t.Fatalf("replace the configuration: %v", err)
	}
}

// Reload writes the configuration, sends SIGHUP, and returns when weir works by a newer generation.
func (w *WeirProcess) Reload(config string) {
	w.t.Helper()
	before := w.Generation()
	w.Write(config)
	w.Signal(syscall.SIGHUP)
	Eventually(w.t, 15*time.Second, func() bool { return w.Generation() > before }, "weir works by the new configuration")
}

// Generation returns the number of the configuration weir works by: "generation" in the admin API's /api/v1/status.
func (w *WeirProcess) Generation() int {
	w.t.Helper()
	var view struct {
		Generation int `json:"generation"`
	}
	w.JSON("/api/v1/status", &view)
	return view.Generation
}

// JSON decodes an answer of the admin API into v.
func (w *WeirProcess) JSON(path string, v any) {
	w.t.Helper()
	status, body := w.Get(path)
	if status != http.StatusOK {
		w.t.Fatalf("GET %s: status %d: %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		w.t.Fatalf("GET %s: %v in %s", path, err, body)
	}
}

// Get asks the admin endpoint and returns status and body.
func (w *WeirProcess) Get(path string) (status int, body string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	status, body, err := w.get(ctx, path)
	if err != nil {
		w.t.Fatalf("GET %s: %v", path, err)
	}
	return status, body
}

// Post sends JSON to the admin endpoint and returns status and body of the answer.
func (w *WeirProcess) Post(path, body string) (status int, answer string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	status, answer, err := w.do(ctx, http.MethodPost, path, strings.NewReader(body))
	if err != nil {
		w.t.Fatalf("POST %s: %v", path, err)
	}
	return status, answer
}

func (w *WeirProcess) probe(ctx context.Context, path string) error {
	status, body, err := w.get(ctx, path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, body)
	}
	return err
}

func (w *WeirProcess) get(ctx context.Context, path string) (status int, body string, err error) {
	return w.do(ctx, http.MethodGet, path, nil)
}

func (w *WeirProcess) do(ctx context.Context, method, path string, send io.Reader) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+w.Admin+path, send)
	if err != nil {
		return 0, "", err
	}
	// One connection a question: a pooled one would outlive the weir it belongs to and show up as a leaked goroutine.
	req.Close = true
	if send != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (w *WeirProcess) withAdmin(config string) string {
	if adminAddress(config) != "" {
		return config
	}
	return strings.TrimRight(config, "\n") + fmt.Sprintf("\nadmin: { address: %q }\n", w.Admin)
}

// adminAddress returns admin.address of a configuration in YAML, empty if there is none.
func adminAddress(config string) string {
	var c struct {
		Admin struct {
			Address string `yaml:"address"`
		} `yaml:"admin"`
	}
	if err := yaml.Unmarshal([]byte(config), &c); err != nil {
		return "" // a test of a broken configuration; weir will say so
	}
	return c.Admin.Address
}
