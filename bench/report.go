package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// reportVerb is the first argument that asks for the report of a run that is
// over.
const reportVerb = "report"

// usualResults is where results go unless told otherwise. DATE and HOST are
// those of the run.
const usualResults = "bench/results/DATE-HOST.json"

// report is the bench when there is nothing to measure: it shows the results
// in a file.
func report(args []string, out, errOut io.Writer) error {
	var html, markdown string
	flags := flag.NewFlagSet("bench "+reportVerb, flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&html, "html", "", "file to write the report to; by default that of the results with .html, unless -markdown is given")
	flags.StringVar(&markdown, "markdown", "", "file to write a page for a manual to")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage
	case flags.NArg() != 1:
		return misused(flags, "give one file of results after the flags, such as %s", usualResults)
	}
	path := flags.Arg(0)
	r, err := readResults(path)
	if err != nil {
		return err
	}
	if html == "" && markdown == "" {
		html = beside(path)
	}
	if html != "" {
		if err := r.writeHTML(html); err != nil {
			return err
		}
		fmt.Fprintln(out, "report:", html)
	}
	if markdown != "" {
		if err := writeWhole(markdown, []byte(markdownPage(r))); err != nil {
			return err
		}
		fmt.Fprintln(out, "page:", markdown)
	}
	return nil
}

// prepare makes the directory that results will go to, before they have taken
// their time.
func prepare(pattern string) error {
	if pattern == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(pattern), 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// publish writes the results to a file and their report beside it.
func (r *results) publish(pattern string, out io.Writer) error {
	path := strings.NewReplacer("DATE", r.Date.Format("2006-01-02-1504"), "HOST", r.Machine.Host).Replace(pattern)
	if err := save(path, r); err != nil {
		return err
	}
	if err := r.writeHTML(beside(path)); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nresults: %s\nreport:  %s\n", path, beside(path))
	return nil
}

// beside is the name of the report on the results at path.
func beside(path string) string { return strings.TrimSuffix(path, ".json") + ".html" }

// readResults reads what publish has written, and concludes anew.
func readResults(path string) (*results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("results %s: %w", path, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("results %s: %w", path, err)
	}
	for _, o := range r.Scenarios {
		o.conclude(r.own())
	}
	return &r, nil
}

// check reports results that no run has written.
func (r *results) check() error {
	if len(r.Entrants) == 0 || slices.Contains(r.Entrants, nil) {
		return errors.New("it has no balancers: only what `go run ./bench` wrote has a report, without the word cluster")
	}
	for _, o := range r.Scenarios {
		if o == nil || len(o.Rows) != len(r.Entrants) || slices.Contains(o.Rows, nil) {
			return fmt.Errorf("a scenario has not one row for each of the %d balancers", len(r.Entrants))
		}
		for _, row := range o.Rows {
			row.Ratio, row.Bare, row.Best = nil, nil, false
		}
	}
	return nil
}
