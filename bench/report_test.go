package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/weirlb/weir/bench/load"
)

// reportExample is exampleResults with what only a report shows: latencies by
// quantile, and series.
func reportExample() *results {
	r := exampleResults()
	r.Date = time.Date(2026, 11, 26, 15, 4, 0, 0, time.UTC)
	r.Machine = machine{Host: "bench", Kernel: "6.18.44", Arch: "amd64", CPU: "AMD EPYC", CPUs: 2, BalancerCPU: 0, LoadCPU: 1}
	r.Command, r.Seconds = "go run ./bench", 3
	for _, e := range r.Entrants {
		if e.Missing == "" {
			e.Command = "/usr/sbin/" + e.Name + " -c " + e.Name + ".conf"
		}
	}
	for i, row := range r.Scenarios[0].Rows {
		for j := range row.Samples {
			row.Samples[j].Latencies = []load.Point{{Quantile: 0.5, MS: 0.7}, {Quantile: 0.9, MS: 2 + float64(i)}, {Quantile: 0.99, MS: 12}, {Quantile: 1, MS: 90}}
		}
	}
	for i, percent := range []float64{90, 30, 70} {
		r.Scenarios = append(r.Scenarios, pointOf(fmt.Sprintf("http-load-%.0f", percent), "http-load", percent, 20000*percent/100, float64(i+1)))
	}
	for i, backends := range []float64{10, 1000} {
		r.Scenarios = append(r.Scenarios, pointOf(fmt.Sprintf("tcp-backends-%.0f", backends), "tcp-backends", backends, 0, float64(i+8)))
	}
	for _, o := range r.Scenarios {
		o.conclude(0)
	}
	return r
}

// pointOf is one point of a series.
func pointOf(name, of string, x, offered, cost float64) *outcome {
	o := &outcome{Name: name, Title: "one of several", Cost: "us/request", Rate: "requests/s", Series: of, X: x, XName: "of it"}
	for i, balancer := range []string{"weir", "haproxy", "nginx"} {
		all := samples(cost+float64(i), cost+float64(i)+0.2, cost+float64(i)+0.1)
		for j := range all {
			all[j].Offered = offered
		}
		o.Rows = append(o.Rows, &row{Balancer: balancer, Samples: all})
	}
	o.Rows = append(o.Rows, &row{Balancer: "caddy", Failed: "caddy: not installed"})
	return o
}

// written is a file of results.
func written(t *testing.T, r *results) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results.json")
	if err := save(path, r); err != nil {
		t.Fatal(err)
	}
	return path
}

// The bench makes its report and the manual's page of a file alone.
func TestReportOfAFile(t *testing.T) {
	path := written(t, reportExample())
	var out strings.Builder
	if err := run([]string{"report", path}, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "report: " + beside(path) + "\n"; out.String() != want {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
	text, err := os.ReadFile(beside(path))
	if err != nil {
		t.Fatal(err)
	}
	shown := words(t, string(text))
	for _, want := range []string{
		"What weir costs beside haproxy and nginx", "26 November 2026, 15:04 UTC", "on bench: AMD EPYC, Linux 6.18.44 amd64, 2 CPUs",
		"go run ./bench", "/usr/sbin/nginx -c nginx.conf", "caddy: not installed", "haproxy failed: ended during the measurement",
		"Not possible on this machine: start bench: operation not permitted", "weir must: 1.00 of best: met", "0.93 of it (0.90-0.97)",
		"3 × 3 s", "http-load", "tcp-backends", "nginx, round 2; 3 errors, the last: read: connection reset by peer",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the report does not show %q", want)
		}
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := run([]string{"report", "-markdown", page, path}, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	markdown, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "page.md", string(markdown))
}

// words is the text of a page without its markup, all blanks alike.
func words(t *testing.T, page string) string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// The report is one file: it names nothing to be fetched, runs nothing, and
// what stands in results is text in it.
func TestReportIsSelfContained(t *testing.T) {
	r := reportExample()
	r.Scenarios[0].Title = `<script src="http://weir.invalid/x.js">` + "</script>"
	r.Scenarios[0].Rows[1].Samples[0].LastError, r.Scenarios[0].Rows[1].Samples[0].Errors = `"><img src=x onerror=alert(1)>`, 1
	r.Entrants[2].Version = "</title><b>"
	path := filepath.Join(t.TempDir(), "report.html")
	if err := r.writeHTML(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "img", "iframe", "object", "embed", "base", "form", "audio", "video", "use":
			t.Errorf("the report has a %s", n.Data)
		}
		for _, a := range n.Attr {
			local := a.Key != "href" || strings.HasPrefix(a.Val, "#")
			if a.Key == "src" || !local || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
			}
		}
	}
	if regexp.MustCompile(`url\(|@import`).Match(text) {
		t.Error("its style fetches something")
	}
}

// A run leaves its samples and its report under its date and host.
func TestPublish(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := prepare(dir + "/DATE-HOST.json"); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	want := reportExample()
	if err := want.publish(dir+"/DATE-HOST.json", &out); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "2026-11-26-1504-bench.json")
	if said := fmt.Sprintf("\nresults: %s\nreport:  %s\n", path, beside(path)); out.String() != said {
		t.Errorf("it says %q, want %q", out.String(), said)
	}
	got, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Scenarios, got.Scenarios); diff != "" {
		t.Errorf("read again: -want +got\n%s", diff)
	}
	if _, err := os.Stat(beside(path)); err != nil {
		t.Error(err)
	}
}

func TestReportSaysWhatIsWrong(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "results.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name string
		args []string
		says string
	}{
		{name: "no file", says: "give one file of results"},
		{name: "two files", args: []string{"a", "b"}, says: "give one file of results"},
		{name: "unknown flag", args: []string{"-pdf", "x", "a"}, says: "-pdf"},
		{name: "file that is not there", args: []string{"none.json"}, says: "none.json"},
		{name: "no JSON", args: []string{file("# Results")}, says: "invalid character"},
		{name: "results of a cluster", args: []string{file(`{"works": []}`)}, says: "without the word cluster"},
		{name: "a row too few", args: []string{file(`{"balancers": [{"name": "weir"}], "scenarios": [{"name": "a", "rows": []}]}`)}, says: "not one row"},
		{name: "nothing where a row is", args: []string{file(`{"balancers": [{"name": "weir"}], "scenarios": [{"name": "a", "rows": [null]}]}`)}, says: "not one row"},
		{name: "nowhere to write", args: []string{"-html", "/none/x.html", written(t, reportExample())}, says: "/none/x.html"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			err := report(tt.args, io.Discard, &said)
			if err == nil || !strings.Contains(err.Error()+said.String(), tt.says) {
				t.Errorf("error %v, explained as %q, want %q", err, said.String(), tt.says)
			}
		})
	}
	if err := report([]string{"-h"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("help: %v", err)
	}
}

// A report of a file that holds next to nothing is a report nevertheless.
func TestReportOfLittle(t *testing.T) {
	for name, r := range map[string]*results{
		"no scenario":     {Entrants: []*entrant{{Name: "weir", Own: true}}},
		"rivals alone":    {Entrants: []*entrant{{Name: "nginx"}}, Scenarios: []*outcome{{Name: "a", Rows: []*row{{Samples: samples(1, 2)}}}}},
		"nothing there":   {Entrants: []*entrant{{Name: "nginx", Missing: "gone"}}, Scenarios: []*outcome{{Name: "a", Rows: []*row{{}}}}},
		"a row of nought": {Entrants: []*entrant{{Name: "weir", Own: true}}, Scenarios: []*outcome{{Name: "a", Series: "s", Rows: []*row{{Samples: make([]sample, 2)}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t, r)
			if err := report([]string{path}, io.Discard, io.Discard); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(beside(path))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
				t.Error("it has figures that are none")
			}
		})
	}
}

// A bar is from 1 to its ratio on an axis where half and twice are equally far.
func TestRatioPlot(t *testing.T) {
	r := &results{Entrants: []*entrant{{Name: "weir", Own: true}, {Name: "rival"}}}
	for _, cost := range []float64{1, 2, 4, 100} {
		o := &outcome{Name: "a", Rows: []*row{{Samples: samples(2)}, {Samples: samples(cost)}}}
		o.conclude(0)
		r.Scenarios = append(r.Scenarios, o)
	}
	p := ratioPlot(r)
	twice, even, half, least := p.Bars[0], p.Bars[1], p.Bars[2], p.Bars[3]
	if math.Abs(twice.W-half.W) > 1 || half.X+half.W != twice.X || even.W != 1 {
		t.Errorf("twice %+v, half %+v, even %+v", twice, half, even)
	}
	if least.X != nameColumn || least.W < 2*half.W-1 || least.W > 2*half.W+1 {
		t.Errorf("a fiftieth is cut at a quarter, where the axis ends: %+v", least)
	}
	cut := 0
	for _, text := range p.Texts {
		if text.Text == "«" && text.Y > least.Y && text.Y < least.Y+barHeight {
			cut++
		}
	}
	if cut != 1 {
		t.Errorf("%d marks that it is cut", cut)
	}
}

// seriesNamed is the points of a series.
func seriesNamed(t *testing.T, r *results, name string) []*outcome {
	t.Helper()
	for _, part := range sectionsOf(r) {
		if part[0].Series == name {
			return part
		}
	}
	t.Fatalf("no series %s", name)
	return nil
}

// In a series the points go by what was asked for, whatever their order.
func TestSeriesPlots(t *testing.T) {
	r := reportExample()
	for name, want := range map[string]struct {
		x      string
		points int
		ticks  []string
	}{
		"http-load":    {"requests/s asked for", 3, []string{"0", "5,000", "10,000", "15,000", "20,000"}},
		"tcp-backends": {"of it", 2, []string{"10", "1,000"}},
	} {
		plots := seriesPlots(seriesNamed(t, r, name), r.Entrants)
		if len(plots) != 5 {
			t.Fatalf("%s: %d plots", name, len(plots))
		}
		for _, p := range plots {
			if !strings.Contains(p.Label, " over "+want.x) || len(p.Curves) != 3 || len(p.Dots) != 3*want.points {
				t.Errorf("%s: %d curves, %d dots", p.Label, len(p.Curves), len(p.Dots))
			}
			for i := 1; i < want.points; i++ {
				if p.Dots[i].X <= p.Dots[i-1].X {
					t.Errorf("%s goes back: %+v", p.Label, p.Dots)
				}
			}
		}
		// The first plot is the cost, which starts at 0; weir's is the lowest.
		first, n := plots[0], want.points
		if first.Dots[0].Y <= first.Dots[n].Y || first.Dots[n].Y <= first.Dots[2*n].Y {
			t.Errorf("weir does not lie lowest: %+v", first.Dots)
		}
		var ticks []string
		for _, label := range first.Texts {
			if label.Class == "mid tick" {
				ticks = append(ticks, label.Text)
			}
		}
		if diff := cmp.Diff(want.ticks, ticks); diff != "" {
			t.Errorf("%s: ticks of x, -want +got\n%s", name, diff)
		}
	}
}

// Where the same rate was also asked for without a balancer, and where there
// were errors, that is shown.
func TestSeriesPlotsOfMore(t *testing.T) {
	r := reportExample()
	points := seriesNamed(t, r, "http-load")
	for i, o := range points {
		for j := range o.Rows[0].Samples {
			o.Rows[0].Samples[j].Direct = []load.Point{{Quantile: 0.5, MS: 0.1}, {Quantile: 0.999, MS: 3}}
			o.Rows[0].Samples[j].Errors = i
		}
	}
	plots := seriesPlots(points, r.Entrants)
	if len(plots) != 6 || !strings.Contains(plots[5].Label, "errors in all rounds") {
		t.Fatalf("%d plots", len(plots))
	}
	for i, bare := range []int{0, 3, 3, 3, 0, 0} {
		n := 0
		for _, d := range plots[i].Dots {
			if d.Class == bareClass {
				n++
			}
		}
		if n != bare {
			t.Errorf("%s: %d dots without a balancer, want %d", plots[i].Label, n, bare)
		}
	}
	if p := latencyPlot(points[0], r.Entrants); p == nil || len(p.Curves) != 1 || p.Curves[0].Class != bareClass {
		t.Errorf("latencies without a balancer: %+v", p)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := r.writeHTML(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(words(t, string(text)), "Grey and broken is the same rate without a balancer") {
		t.Error("the report does not say what is grey")
	}
}

// A latency plot shows each quantile that every round has, at the median.
func TestLatencyPlot(t *testing.T) {
	r := reportExample()
	row := r.Scenarios[0].Rows[0]
	row.Samples[0].Latencies[1].MS = 50
	row.Samples[1].Latencies = row.Samples[1].Latencies[:2]
	want := []load.Point{{Quantile: 0.5, MS: 0.7}, {Quantile: 0.9, MS: 2}}
	if diff := cmp.Diff(want, medianCurve(row.Samples, func(s sample) []load.Point { return s.Latencies })); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	p := latencyPlot(r.Scenarios[0], r.Entrants)
	if len(p.Curves) != 3 || len(p.Dots) != 2+3+3 {
		t.Errorf("%d curves, %d dots", len(p.Curves), len(p.Dots))
	}
	if latencyPlot(r.Scenarios[2], r.Entrants) != nil {
		t.Error("a plot of latencies where none were taken")
	}
}

func TestScales(t *testing.T) {
	tests := []struct {
		name  string
		s     scale
		ticks []float64
	}{
		{name: "from 0", s: fromZero(15.8, 0, 100), ticks: []float64{0, 5, 10, 15, 20}},
		{name: "from 0, round", s: fromZero(1000, 0, 100), ticks: []float64{0, 200, 400, 600, 800, 1000}},
		{name: "from 0, small", s: fromZero(0.3, 0, 100), ticks: []float64{0, 0.1, 0.2, 0.3}},
		{name: "nothing", s: fromZero(0, 0, 100), ticks: []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{name: "around", s: around(0.7, 12, 0, 100), ticks: []float64{0.5, 1, 2, 5, 10, 20}},
		{name: "around one value", s: around(5, 5, 0, 100), ticks: []float64{5, 10}},
		{name: "around much", s: around(0.01, 4000, 0, 100), ticks: []float64{0.01, 0.1, 1, 10, 100, 1000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.s.ticks()
			if !cmp.Equal(tt.ticks, got, cmp.Comparer(near)) {
				t.Errorf("ticks %v, want %v", got, tt.ticks)
			}
			if at := tt.s.at(tt.s.lo / 2); !near(at, 0) {
				t.Errorf("below the low end is at %v", at)
			}
			if at := tt.s.at(tt.s.hi * 2); !near(at, 100) {
				t.Errorf("beyond the high end is at %v", at)
			}
		})
	}
}

// The manual's page on performance is what the bench makes of the results
// that are kept with it.
func TestPerformancePage(t *testing.T) {
	const kept, page = "results/performance.json", "../docs/performance.md"
	r, err := readResults(kept)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(markdownPage(r), string(got)); diff != "" {
		t.Errorf("%s is not what the bench makes of bench/%s; `make docs-performance` mends it (-want +got):\n%s", page, kept, diff)
	}
	text, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) {
		t.Error("no JSON")
	}
	for _, want := range []string{r.Machine.kind(), r.Command, r.Date.Format("2 January 2006")} {
		if want == "" || !strings.Contains(string(got), want) {
			t.Errorf("%s does not name %q", page, want)
		}
	}
	for _, e := range r.Entrants {
		if e.Missing == "" && (e.Version == "" || !strings.Contains(string(got), e.Version) || !strings.Contains(string(got), e.Command)) {
			t.Errorf("%s does not name %s %q, run as %q", page, e.Name, e.Version, e.Command)
		}
	}
}
