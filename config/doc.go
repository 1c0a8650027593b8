// Package config is weir's configuration file as plain data: the types of its
// language, the strict loader that fills them, the checks that need no network,
// and the watcher that notices when the files change.
//
// Everything goes through one tree. YAML, TOML and JSON are each parsed into
// the same tree of nodes that know their file, line and column; several files
// are joined as trees; one decoder turns the tree into the types by reflection
// and reports whatever does not fit. What a field means beyond its type (its
// allowed words, its bounds, its one-line description) stands in its struct
// tag, so that the decoder, the dump and the JSON Schema cannot disagree:
//
//	yaml:"key"     the key; ",scalar" and ",object" mark the two arms of a name-or-object value
//	doc:"..."      one sentence for the schema
//	enum:"a|b"     the allowed words
//	min, max       inclusive bounds of numbers and durations
//	need:"true"    the key must be present and not empty
//	usual:"json"   the default, for the schema, of a value that depends on other keys
//	quoted:"true"  a number that may stand in quotes, as Traefik's manual has it
//	lone:"true"    a list of objects whose only one may stand without the list
//
// viper decides only where a process setting (log, accessLog, admin, engine)
// comes from: flag, WEIR_* environment, file or default. The routing part
// passes through it as one opaque value, because viper lower-cases keys, splits
// them at dots and drops empty maps.
package config
