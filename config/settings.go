package config

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Setting is a process setting: a value that a flag or an environment variable
// can set over the file.
type Setting struct {
	Path string // the key, such as log.level; also the flag's name
	Env  string // the environment variable, such as WEIR_LOG_LEVEL
	Doc  string // one sentence
}

// processSections are the sections whose values are process settings. The
// names of the rest belong to the user, and no variable could spell them.
var processSections = []string{"log", "accessLog", "admin", "engine"}

// Settings returns all process settings.
func Settings() []Setting {
	var out []Setting
	eachSetting(reflect.TypeFor[Config](), func(section, f field) {
		at := section.key + "." + f.key
		out = append(out, Setting{
			Path: at,
			Env:  "WEIR_" + strings.ToUpper(strings.ReplaceAll(at, ".", "_")),
			Doc:  f.doc,
		})
	})
	return out
}

// eachSetting calls yield for every key of every process section.
func eachSetting(config reflect.Type, yield func(section, key field)) {
	for _, name := range processSections {
		for _, section := range keysOf(config) {
			if section.key != name {
				continue
			}
			t := section.typ
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			for _, f := range keysOf(t) {
				yield(section, f)
			}
		}
	}
}

// AddFlags defines one flag for each process setting, named as its key:
// --log.level, --engine.loops. Give the set to [Loader.Flags] once it is
// parsed.
func AddFlags(fs *pflag.FlagSet) {
	for _, s := range Settings() {
		fs.String(s.Path, "", s.Doc+" ["+s.Env+"]")
	}
}

// bindSettings tells viper where else than in a file a setting may come from.
// Only these variables are read: everything else that starts with WEIR_ may be
// someone else's, such as the variables Kubernetes makes for a service that
// happens to be called weir.
func bindSettings(v *viper.Viper, flags *pflag.FlagSet) error {
	for _, s := range Settings() {
		if err := v.BindEnv(s.Path, s.Env); err != nil {
			return err
		}
		if f := changedFlag(flags, s.Path); f != nil {
			if err := v.BindPFlag(s.Path, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func changedFlag(flags *pflag.FlagSet, name string) *pflag.Flag {
	if flags == nil {
		return nil
	}
	if f := flags.Lookup(name); f != nil && f.Changed {
		return f
	}
	return nil
}

// override puts the settings that viper took from a flag or the environment
// into cfg, as strictly as if they stood in the file. Values from a file are
// nodes, and decoded already.
func (d *decoder) override(cfg *Config, v *viper.Viper, flags *pflag.FlagSet) {
	root := reflect.ValueOf(cfg).Elem()
	eachSetting(root.Type(), func(section, f field) {
		p := path{}.key(section.key).key(f.key)
		written, ok := v.Get(p.text).(string)
		if !ok {
			return
		}
		from := position{file: "environment variable WEIR_" + strings.ToUpper(strings.ReplaceAll(p.text, ".", "_"))}
		if changedFlag(flags, p.text) != nil {
			from.file = "flag --" + p.text
		}
		target := root.Field(section.index)
		if target.Kind() == reflect.Pointer {
			if target.IsNil() {
				target.Set(reflect.New(target.Type().Elem()))
				d.lang.setDefaults(target.Elem())
			}
			target = target.Elem()
		}
		d.origin.at[p.text] = from
		d.value(p, f, scalarNode(f.typ, written, from), target.Field(f.index))
	})
}

// scalarNode makes a node of a value that comes as text, of the kind that the
// type wants where the text allows it.
func scalarNode(t reflect.Type, written string, from position) *node {
	n := &node{kind: text, pos: from, value: written}
	switch t.Kind() {
	case reflect.Int:
		if _, err := strconv.ParseInt(written, 0, 64); err == nil {
			n.kind = integer
		}
	case reflect.Bool:
		if written == "true" || written == "false" {
			n.kind = boolean
		}
	}
	return n
}
