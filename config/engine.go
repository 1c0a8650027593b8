package config

// Engine sizes the event loops. Both values take effect at start only.
type Engine struct {
	Loops          int `yaml:"loops" min:"0" max:"1024" doc:"Number of event loops; 0 means one for each CPU. (restart)"`
	MaxConnections int `yaml:"maxConnections" min:"0" doc:"Open client connections in the whole process; 0 means what the file-descriptor limit allows. (restart)"`
}
