package config

// Admin is the endpoint operators and monitoring talk to.
type Admin struct {
	Address string `yaml:"address" need:"true" doc:"ip:port the admin endpoint listens on. (restart)"`
}

func (a *Admin) setDefaults() { a.Address = "127.0.0.1:9901" }
