package config

import "net/netip"

// Server is one backend of a service.
type Server struct {
	Address        string `yaml:"address" need:"true" doc:"ip:port of the server."`
	Weight         int    `yaml:"weight" min:"0" max:"65535" doc:"Its share; 0 keeps what it has and sends it nothing new."`
	Priority       int    `yaml:"priority" min:"0" max:"65535" doc:"Failover tier: servers of a higher number are used when those of lower ones cannot be."`
	MaxConnections int    `yaml:"maxConnections" min:"0" doc:"Open connections to it; further ones wait in the queue. Of UDP, flows at one time; further ones go to other servers. 0 means no limit."`
}

func (s *Server) setDefaults() { s.Weight = 1 }

// AddrPort returns the parsed Address; it is valid in a loaded Config.
func (s *Server) AddrPort() netip.AddrPort {
	addr, err := netip.ParseAddrPort(s.Address)
	if err != nil {
		return netip.AddrPort{}
	}
	return addr
}
