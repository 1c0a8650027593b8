package l7

import (
	"time"
	"unsafe"

	"github.com/weirlb/weir/internal/accesslog"
)

// count adds the exchange to the numbers of all that had to do with it.
func (x *Exchange) count(took time.Duration) {
	id := x.worker.loop.ID()
	in, out := x.content()
	status := x.status
	if x.rpc.would != 0 {
		status = x.rpc.would
	}
	x.conn.front.counters.shares[id].add(status, took, in, out)
	if x.router != nil {
		x.router.Counters.shares[id].add(status, took, in, out)
	}
	if x.service == nil {
		return
	}
	if x.service != x.router.Service && !x.page.counted {
		s := &x.router.Service.counters.shares[id]
		s.add(status, took, in, out)
		x.countCall(s)
	}
	x.countAttempt(status, took)
}

// countAttempt adds what a service has done for the exchange to the numbers of that and of the backend.
func (x *Exchange) countAttempt(status int, took time.Duration) {
	in, out := x.content()
	s := &x.service.counters.shares[x.worker.loop.ID()]
	s.add(status, took, in, out)
	x.countCall(s)
	if n := len(x.tried); n > 0 {
		b := x.tried[n-1]
		if x.replied {
			out = 0 // that was weir's own answer
		}
		x.worker.place(b).counters.add(x.origin, took, in, out)
		b.AddBytes(in, out)
	}
}

// countCall counts what a call of gRPC has come to.
func (x *Exchange) countCall(s *share) {
	if x.rpc.is {
		s.addCall(x.rpc.status)
	}
}

// content is how many bytes of content have gone from the client and to it; after a switch of protocols, all bytes.
func (x *Exchange) content() (in, out int64) {
	if x.tunnel != nil {
		return x.bodyIn, x.bodyOut
	}
	if in, out = x.reqBody.Content(), x.resBody.Content(); x.page.of != nil {
		in = x.bodyIn // that of the page's request has none
	}
	switch {
	case x.replied:
		out = x.bodyOut
	case x.filtered:
		out = x.given
	}
	return in, out
}

// record writes the request's line.
func (x *Exchange) record(now time.Time) {
	c, r := x.conn, &x.worker.line
	in, out := x.content()
	*r = accesslog.Record{
		Protocol: accesslog.HTTP,
		Start:    x.began, By: x.by, Reason: x.reason, Detail: x.detail,
		Local:      c.localAddr(),
		Entrypoint: c.front.name,
		Method:     view(x.req.AskedMethod()), Host: view(x.req.Host()), Target: view(x.req.Asked()),
		Proto: x.req.Version().String(), Scheme: c.scheme(),
		Status: x.status, OriginStatus: x.origin, GRPC: x.rpc.status,
		RequestSize: in, ResponseSize: out, OriginSize: out,
		In: in, Out: out,
		RequestCount: c.count,
		User:         x.user,
		RequestID:    x.id,
		TraceID:      x.traceID(),
		SpanID:       x.traced.Span,
		Route:        x.routed, Queue: accesslog.NotReached, Connect: accesslog.NotReached,
		FirstByte: accesslog.NotReached, Origin: accesslog.NotReached,
		Total:   now.Sub(x.began),
		Retries: max(x.earlier+len(x.tried)-1, 0),
		Reused:  x.reused,
	}
	if c.stream != nil {
		r.Client = c.stream.Remote()
	}
	if c.security != nil {
		r.TLS, r.TLSVersion, r.TLSCipher, r.ServerName = accesslog.Terminated, c.version, c.cipher, c.name
	}
	switch {
	case x.replied:
		r.OriginSize = 0
	case x.filtered:
		r.OriginSize = x.resBody.Content()
	}
	if !x.firstAt.IsZero() {
		r.FirstByte = x.firstAt.Sub(x.began)
		r.Origin = now.Sub(x.sentAt)
	}
	if n := len(x.tried); n > 0 {
		r.Backend, r.Queue = x.tried[n-1].Addr(), x.queued
		r.OriginScheme = x.lb.Transport.scheme()
	}
	if !x.sentAt.IsZero() {
		r.Connect = x.dialled
	}
	if x.router != nil {
		r.Router = x.router.Name
	}
	if x.service != nil {
		r.Service = x.service.name
	}
	x.worker.record(r)
}

// view lends b's bytes as a string for as long as a record is encoded.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
