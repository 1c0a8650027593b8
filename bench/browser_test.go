package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weirlb/weir/bench/proc"
)

// visit is what came of showing a page in a browser.
type visit struct {
	picture *image.RGBA
	asked   []string // hosts and URLs that the browser wanted of the network
	said    string   // its log, with what the page says to the console
}

// ownHost matches what Chromium asks for itself, of its maker: the time, its
// updates and its accounts. No page would.
var ownHost = regexp.MustCompile(`^(accounts|clients\d*|update|[a-z]+-pa|safebrowsing)\.google(apis)?\.com(:\d+)?$`)

// show opens a file in a headless Chromium, whose every request goes to a
// proxy that notes it and refuses.
func show(t *testing.T, path string, width, height int, dark bool) visit {
	t.Helper()
	chromium, err := findProgram("chromium")
	if err != nil {
		t.Fatalf("%v; the tests need the Debian package", err)
	}
	var v visit
	var mu sync.Mutex
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !ownHost.MatchString(r.Host) {
			v.asked = append(v.asked, r.Method+" "+r.RequestURI)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	dir := t.TempDir()
	shot, log := filepath.Join(dir, "shot.png"), filepath.Join(dir, "log")
	scheme := 1
	if dark {
		scheme = 0
	}
	p, err := proc.Start(proc.Command{Path: chromium, CPU: proc.Anywhere, Log: log, Dir: dir, Args: []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", "--force-color-profile=srgb",
		"--user-data-dir=" + filepath.Join(dir, "profile"), "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-default-apps", "--disable-extensions", "--enable-logging=stderr",
		"--proxy-server=" + proxy.URL, "--proxy-bypass-list=<-loopback>",
		fmt.Sprintf("--blink-settings=preferredColorScheme=%d", scheme),
		fmt.Sprintf("--window-size=%d,%d", width, height), "--screenshot=" + shot, "file://" + path,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(stopGrace)
	select {
	case <-p.Done():
	case <-t.Context().Done():
		t.Fatal("the browser does not end")
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	v.said = string(text)
	file, err := os.Open(shot)
	if err != nil {
		t.Fatalf("no picture: %v\n%s", err, v.said)
	}
	defer file.Close()
	shown, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	v.picture = image.NewRGBA(shown.Bounds())
	draw.Draw(v.picture, v.picture.Bounds(), shown, image.Point{}, draw.Src)
	mu.Lock()
	defer mu.Unlock()
	return v
}

// complaints are the lines that a page has caused in the browser's console.
func (v visit) complaints() []string {
	var all []string
	for line := range strings.Lines(v.said) {
		if strings.Contains(line, ":CONSOLE:") {
			all = append(all, line)
		}
	}
	return all
}

// at is the colour of a pixel.
func (v visit) at(x, y int) color.RGBA { return v.picture.RGBAAt(x, y) }

// find returns where a drawing is, of whose bars the upper left corners must
// have their colours, with another colour to the left of them and above. Those
// that a mark runs across are left out.
func (v visit) find(p *plot, colours map[string]color.RGBA) (image.Point, bool) {
	var anchors []bar
	for _, b := range p.Bars {
		marked := func(m stroke) bool { return m.X1 == m.X2 && math.Abs(m.X1-b.X) < 3 && m.Y1 <= b.Y && m.Y2 >= b.Y }
		if !slices.ContainsFunc(p.Marks, marked) {
			anchors = append(anchors, b)
		}
	}
	fits := func(dx, dy int) bool {
		for _, b := range anchors {
			x, y, c := dx+int(b.X), dy+int(b.Y), colours[b.Class]
			if v.at(x, y) != c || v.at(x-1, y) == c || v.at(x, y-1) == c {
				return false
			}
		}
		return true
	}
	size := v.picture.Bounds().Size()
	for dy := range size.Y * min(len(anchors), 1) {
		for dx := range size.X {
			if fits(dx, dy) {
				return image.Pt(dx, dy), true
			}
		}
	}
	return image.Point{}, false
}

// schemeColours reads the colours of classes from the style of the report: the
// first ones are for light, those after for dark.
func schemeColours(t *testing.T, dark bool) map[string]color.RGBA {
	t.Helper()
	light, night, found := strings.Cut(pageText, "prefers-color-scheme: dark")
	if !found {
		t.Fatal("the report has no dark scheme")
	}
	style := light
	if dark {
		style = night
	}
	all := make(map[string]color.RGBA)
	for _, m := range regexp.MustCompile(`--([a-z0-9]+): #([0-9a-f]{6});`).FindAllStringSubmatch(style, -1) {
		n, err := strconv.ParseUint(m[2], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255}
	}
	return all
}

// A browser shows the report without the network and without complaint: every
// bar of the ratios stands where it belongs, as long as its ratio says.
func TestReportInABrowser(t *testing.T) {
	r := reportExample()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := r.writeHTML(path); err != nil {
		t.Fatal(err)
	}
	for _, dark := range []bool{false, true} {
		t.Run(fmt.Sprintf("dark %t", dark), func(t *testing.T) {
			v := show(t, path, 1280, 12_000, dark)
			if len(v.asked) > 0 {
				t.Errorf("the report wants of the network: %v", v.asked)
			}
			if c := v.complaints(); len(c) > 0 {
				t.Errorf("the browser complains: %v", c)
			}
			colours := schemeColours(t, dark)
			if got := v.at(2, 2); got != colours["page"] {
				t.Errorf("the page is %v, want %v", got, colours["page"])
			}
			for name, p := range map[string]*plot{"ratios": ratioPlot(r), "memory": memoryPlot(r), "cost": costPlot(r.Scenarios[0], r.Entrants)} {
				at, ok := v.find(p, colours)
				if !ok {
					t.Errorf("%s: no place in the picture has its %d bars", name, len(p.Bars))
					continue
				}
				for _, b := range p.Bars {
					v.checkBar(t, at, b, colours)
				}
				for _, label := range p.Texts {
					if strings.Contains(label.Class, "name") && !v.inked(at, label, colours["ink"]) {
						t.Errorf("%s: %q is not to be read", name, label.Text)
					}
				}
			}
		})
	}
}

// checkBar looks at the upper row of a bar, which no whisker covers: but for a
// mark across it, it has its colour, and on both sides there is another.
func (v visit) checkBar(t *testing.T, at image.Point, b bar, colours map[string]color.RGBA) {
	t.Helper()
	const mark = 2 // pixels
	x, y, w := at.X+int(b.X), at.Y+int(b.Y)+1, int(b.W)
	n := 0
	for i := range w {
		if v.at(x+i, y) == colours[b.Class] {
			n++
		}
	}
	if n < w-2*mark || v.at(x+w, y) == colours[b.Class] || v.at(x-1, y) == colours[b.Class] {
		t.Errorf("%s: %d of %d pixels, and %v and %v beside them", b.Hint, n, w, v.at(x-1, y), v.at(x+w, y))
	}
}

// inked reports whether there are letters left of where a text ends.
func (v visit) inked(at image.Point, label text, ink color.RGBA) bool {
	for dx := range 7 * len(label.Text) {
		for dy := range 9 {
			if v.at(at.X+int(label.X)-dx, at.Y+int(label.Y)-dy) == ink {
				return true
			}
		}
	}
	return false
}

// What the test of the report must notice, it does: a request, and an error.
func TestTheBrowserTells(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := filepath.Join(t.TempDir(), "page.html")
	text := `<!DOCTYPE html><img src="http://` + l.Addr().String() + `/a.png"><img src="http://weir.invalid/b.png"><script>nothing.at.all</script>`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	v := show(t, path, 300, 200, false)
	for _, want := range []string{"/a.png", "http://weir.invalid/b.png"} {
		if !strings.Contains(strings.Join(v.asked, " "), want) {
			t.Errorf("%s is not seen: %v", want, v.asked)
		}
	}
	if !strings.Contains(strings.Join(v.complaints(), ""), "nothing is not defined") {
		t.Errorf("the error is not seen: %s", v.said)
	}
}
