package l7

import (
	"bytes"
	"slices"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/grpcweb"
	"github.com/weirlb/weir/l7/head"
)

// maxWebText is how much of a request in text is held, to make what it stands for of it. It comes to messages of 6 MiB;
// servers of gRPC take 4 MiB if nothing else is said.
const maxWebText = 8 << 20

// soonDecoded is how long a text may be that is decoded on the loop, which takes about 0.1 ms; longer ones are not.
const soonDecoded = 64 << 10

const maxExposed = 64 // fields of a response that scripts are told they may read

// GRPCWeb returns a middleware that makes calls of gRPC-Web, which is what browsers can speak, ones of gRPC, and the answers
// to them ones of gRPC-Web. Scripts of the given origins may call; * is any, whose calls come without credentials. What
// is no call passes as it is.
func GRPCWeb(name string, origins []string) *Middleware {
	g := &grpcWeb{origins: origins, any: slices.Contains(origins, "*")}
	g.self = &Middleware{Name: name, Request: g.request, Response: g.response}
	return g.self
}

type grpcWeb struct {
	origins []string
	any     bool
	self    *Middleware
}

// webCall is what is kept of a call until its answer.
type webCall struct {
	kind   grpcweb.Kind // that the client takes
	origin []byte       // nil = the page's own
}

func (g *grpcWeb) request(x *Exchange) Action {
	h := &x.req
	if preflight(h) && asksForWeb(h) {
		x.Answer(204, func(res *head.Head) { g.answerPreflight(h, res) }, "")
		return Answered
	}
	kind := grpcweb.KindOf(h.Value(head.ContentType))
	if kind == grpcweb.None || string(h.Method()) != "POST" {
		return Next
	}
	call := webCall{kind, bytes.Clone(h.Value(head.Origin))}
	if accept, ok := h.Get("Accept"); ok {
		if k := grpcweb.KindOf(accept); k != grpcweb.None {
			call.kind = k
		}
	}
	x.keepNote(g.self, call) // first, for scripts may read what is said about a call that is refused
	if kind == grpcweb.Text {
		return readText(x)
	}
	return toGRPC(x)
}

// toGRPC makes the head of a call one of gRPC.
func toGRPC(x *Exchange) Action {
	h := &x.req
	if h.SetBytes("Content-Type", grpcweb.Request(h.Value(head.ContentType))) != nil {
		x.detail = "long-head"
		x.Reject(431, accesslog.BadRequest)
		return Answered
	}
	h.AskTrailers()
	x.enterCall()
	x.rpc.web = true
	return Next
}

// readText puts what the text of a call stands for in its place, when it is here, and goes on with the head.
func readText(x *Exchange) Action {
	action, err := x.takeIn(maxWebText)
	switch {
	case err == errLongBody:
		x.Reject(413, accesslog.BodyTooLarge)
		return Answered
	case err != nil:
		x.Reject(503, accesslog.Limit)
		return Answered
	case action != Next:
		return action
	}
	text := x.taken()
	if len(text) <= soonDecoded {
		content, err := grpcweb.Decode(text)
		return replaceText(x, content, err)
	}
	var content []byte
	var bad error
	if x.Go(func() { content, bad = grpcweb.Decode(text) }, func() {
		if replaceText(x, content, bad) == Next {
			x.Continue()
		}
	}) != nil {
		x.Reject(503, accesslog.Limit)
		return Answered
	}
	return Wait
}

// replaceText puts the content of a call in the place of its text, if there is one, and goes on with the head.
func replaceText(x *Exchange, content []byte, err error) Action {
	if err != nil {
		x.detail = "bad-base64"
		x.Reject(400, accesslog.BadRequest)
		return Answered
	}
	x.replaceBody(content)
	return toGRPC(x)
}

func (g *grpcWeb) response(x *Exchange) {
	call, ok := x.noteOf(g.self).(webCall)
	if !ok {
		return
	}
	h := &x.res
	g.allow(call.origin, h)
	media, ok := call.kind.Response(h.Value(head.ContentType))
	if !ok || x.res.Framing().HasBody() && !x.Filter(x.toWeb(call.kind)) {
		return // what is no gRPC, such as a page that says that something is wrong, is for the client to judge by its status
	}
	_ = h.SetBytes("Content-Type", media) // one that has no room leaves the server's, which clients take for an error
	_ = h.Delete("Trailer")               // they come in the body
}

// toWeb is a filter that gives out the frames of gRPC as they come, and behind them one with the trailers.
func (x *Exchange) toWeb(kind grpcweb.Kind) Filter {
	var text grpcweb.Encoder
	return func(dst, content []byte, step Step) []byte {
		if kind == grpcweb.Binary {
			dst = append(dst, content...)
			if step == End {
				dst = grpcweb.AppendTrailers(dst, x.takeTrailers())
			}
			return dst
		}
		dst = text.Append(dst, content)
		switch step {
		case End:
			dst = text.Append(dst, grpcweb.AppendTrailers(nil, x.takeTrailers()))
			dst = text.Flush(dst)
		case Pause:
			dst = text.Flush(dst)
		}
		return dst
	}
}

// takeTrailers takes the trailers of the response, so that they do not leave as such. What it returns is good until the
// exchange ends.
func (x *Exchange) takeTrailers() []byte {
	x.sealCall()
	at := x.trailers()
	section := *at
	*at = section[:0]
	return section
}

// trailers is where those of the response are.
func (x *Exchange) trailers() *[]byte {
	if x.conn.lane != nil {
		return &x.conn.lane.trailers
	}
	return &x.trailer
}

// asksForWeb reports whether a browser asks for leave to make a call: those of gRPC-Web have a field of their own.
func asksForWeb(h *head.Head) bool {
	for value := range h.Values("Access-Control-Request-Headers") {
		for name := range head.List(value) {
			if head.EqualFold(name, "x-grpc-web") {
				return true
			}
		}
	}
	return false
}

func (g *grpcWeb) answerPreflight(req, res *head.Head) {
	_ = res.Set("Vary", "Origin, Access-Control-Request-Headers") // all of these are good, and there is room
	if !g.name(req.Value(head.Origin), res) {
		return
	}
	fields, _ := req.Get("Access-Control-Request-Headers")
	_ = res.Set("Access-Control-Allow-Methods", "POST")
	_ = res.SetBytes("Access-Control-Allow-Headers", fields)
	_ = res.Set("Access-Control-Max-Age", "600")
}

// name says to a browser whether scripts of an origin may have a response (the Fetch standard, section 3.3), and reports
// it. Any origin is not told that it may send cookies: whoever wants that must be listed.
func (g *grpcWeb) name(origin []byte, res *head.Head) bool {
	switch {
	case len(origin) == 0:
		return false
	case string(origin) != "*" && containsOrigin(g.origins, origin):
		_ = res.SetBytes("Access-Control-Allow-Origin", origin)
		_ = res.Set("Access-Control-Allow-Credentials", "true")
	case g.any:
		_ = res.Set("Access-Control-Allow-Origin", "*")
		_ = res.Delete("Access-Control-Allow-Credentials")
	default:
		return false
	}
	return true
}

func containsOrigin(list []string, origin []byte) bool {
	return slices.ContainsFunc(list, func(o string) bool { return o == string(origin) })
}

// allow tells a browser whether scripts of an origin may read a response, with what the server says in its head: those
// fields that weir knows are the browser's own business, or scripts may read them anyway.
func (g *grpcWeb) allow(origin []byte, res *head.Head) {
	if g.name(origin, res) {
		_ = res.SetBytes("Access-Control-Expose-Headers", exposed(res))
	}
	varyBy(res, "Origin")
}

// exposed are the names of what a server says in its head, with the status of gRPC, which may stand there.
func exposed(res *head.Head) []byte {
	out, n := []byte("grpc-status, grpc-message"), 0
	for name := range res.All() {
		if n == maxExposed {
			break
		}
		if head.Lookup(name) != head.Other || begins(name, "access-control-") || head.EqualFold(name, "grpc-status") || head.EqualFold(name, "grpc-message") {
			continue
		}
		out = append(append(out, ", "...), name...)
		n++
	}
	return out
}
