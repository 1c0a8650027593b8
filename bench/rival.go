package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rivalFile is a balancer as a user describes it, the value of -rival.
type rivalFile struct {
	Name    string            `yaml:"name"`
	Binary  string            `yaml:"binary"`  // a path, relative to the file, or a name to look for in PATH
	Version []string          `yaml:"version"` // arguments that make it print its version
	Args    []string          `yaml:"args"`    // that run it in the foreground; templates
	Config  string            `yaml:"config"`  // name of its configuration file
	Configs map[shape]string  `yaml:"configs"` // what is in it; templates
	Files   map[string]string `yaml:"files"`   // further ones beside it; templates
	Ports   []string          `yaml:"ports"`   // names of further ports that it wants
	Ready   string            `yaml:"ready"`   // URL that answers 200 then; a template
	Lacks   string            `yaml:"lacks"`   // why there are no more shapes
}

// rivalName is what a rival may be called: it is the name of files, too.
var rivalName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// readRival reads the description of a balancer.
func readRival(path string) (balancer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return balancer{}, fmt.Errorf("rival: %w", err)
	}
	var f rivalFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return balancer{}, fmt.Errorf("rival %s: %w", path, err)
	}
	if err := f.check(); err != nil {
		return balancer{}, fmt.Errorf("rival %s: %w", path, err)
	}
	if strings.ContainsRune(f.Binary, '/') && !filepath.IsAbs(f.Binary) {
		f.Binary = filepath.Join(filepath.Dir(path), f.Binary)
	}
	if f.Lacks == "" {
		f.Lacks = filepath.Base(path) + " has no configuration for it"
	}
	return balancer{
		name: f.Name, binary: f.Binary, version: f.Version, file: f.Config, args: f.Args, lacks: others(f.Configs, f.Lacks),
		configs: f.Configs, extras: f.Files, ports: f.Ports, ready: f.Ready,
	}, nil
}

// others gives why as the reason for each shape that configs lack.
func others(configs map[shape]string, why string) map[shape]string {
	lacks := make(map[shape]string)
	for _, sh := range shapes() {
		if _, ok := configs[sh]; !ok {
			lacks[sh] = why
		}
	}
	return lacks
}

// check reports a description that makes no sense.
func (f rivalFile) check() error {
	switch {
	case !rivalName.MatchString(f.Name):
		return fmt.Errorf("name: %q: give small letters, digits and hyphens, such as haproxy-3", f.Name)
	case f.Binary == "":
		return errors.New("binary: give the path of the program, or its name where it is in PATH")
	case len(f.Args) == 0:
		return errors.New("args: give the arguments that run it in the foreground; {{.Config}} is the path of its configuration")
	case f.Config == "" || filepath.Base(f.Config) != f.Config:
		return fmt.Errorf("config: %q: give the name of its configuration file, without a directory", f.Config)
	case len(f.Configs) == 0:
		return errors.New("configs: give at least one, by the shape of scenarios; they are: " + shapeList())
	}
	for sh := range f.Configs {
		if !slices.Contains(shapes(), sh) {
			return fmt.Errorf("configs.%s: no scenario has this shape; there are: %s", sh, shapeList())
		}
	}
	for name := range f.Files {
		if filepath.Base(name) != name || name == f.Config {
			return fmt.Errorf("files: %q: give the name of a file beside %s, without a directory", name, f.Config)
		}
	}
	return nil
}

// shapes are those of all scenarios, in their order.
func shapes() []shape {
	var all []shape
	for _, sc := range scenarios() {
		if !slices.Contains(all, sc.shape) {
			all = append(all, sc.shape)
		}
	}
	return all
}

func shapeList() string {
	var names []string
	for _, sh := range shapes() {
		names = append(names, string(sh))
	}
	return strings.Join(names, ", ")
}

// furnish gives a site the ports that a balancer wants besides.
func (b balancer) furnish(at *site) error {
	taken := []string{at.Listen, at.Admin}
	at.Ports = make(map[string]string, len(b.ports))
	for _, name := range b.ports {
		addr, err := freeAddr("tcp", "127.0.0.1", taken...)
		if err != nil {
			return fmt.Errorf("port %s of %s: %w", name, b.name, err)
		}
		at.Ports[name] = addr
		taken = append(taken, addr)
	}
	return nil
}
