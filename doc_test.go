package weir_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/config"
)

var update = flag.Bool("update", false, "write the generated parts of the manual anew")

// block is a fenced block of a Markdown file.
type block struct {
	file string
	line int    // of the fence
	info string // what follows the fence, such as "yaml weir"
	text string
}

// blocks returns the fenced blocks of a Markdown text.
func blocks(file, text string) []block {
	var found []block
	var open *block
	for i, line := range strings.Split(text, "\n") {
		rest, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{file: file, line: i + 1, info: strings.TrimSpace(rest)}
		case fence:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return found
}

// manual returns the files of the manual.
func manual(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	read := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(text)
	}
	read("README.md")
	err := filepath.WalkDir("docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func manualBlocks(t *testing.T) []block {
	t.Helper()
	var all []block
	files := manual(t)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		all = append(all, blocks(path, files[path])...)
	}
	return all
}

// weirYAML marks a block as a whole configuration file.
const weirYAML = "yaml weir"

// TestManualConfigurationsAreValid loads every configuration in the manual. One that is not marked would escape.
func TestManualConfigurationsAreValid(t *testing.T) {
	checked := 0
	for _, b := range manualBlocks(t) {
		switch {
		case b.info == weirYAML, b.info == weirYAML+" tenants": // the latter for a program of the page's own, too
			checked++
			if _, err := config.Parse(fmt.Sprintf("%s:%d.yaml", b.file, b.line), []byte(b.text)); err != nil {
				t.Errorf("%s:%d: %v", b.file, b.line, err)
			}
		case strings.HasPrefix(b.info, "yaml") && strings.Contains(b.text, "entryPoints:"):
			t.Errorf("%s:%d: a configuration must be marked %q, not %q", b.file, b.line, weirYAML, b.info)
		}
	}
	if checked < 3 {
		t.Errorf("only %d configurations found: the README and the manual have more", checked)
	}
}

// commandLine finds the weir commands of a console block.
var commandLine = regexp.MustCompile(`(?m)^[$#] (?:sudo )?(?:\./)?(?:bin/)?weir ([a-z-]+)`)

// TestManualCommandsExist looks for the verb of every command in the manual among those of cmd/weir.
func TestManualCommandsExist(t *testing.T) {
	verbs, err := commandVerbs("cmd/weir")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, b := range manualBlocks(t) {
		if b.info != "console" {
			continue
		}
		for _, m := range commandLine.FindAllStringSubmatch(b.text, -1) {
			seen++
			if !slices.Contains(verbs, m[1]) {
				t.Errorf("%s:%d: weir has no command %q, only %v", b.file, b.line, m[1], verbs)
			}
		}
	}
	if seen == 0 {
		t.Error("no command found in the manual")
	}
}

// commandVerbs reads the verbs of the program from its source: the first word of every cobra command's Use.
func commandVerbs(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no Go file", dir)
	}
	var verbs []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			pair, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isName := pair.Key.(*ast.Ident)
			value, isText := pair.Value.(*ast.BasicLit)
			if isName && isText && key.Name == "Use" && value.Kind == token.STRING {
				if use, err := strconv.Unquote(value.Value); err == nil {
					verb, _, _ := strings.Cut(use, " ")
					verbs = append(verbs, verb)
				}
			}
			return true
		})
	}
	slices.Sort(verbs)
	return slices.Compact(verbs), nil
}

func TestCommandVerbs(t *testing.T) {
	dir := t.TempDir()
	source := "package main\nvar a = command{Use: \"run -c FILE\", Short: \"x\"}\nvar b = command{Use: \"check\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := commandVerbs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"check", "run"}, got); diff != "" {
		t.Errorf("verbs (-want +got):\n%s", diff)
	}
	if _, err := commandVerbs(t.TempDir()); err == nil {
		t.Error("a directory without source has no verbs, and that is an error")
	}
}

// TestManualMakeTargetsExist holds the manual's make commands against the Makefile.
func TestManualMakeTargetsExist(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	for _, b := range manualBlocks(t) {
		for _, m := range regexp.MustCompile(`(?m)^[$#] make ([a-z-]+)`).FindAllStringSubmatch(b.text, -1) {
			if b.info == "console" && !targets[m[1]] {
				t.Errorf("%s:%d: no make target %q", b.file, b.line, m[1])
			}
		}
	}
}

// TestManualLinks follows the relative links of the manual.
func TestManualLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for path, text := range manual(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", path, m[1])
			}
		}
	}
}

func TestBlocks(t *testing.T) {
	text := "a\n```yaml weir\nx: 1\n```\nb\n```\nplain\n```\n  ```console\n  $ weir run\n  ```\n```yaml\nnever closed\n"
	want := []block{
		{"f", 2, "yaml weir", "x: 1\n"},
		{"f", 6, "", "plain\n"},
		{"f", 9, "console", "  $ weir run\n"},
	}
	if diff := cmp.Diff(want, blocks("f", text), cmp.AllowUnexported(block{})); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

// The reference part of docs/configuration.md is generated between these two lines.
const (
	referenceBegin = "<!-- generated by go test -run TestConfigurationReference -update . -->\n"
	referenceEnd   = "<!-- end of the generated part -->\n"
)

// misplaced are the keys of a type that stands in several places which have no meaning in one of them and are refused there.
var misplaced = []string{
	"tcp.services.NAME.loadBalancer.healthCheck.mode",
	"tcp.services.NAME.loadBalancer.healthCheck.followRedirects",
	"tcp.services.NAME.loadBalancer.healthCheck.name",
	"tcp.services.NAME.loadBalancer.healthCheck.recordType",
	"udp.services.NAME.loadBalancer.healthCheck.mode",
	"udp.services.NAME.loadBalancer.healthCheck.followRedirects",
	"udp.services.NAME.loadBalancer.healthCheck.database",
	"udp.services.NAME.loadBalancer.healthCheck.user",
	"http.services.NAME.loadBalancer.healthCheck.database",
	"http.services.NAME.loadBalancer.healthCheck.name",
	"http.services.NAME.loadBalancer.healthCheck.recordType",
	"http.services.NAME.loadBalancer.healthCheck.user",
}

// TestConfigurationReference holds the manual's list of keys, defaults and meanings against the schema, which is made
// from the types that are decoded.
func TestConfigurationReference(t *testing.T) {
	const path = "docs/configuration.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), referenceBegin)
	got, after, closed := strings.Cut(rest, referenceEnd)
	if !found || !closed {
		t.Fatalf("%s: no generated part", path)
	}
	want := reference(t)
	if *update && got != want {
		if err := os.WriteFile(path, []byte(before+referenceBegin+want+referenceEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not what the types say; go test -run TestConfigurationReference -update . mends it (-want +got):\n%s", path, diff)
	}
}

// schema is a JSON Schema as far as config makes use of it.
type schema struct {
	Ref         string             `json:"$ref"`
	Defs        map[string]*schema `json:"$defs"`
	Description string             `json:"description"`
	Type        string             `json:"type"`
	Minimum     *float64           `json:"minimum"`
	Default     any                `json:"default"`
	Enum        []any              `json:"enum"`
	Required    []string           `json:"required"`
	Properties  map[string]*schema `json:"properties"`
	Additional  json.RawMessage    `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	AnyOf       []*schema          `json:"anyOf"`
}

// reference makes the tables of all served keys.
func reference(t *testing.T) string {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, section := range []string{"log", "accessLog", "tracing", "admin", "engine", "entryPoints", "tcp", "udp", "http", "tls", "resolvers", "cluster"} {
		s := root.Properties[section]
		fmt.Fprintf(&out, "\n### `%s`\n\n%s\n\n| key | default | meaning |\n|---|---|---|\n", section, s.Description)
		root.rows(&out, section, "", s)
	}
	out.WriteByte('\n')
	return out.String()
}

// rows writes a row for every key below s. The keys are written relative to the section.
func (root *schema) rows(out *strings.Builder, section, at string, s *schema) {
	s = root.resolve(s)
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		property, here := s.Properties[key], strings.TrimPrefix(at+"."+key, ".")
		if where := section + "." + here; slices.Contains(misplaced, where) {
			continue
		}
		usual := property.usual()
		if slices.Contains(s.Required, key) {
			usual = "required"
		}
		meaning := property.Description
		if len(property.Enum) > 0 {
			meaning += " One of"
			for _, word := range property.Enum {
				meaning += fmt.Sprintf(" `%v`", word)
			}
			meaning += "."
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", here, usual, strings.ReplaceAll(meaning, "|", "\\|"))
		root.rows(out, section, here, property)
	}
	if s.Items != nil {
		root.rows(out, section, at+"[]", s.Items)
	}
	var named schema
	if json.Unmarshal(s.Additional, &named) == nil {
		root.rows(out, section, strings.TrimPrefix(at+".NAME", "."), &named)
	}
	for _, arm := range s.AnyOf {
		if arm.Items != nil && slices.ContainsFunc(s.AnyOf, func(s *schema) bool { return s.Ref != "" && s.Ref == arm.Items.Ref }) {
			continue // a list of what may also stand alone
		}
		root.rows(out, section, at, arm)
	}
}

// usual returns a key's default as the table shows it. The schema names none where it is zero.
func (s *schema) usual() string {
	isZero := func(s *schema) bool { return s.Type == "integer" && s.Minimum != nil && *s.Minimum == 0 }
	switch {
	case s.Default != nil:
		if number, ok := s.Default.(float64); ok {
			return "`" + strconv.FormatFloat(number, 'f', -1, 64) + "`"
		}
		return fmt.Sprintf("`%v`", s.Default)
	case s.Type == "boolean":
		return "`false`"
	case isZero(s):
		return "`0`"
	case slices.ContainsFunc(s.AnyOf, isZero): // a duration: text, or whole seconds
		return "`0s`"
	}
	return "-"
}

func (root *schema) resolve(s *schema) *schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		return root.Defs[name]
	}
	return s
}
