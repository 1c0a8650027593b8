package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// HTTPServer is one server of an HTTP service.
type HTTPServer struct {
	URL            string `yaml:"url" need:"true" doc:"http://, https://, or h2c:// for HTTP/2 without TLS, then ip:port of the server; without a port, 80 or 443. Or unix:// and the path of a socket."`
	Weight         int    `yaml:"weight" min:"0" max:"65535" doc:"Its share; 0 keeps what it has and sends it nothing new."`
	PreservePath   bool   `yaml:"preservePath" doc:"Put the path of the URL before the path of every request."`
	Priority       int    `yaml:"priority" min:"0" max:"65535" doc:"Failover tier: servers of a higher number are used when those of lower ones cannot be."`
	MaxConnections int    `yaml:"maxConnections" min:"0" doc:"Requests to it at one time; further ones wait in the queue. 0 means no limit."`
}

func (s *HTTPServer) setDefaults() { s.Weight = 1 }

// Socket returns the path of the Unix socket that the URL names, which is spoken
// to in plain HTTP; empty where it names an address.
func (s *HTTPServer) Socket() string {
	u, _ := parseServerURL(s.URL)
	return u.socket
}

// AddrPort returns the scheme, http, https or h2c, and the address of the parsed
// URL; they are valid in a loaded Config, but for a Unix socket.
func (s *HTTPServer) AddrPort() (scheme string, addr netip.AddrPort) {
	u, wrong := parseServerURL(s.URL)
	if wrong != nil {
		return "", netip.AddrPort{}
	}
	return u.scheme, u.addr
}

// BasePath returns the path, escaped, that goes before the path of every
// request; it is empty or starts with / and does not end with one.
func (s *HTTPServer) BasePath() string {
	u, wrong := parseServerURL(s.URL)
	if wrong != nil || !s.PreservePath {
		return ""
	}
	return u.path
}

// serverURL is the parsed URL of a server.
type serverURL struct {
	scheme string // http, https or h2c
	addr   netip.AddrPort
	path   string // escaped, without a / at its end
	socket string // path of a Unix socket, whose scheme is unix
}

// place returns where the server is, which no two servers of a service share.
func (u *serverURL) place() string {
	if u.socket != "" {
		return "unix:" + u.socket
	}
	return u.addr.String()
}

// fault is what is wrong with a value, and a hint that may be empty.
type fault struct{ message, hint string }

// serverURLForm is how a server's URL is written.
const serverURLForm = `write it like "http://10.0.0.9:8080"`

// parseServerURL reads the URL of a server. The messages never show a user or
// password that stands in it.
func parseServerURL(written string) (serverURL, *fault) {
	u, err := url.Parse(written)
	if err != nil {
		return serverURL{}, &fault{withoutUser(written) + " is not the URL of a server", serverURLForm}
	}
	switch {
	case u.Scheme == "unix":
		return socketURL(u)
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c" || u.Hostname() == "":
		return serverURL{}, &fault{fmt.Sprintf("%q is not the URL of a server", abbreviated(u.Redacted())), serverURLForm}
	case u.User != nil:
		return serverURL{}, &fault{"a user in the URL would not be sent", "remove what stands before the @"}
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return serverURL{}, &fault{"a query or fragment in the URL would not be sent", "remove what follows the path"}
	}
	addr, wrong := urlAddress(u)
	if wrong != nil {
		return serverURL{}, wrong
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if slices.ContainsFunc(strings.Split(u.Path, "/"), func(part string) bool { return part == "." || part == ".." }) {
		return serverURL{}, &fault{fmt.Sprintf("the path %q has . or .. in it", abbreviated(path)), "write the path that is meant"}
	}
	return serverURL{scheme: u.Scheme, addr: addr, path: path}, nil
}

// withoutUser shows text that is not a URL, unless a user and password may
// stand in it.
func withoutUser(written string) string {
	if strings.Contains(written, "@") {
		return "what stands here"
	}
	return strconv.Quote(abbreviated(written))
}

// longestSocket is the longest path of a Unix socket, without the byte that ends it (unix(7)).
const longestSocket = 107

// socketURL reads the URL of a Unix socket, which is spoken to in plain HTTP.
func socketURL(u *url.URL) (serverURL, *fault) {
	const form = `write it like "unix:///run/app.sock"`
	switch {
	case u.Host != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") || u.Path == "/":
		return serverURL{}, &fault{"not the URL of a Unix socket", form}
	case len(u.Path) > longestSocket:
		return serverURL{}, &fault{fmt.Sprintf("the path of a Unix socket has at most %d bytes", longestSocket), form}
	case strings.ContainsRune(u.Path, 0):
		return serverURL{}, &fault{"the path of a Unix socket has no zero byte", form}
	}
	return serverURL{scheme: "unix", socket: u.Path}, nil
}

// urlAddress returns the address in a URL, with the scheme's port where it
// names none.
func urlAddress(u *url.URL) (netip.AddrPort, *fault) {
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, hostNameFault(host)
	}
	if wrong := zoneFault(ip); wrong != nil {
		return netip.AddrPort{}, wrong
	}
	port := map[string]uint16{"http": 80, "h2c": 80, "https": 443}[u.Scheme]
	if written := u.Port(); written != "" {
		if port, err = parsePort(written); err != nil {
			return netip.AddrPort{}, &fault{err.Error(), serverURLForm}
		}
	}
	if port == 0 {
		return netip.AddrPort{}, &fault{"port 0, to which nobody can connect", serverURLForm}
	}
	return netip.AddrPortFrom(ip.Unmap(), port), nil
}

// hostNameFault says that a listed server is an address.
func hostNameFault(host string) *fault {
	return &fault{
		fmt.Sprintf("%q is a host name, and weir does not look those up here", abbreviated(host)),
		fmt.Sprintf("write the address itself, or discovery: { dns: { name: %s, port: ... } }", abbreviated(host)),
	}
}
