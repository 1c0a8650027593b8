package l7

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/upstream"
)

// mirrorTimeout is how long a mirror may take for a response where its transport does not say.
const mirrorTimeout = 30 * time.Second

// mirrorCall is a copy of a request on its way to a mirror. It is an exchange without a client: it tries one backend, waits
// for no slot, and drops what comes back.
type mirrorCall struct {
	worker  *worker
	index   int      // among the worker's copies; -1 = it is over
	service *Service // the mirror
	leaf    *Service // below it, or itself: whose load balancer it is
	lb      *LoadBalancer
	backend *upstream.Backend
	link    *link
	timer   eventloop.Timer
	client  netip.AddrPort
	local   netip.AddrPort

	parser   http1.Parser
	req, res head.Head
	resBody  http1.Body
	body     []byte // of the request; others read it too
	traced   traced // as the request is; the copy is the attempt
	answered bool   // the head of the response has come
	interims int
	began    time.Time
	sentAt   time.Time
	bodyOut  int64
}

// start finds a backend and a connection.
func (m *mirrorCall) start() {
	m.began = time.Now()
	o := m.lb.Pool.Options()
	key := uint64(0)
	if o.Strategy.Hashes() {
		key = upstream.KeyOf(o.HashKey, m.client, m.req.Hostname())
	}
	b, err := m.lb.Pool.Acquire(key, nil, m.began)
	if err != nil {
		m.end(503)
		return
	}
	m.backend = b
	m.reach()
}

// reach finds a connection to the backend, or makes one.
func (m *mirrorCall) reach() {
	w, b, t := m.worker, m.backend, m.lb.Transport
	if l := w.reuse(m, b, t, true, false); l != nil {
		m.link = l
		m.send()
		return
	}
	o := m.lb.Pool.Options()
	var err error
	m.link, err = w.dial(m, b, t, o, false)
	w.loop.Arm(&m.timer, m.link.timeout(o), m)
	if err != nil {
		m.connected(err)
	}
}

// connected implements holder.
func (m *mirrorCall) connected(err error) {
	l := m.link
	switch {
	case err == errHTTP1:
		m.link = nil
		l.close()
		m.reach()
		return
	case err != nil:
		if !local(err) && err != errNoStream && err != errNoLink && !l.shared {
			m.fail()
		}
		m.end(502)
		return
	}
	now := time.Now()
	if !l.shared {
		m.backend.AddConnect(now.Sub(m.began))
	}
	m.link.stream.SetHandler(m.link)
	m.send()
}

// send writes all of the request.
func (m *mirrorCall) send() {
	w := m.worker
	timeout := m.lb.Transport.ResponseTimeout
	if timeout <= 0 {
		timeout = mirrorTimeout
	}
	w.loop.Arm(&m.timer, timeout, m)
	m.link.served++
	m.sentAt = time.Now()
	if m.lb.RewriteHost {
		_ = m.req.SetHost(m.lb.host(m.backend)) // it cannot fail: it is an address
	}
	if _, err := w.rebase(&m.req, 0, m.lb.BasePaths[m.backend.Addr()]); err != nil {
		m.end(500)
		return
	}
	out := append(m.link.appendRequest(w.scratch(), &m.req), m.body...)
	if len(out) > 0 {
		_ = m.link.stream.Write(out) // an error stays with the stream; reading shows it
	}
	w.sent(out)
	m.backendReady()
}

// backendReady implements holder: it drops what has come, as long as it is a response.
func (m *mirrorCall) backendReady() {
	for budget := turnBudget; m.link != nil; {
		l := m.link
		if budget <= 0 {
			l.stream.Again()
			return
		}
		b, err := l.stream.Receive(maxResponse)
		if len(b) > 0 || l.branch != nil && l.branch.answered {
			budget -= len(b)
			n, bad := m.take(b)
			l.stream.Hold(b[n:])
			switch {
			case bad == http1.ErrShort:
			case bad != nil:
				m.fail()
				m.end(502)
				return
			case m.answered && m.resBody.Done():
				m.done()
				return
			}
		}
		switch {
		case err == nil:
		case err == eventloop.ErrAgain:
			return
		case m.answered && ended(&m.resBody, err) == nil:
			m.done()
			return
		default:
			m.fail()
			m.end(502)
			return
		}
	}
}

// take drops what belongs to the response, and returns how much that was.
func (m *mirrorCall) take(b []byte) (n int, err error) {
	for !m.answered {
		size, err := m.link.response(b[n:], &m.res, m.req.Method())
		if err != nil {
			return n, err
		}
		m.link.heard()
		n += size
		if status := m.res.Status(); status >= 200 {
			m.answered = true
			m.backend.AddFirstByte(time.Since(m.sentAt))
			m.resBody.Begin(m.res.Framing())
		} else if m.interims++; m.interims > maxInterim || status == 101 {
			return n, http1.ErrTruncated
		}
	}
	size, err := m.resBody.Scan(b[n:])
	m.bodyOut += int64(size)
	return n + size, err
}

// done ends a call that was answered.
func (m *mirrorCall) done() {
	now := time.Now()
	status := m.res.Status()
	if status >= 500 && m.lb.CountErrors {
		m.lb.Pool.Failed(m.backend, now)
	} else {
		m.lb.Pool.Succeeded(m.backend, now)
	}
	if l := m.link; m.res.KeepAlive && l.reusable() {
		m.link = nil
		m.worker.rest(l, now)
	}
	m.end(status)
}

// fail counts a failure against the backend.
func (m *mirrorCall) fail() {
	if m.link == nil || m.link.accountable() {
		m.lb.Pool.Failed(m.backend, time.Now())
	}
}

// Expired ends a call that takes too long.
func (m *mirrorCall) Expired(*eventloop.Timer) {
	defer m.rescue()
	m.fail()
	m.end(504)
}

// end gives everything back. status is what the call has come to; 0 = it was stopped.
func (m *mirrorCall) end(status int) {
	if m.index < 0 {
		return
	}
	w := m.worker
	last := len(w.copies) - 1
	w.copies[m.index] = w.copies[last]
	w.copies[m.index].index = m.index
	w.copies[last] = nil
	w.copies = w.copies[:last]
	w.copied -= len(m.body)
	m.index = -1
	w.loop.Disarm(&m.timer)
	if l := m.link; l != nil {
		m.link = nil
		l.reset()
	}
	m.count(status)
	if m.backend != nil {
		if m.traced.recorded() {
			m.tell(status)
		}
		m.lb.Pool.Release(m.backend)
	}
}

// tell tells the span of a copy that was sent, or was to be.
func (m *mirrorCall) tell(status int) {
	b := m.worker.spans
	method := tellMethod(b, view(m.req.Method()))
	m.worker.tellServer(b, m.traced.by, m.lb.Transport, m.backend.Addr(), m.req.Target())
	b.Text("weir.service", m.leaf.name)
	b.Text("weir.mirror", m.service.name)
	if m.answered {
		b.Int("http.response.status_code", m.res.Status())
	}
	failed := tellFault(b, status, 400, accesslog.Weir, accesslog.Unknown)
	m.worker.tellCall(&m.traced, &m.traced.attempt, method, m.leaf.name, failed)
}

func (m *mirrorCall) count(status int) {
	id := m.worker.loop.ID()
	took := time.Duration(0)
	if !m.began.IsZero() {
		took = time.Since(m.began)
	}
	in := int64(len(m.body))
	m.service.counters.shares[id].add(status, took, in, m.bodyOut)
	if m.leaf != nil && m.leaf != m.service {
		m.leaf.counters.shares[id].add(status, took, in, m.bodyOut)
	}
	if b := m.backend; b != nil {
		m.worker.place(b).counters.add(status, took, in, m.bodyOut)
		b.AddBytes(in, m.bodyOut)
	}
}

// result implements holder.
func (m *mirrorCall) result() *head.Head { return &m.res }

// owner implements holder.
func (m *mirrorCall) owner() rescuer { return m }

// rescue ends a call that has panicked; it is deferred.
func (m *mirrorCall) rescue() {
	if cause := recover(); cause != nil {
		m.worker.panicked(cause)
		m.end(0)
	}
}
