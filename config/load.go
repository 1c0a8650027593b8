package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Loader reads a configuration from files, the environment and flags.
type Loader struct {
	Paths []string       // files, and directories whose *.yaml, *.yml, *.toml and *.json are read in the order of their names
	Flags *pflag.FlagSet // parsed flags as AddFlags defines them; may be nil
}

// Load reads the configuration from files and directories, with the
// environment on top. The error is a [Problems]; it holds everything that is
// wrong, unless a file cannot be read at all: then only that.
func Load(paths ...string) (*Config, error) { return Loader{Paths: paths}.Load() }

// Load reads the configuration. See the function [Load].
func (l Loader) Load() (*Config, error) {
	sources, problems := readSources(l.Paths)
	if len(problems) > 0 {
		return nil, problems.orNil()
	}
	docs := &documents{}
	v := viper.NewWithOptions(viper.WithDecoderRegistry(docs))
	if err := bindSettings(v, l.Flags); err != nil {
		return nil, Problems{{File: "flags", Message: err.Error()}}
	}
	for _, s := range sources {
		docs.file = s.file
		v.SetConfigType(cmp.Or(formatOf(s.file), "yaml")) // the codec refuses what is neither
		if err := v.MergeConfig(bytes.NewReader(s.data)); err != nil {
			docs.problems = append(docs.problems, Problem{File: s.file, Line: 1, Col: 1, Message: err.Error()})
		}
	}
	if len(docs.problems) > 0 {
		return nil, docs.problems.orNil()
	}
	root, ok := v.Get(routingKey).(*node)
	if !ok {
		return nil, Problems{{File: strings.Join(l.Paths, ", "), Message: "no configuration"}}
	}
	cfg, d := decodeRoot(root)
	d.override(cfg, v, l.Flags)
	cfg, err := finish(cfg, d)
	if err != nil {
		return nil, err
	}
	cfg.remember(l.Paths, sources)
	return cfg, nil
}

// routingKey is where the whole tree passes through viper as one value it does
// not look into.
const routingKey = "routing"

// documents is the codec viper decodes files with. It parses each into a tree,
// joins the trees, and shows viper the process settings and nothing else.
type documents struct {
	file     string // the one decoded next
	root     *node
	problems Problems
}

// Decoder returns the codec itself, which tells formats by the file's name.
func (d *documents) Decoder(string) (viper.Decoder, error) { return d, nil }

// Decode adds a document.
func (d *documents) Decode(data []byte, out map[string]any) error {
	tree, problems := parseDocument(d.file, data)
	if len(problems) > 0 {
		d.problems = append(d.problems, problems...)
		return nil
	}
	settings := make(map[string]map[string]any)
	for _, s := range Settings() {
		section, key, _ := strings.Cut(s.Path, ".")
		values := tree.get(section)
		if values == nil || values.get(key) == nil {
			continue
		}
		if settings[section] == nil {
			settings[section] = make(map[string]any)
			out[section] = settings[section]
		}
		settings[section][key] = values.get(key)
	}
	if d.root == nil {
		d.root = tree
	} else {
		d.problems = append(d.problems, join(d.root, tree)...)
	}
	out[routingKey] = d.root
	return nil
}

// source is one file as it was read.
type source struct {
	file string
	data []byte
}

// readSources reads all files that the paths stand for.
func readSources(paths []string) ([]source, Problems) {
	files, problems := expand(paths)
	var sources []source
	for _, file := range files {
		data, err := readBounded(file)
		if err != nil {
			problems = append(problems, Problem{File: file, Message: "cannot be read: " + reason(err)})
			continue
		}
		sources = append(sources, source{file, data})
	}
	return sources, problems
}

// maxFiles bounds the files of one configuration.
const maxFiles = 10_000

// expand turns directories into their files.
func expand(paths []string) (files []string, problems Problems) {
	if len(paths) == 0 {
		return nil, Problems{{File: "configuration", Message: "no file is named"}}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			problems = append(problems, Problem{File: path, Message: "cannot be read: " + reason(err)})
		case !info.IsDir():
			files = append(files, path)
		default:
			inside, err := filesIn(path)
			if err != nil {
				problems = append(problems, Problem{File: path, Message: "cannot be read: " + reason(err)})
			} else if len(inside) == 0 {
				problems = append(problems, Problem{File: path, Message: "the directory holds no .yaml, .yml, .toml or .json file"})
			}
			files = append(files, inside...)
		}
	}
	if len(files) > maxFiles {
		problems = append(problems, Problem{File: files[maxFiles], Message: fmt.Sprintf("more than %d files", maxFiles)})
	}
	return files, problems
}

// filesIn returns the configuration files of a directory by name. Hidden
// files are left out: editors keep their drafts there.
func filesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !isConfigName(e.Name()) {
			continue
		}
		file := filepath.Join(dir, e.Name())
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			continue
		}
		files = append(files, file)
	}
	return files, nil
}

// isConfigName reports whether a file in a directory is part of the
// configuration.
func isConfigName(name string) bool {
	return !strings.HasPrefix(name, ".") && filepath.Ext(name) != "" && formatOf(name) != ""
}

// readBounded reads a file, and of one that is too long only enough to tell.
func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDocument+1))
}

// reason is what the system says, without the name that is shown already.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
