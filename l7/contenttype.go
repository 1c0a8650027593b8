package l7

import (
	"net/http"
	"time"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

const (
	sniffBytes = 512         // of a body that its type is told from (the MIME Sniffing standard, section 7)
	sniffWait  = time.Second // for them, behind the head
)

// ContentType returns a middleware that gives a response without a Content-Type the one that the first bytes of its body
// look like. A body that is encoded, or of which nothing comes in time, stays without.
func ContentType(name string) *Middleware {
	return &Middleware{
		Name:    name,
		Request: func(x *Exchange) Action { x.sniff = true; return Next },
		Response: func(x *Exchange) {
			if len(x.ahead) > 0 && !x.res.Has(head.ContentType) && (x.filters.n > 0 || untyped(&x.res)) { // what filters do to it comes later
				_ = x.res.Set("Content-Type", http.DetectContentType(x.ahead)) // one that has no room is one the client does without
			}
		},
	}
}

// untyped reports whether a response has a body whose type nobody says.
func untyped(res *head.Head) bool {
	return res.Framing().HasBody() && !res.Has(head.ContentType) && len(res.Value(head.ContentEncoding)) == 0
}

// sniffs reports whether the type of a response of which the head and rest have come is to be told from more than that; err
// is what reading has met. What a type is told from must not depend on how a body happens to arrive.
func (x *Exchange) sniffs(rest []byte, err error) bool {
	if !x.sniff || x.late || x.res.Status() < 200 || err != nil && err != eventloop.ErrAgain || !untyped(&x.res) {
		return false
	}
	content, over := begun(&x.res, rest)
	return len(content) < sniffBytes && !over
}

// sniffed is the content that the type of the response may be told from, of the rest that has come behind its head. It is as
// the server sent it, before any filter.
func (x *Exchange) sniffed(rest []byte) []byte {
	if !x.sniff || !untyped(&x.res) {
		return nil
	}
	content, _ := begun(&x.res, rest)
	return content
}

// begun is the first content of a response in what has come behind its head, and whether no more can come.
func begun(res *head.Head, rest []byte) (content []byte, over bool) {
	var body http1.Body
	body.Begin(res.Framing())
	for len(rest) > 0 && !body.Done() && len(content) < sniffBytes {
		n, piece, err := body.Next(rest)
		if piece == http1.Data {
			if content == nil {
				content = rest[:n:n]
			} else {
				content = append(content, rest[:n]...) // a copy, for there was something between them
			}
		}
		if err != nil {
			return content, true
		}
		rest = rest[n:]
	}
	return content[:min(len(content), sniffBytes)], body.Done()
}
