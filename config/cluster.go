package config

// Cluster makes this weir a member of a cluster.
type Cluster struct {
	Name      string   `yaml:"name" need:"true" doc:"Name of the cluster; nodes of another name are not let in. (restart)"`
	Node      string   `yaml:"node" doc:"Name of this node, unlike all others in the cluster; without the key, the host name. (restart)"`
	Bind      string   `yaml:"bind" need:"true" doc:"ip:port for the talk between nodes, by TCP and UDP. (restart)"`
	Advertise string   `yaml:"advertise" doc:"ip:port or ip where the other nodes reach this one; without the key, bind. Required if bind is 0.0.0.0 or [::]. (restart)"`
	Join      []string `yaml:"join" doc:"Other nodes, some of which are there at the start: ip:port, ip, host:port, host, or srv+NAME for an SRV record that lists them. Without a port, 7946. (restart)"`
	KeyFile   string   `yaml:"keyFile" doc:"File with base64 keys of at least 16 bytes, one a line, up to 4; the first encrypts. Required off loopback. (restart)"`
	Profile   string   `yaml:"profile" enum:"lan|wan" doc:"How fast a node that is gone is noticed: within a second or two over short links, some fifteen seconds over long ones. (restart)"`
	StateFile string   `yaml:"stateFile" doc:"File for what a restart must not forget: the other nodes, operators' orders, changed keys. Without the key, cluster-NAME-NODE.json in $STATE_DIRECTORY, else in /var/lib/weir for root, else in weir below $XDG_STATE_HOME or ~/.local/state. (restart)"`
}

func (c *Cluster) setDefaults() { c.Profile = "lan" }
