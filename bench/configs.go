package main

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

// configFiles are the templates of configurations, a directory for each
// balancer. A file in it is the configuration for the shape that it is named
// after, whatever its extension. In parts are texts that several shapes have in
// common: {{template "head" .}} stands for parts/head. In extras are files that
// configurations name.
//
//go:embed configs
var configFiles embed.FS

// configsOf are the configurations of a balancer, for each shape that there is
// a file for. Each of them begins with the definitions of the parts, which
// leave nothing in what is rendered.
func configsOf(name string) map[shape]string {
	var parts strings.Builder
	for file, text := range filesIn(name + "/parts") {
		// The end of its last line is that of the line which asks for it.
		fmt.Fprintf(&parts, "{{define %q}}%s{{end}}", stem(file), strings.TrimSuffix(text, "\n"))
	}
	configs := make(map[shape]string)
	for file, text := range filesIn(name) {
		configs[shape(stem(file))] = parts.String() + text
	}
	return configs
}

// extrasOf are the further files of a balancer by their names.
func extrasOf(name string) map[string]string { return filesIn(name + "/extras") }

// filesIn are the texts of the files in a directory of configs, by their
// names. That there is none is a mistake in this program, and it panics.
func filesIn(dir string) map[string]string {
	dir = path.Join("configs", dir)
	entries, err := configFiles.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	texts := make(map[string]string)
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := configFiles.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			panic(err)
		}
		texts[e.Name()] = string(text)
	}
	return texts
}

// stem is the name of a file without its extension.
func stem(file string) string { return strings.TrimSuffix(file, path.Ext(file)) }
