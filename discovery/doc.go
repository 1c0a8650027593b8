// Package discovery finds the endpoints of services at run time: in files, over HTTP, by DNS.
package discovery
