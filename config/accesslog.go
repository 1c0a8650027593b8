package config

// AccessLog says where and how one record for each connection is written. It
// is off where the key is absent.
type AccessLog struct {
	Path   string `yaml:"path" need:"true" doc:"stdout, stderr, or the path of a file; SIGUSR1 reopens it."`
	Format string `yaml:"format" enum:"json|common" doc:"One JSON object a line, or one line of words."`
}

func (a *AccessLog) setDefaults() { *a = AccessLog{Path: "stdout", Format: "json"} }
