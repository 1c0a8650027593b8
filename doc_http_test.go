package weir_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notRefusals are reasons of package l7 that no request is refused with: its client has gone.
var notRefusals = []string{"truncated-body"}

// TestManualRefusals holds the manual's table of what is refused against the reasons in the source, both ways round.
func TestManualRefusals(t *testing.T) {
	reasons := refusals(t)
	text, err := os.ReadFile("docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| request | status | `Detail` |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| .* \\| (\\d+) \\| (`.*`) \\|$").FindAllStringSubmatch(table, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1) {
			word := m[1]
			told[word] = true
			if want, ok := reasons[word]; ok && !slices.Contains(want, row[1]) {
				t.Errorf("%s: the manual says %s, the source %v", word, row[1], want)
			} else if !ok && word != "bad-path" { // that is the router's, for whatever is wrong with a path
				t.Errorf("%s: no such reason in the source", word)
			}
		}
	}
	for word := range reasons {
		if !told[word] && !slices.Contains(notRefusals, word) {
			t.Errorf("%s %v is not in the manual", word, reasons[word])
		}
	}
	if len(told) < 30 {
		t.Errorf("only %d reasons found in the manual", len(told))
	}
}

// refusals are the statuses by reason with which requests are refused. Those of responses, which say 502, are left out.
func refusals(t *testing.T) map[string][]string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"l7/*.go", "l7/head/*.go", "l7/http1/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	made := regexp.MustCompile(`NewError\((\d+), "([^"]+)"`)
	all := map[string][]string{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range made.FindAllStringSubmatch(string(source), -1) {
			if m[1] != "502" {
				all[m[2]] = append(all[m[2]], m[1])
			}
		}
	}
	return all
}
