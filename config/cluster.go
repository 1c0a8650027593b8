package config

// Cluster makes this weir a member of a cluster.
type Cluster struct {
	Name    string   `yaml:"name" need:"true" doc:"Name of the cluster; nodes of another name are not let in."`
	Node    string   `yaml:"node" doc:"Name of this node; without the key, the host name."`
	Bind    string   `yaml:"bind" need:"true" doc:"ip:port for the talk between nodes."`
	Join    []string `yaml:"join" doc:"ip:port of other nodes, or srv+NAME for an SRV record that lists them."`
	KeyFile string   `yaml:"keyFile" doc:"File with base64 keys, one a line; the first encrypts. Required off loopback."`
}
