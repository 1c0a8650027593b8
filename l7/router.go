package l7

import (
	"crypto/tls"

	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/route"
)

// Router is where the requests of a route go. It never changes; a reload makes another one, with the same Counters.
type Router struct {
	Name        string
	Rule        string // its text, for people
	Service     *Service
	Middlewares []*Middleware // in the order in which they see requests
	Demands     *tls.Config   // what must have ended the TLS of its connections, for it asks more of clients than others may; nil = nothing
	Counters    *Counters
}

// Table routes the requests of an entrypoint.
type Table = route.Table[*Router]

// fields lets rules look at the headers of a request.
type fields struct{ head *head.Head }

// Any implements route.Headers.
func (f *fields) Any(name string, match func(value []byte) bool) bool {
	for value := range f.head.Values(name) {
		if match(value) {
			return true
		}
	}
	return false
}
