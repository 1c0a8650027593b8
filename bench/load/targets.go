package load

import "fmt"

// Targets are what HTTP requests ask for: each path of each host. The zero
// value is one host's root.
type Targets struct {
	Hosts, Paths int
}

// HostNames returns the names of the hosts.
func (t Targets) HostNames() []string {
	if t.Hosts == 0 {
		return []string{"www.bench.test"}
	}
	names := make([]string, t.Hosts)
	for i := range names {
		names[i] = fmt.Sprintf("site%04d.bench.test", i)
	}
	return names
}

// PathPrefixes returns what the paths of the requests to each host begin
// with. No prefix is the beginning of another.
func (t Targets) PathPrefixes() []string {
	if t.Paths == 0 {
		return []string{"/"}
	}
	paths := make([]string, t.Paths)
	for i := range paths {
		paths[i] = fmt.Sprintf("/part%02d/", i)
	}
	return paths
}

// requests returns one request for each target, in an order that leaps from
// host to host, so that a balancer does not find the next target beside the
// last one.
func (t Targets) requests(e Exchange) []*message {
	hosts, paths := t.HostNames(), t.PathPrefixes()
	body := pattern(max(e.Request, 1))
	n := len(hosts) * len(paths)
	// A step that has no divisor in common with n visits every target.
	step := 1
	if n > 1 {
		step = coprime(n, n*5/8)
	}
	all := make([]*message, n)
	for i := range all {
		at := i * step % n
		all[i] = newMessage(requestHead(hosts[at/len(paths)], paths[at%len(paths)], e), body, e.Request)
	}
	return all
}

// coprime returns the first number from least on that shares no divisor with
// n.
func coprime(n, least int) int {
	for step := max(1, least); ; step++ {
		a, b := n, step
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return step
		}
	}
}
