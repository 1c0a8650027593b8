package config

// Log is the program's own log, written to standard error.
type Log struct {
	Level  string `yaml:"level" enum:"debug|info|warn|error" doc:"The least severe level that is written."`
	Format string `yaml:"format" enum:"text|json" doc:"One line of words, or one JSON object a line."`
}

func (l *Log) setDefaults() { *l = Log{Level: "info", Format: "text"} }
