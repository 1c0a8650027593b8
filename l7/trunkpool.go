package l7

import (
	"time"

	"github.com/weirlb/weir/upstream"
)

// trunkPool is what a place holds of trunks, and of those who wait for a stream on one.
type trunkPool struct {
	trunks  []*trunk         // the oldest first
	waiting waitlist[branch] // for a stream
	order   uint64           // of the last one that began to wait
	most    int              // streams that the server has allowed on a trunk; 0 = it has not spoken yet
	wait    time.Duration    // for one more trunk to connect
	retry   time.Time        // before which no further trunk is begun, because the last attempt has failed

	plain      *Transport // over which the server has picked HTTP/1.1
	plainUntil time.Time
}

// multiplexes reports whether requests to the backend go on trunks.
func (p *place) multiplexes(t *Transport) bool {
	switch t.HTTP2 {
	case OnlyHTTP2:
		return true
	case OfferHTTP2:
		return p.plain != t || time.Now().After(p.plainUntil)
	}
	return false
}

// vacancy finds a trunk that takes a request now. With certain set it makes sure that the server has not ended it: what
// cannot be repeated must not meet a closed door.
func (p *place) vacancy(t *Transport, certain bool) *trunk {
	for i := 0; i < len(p.trunks); {
		k := p.trunks[i]
		if k.transport == t && k.vacant() {
			if !certain || k.reading || k.core.Open() > 0 || k.carrier.stream.Quiet() {
				return k
			}
			k.touch()
			k.read()
			if k.vacant() {
				return k
			}
		}
		if i < len(p.trunks) && p.trunks[i] == k {
			i++
		}
	}
	return nil
}

// await has h wait for a stream on a trunk: on one that is being connected, or that another request leaves. Where that is not
// enough, one more trunk is begun.
func (p *place) await(h holder, t *Transport, o upstream.Options) (*link, error) {
	w := p.worker
	if p.waiting.count >= o.Queue.Limit+p.expected(t) && len(p.trunks) >= maxTrunks {
		return nil, errNoStream
	}
	l := w.newLink(h, p.backend, t)
	b := pop(&w.branches)
	b.begin(l)
	p.order++
	b.order = p.order
	p.waiting.add(&b.spot, b, false)
	p.wait = o.Connect.Timeout
	if err := p.widen(t); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// expected is how many streams those trunks will bring that are being connected, or whose server has not spoken yet.
func (p *place) expected(t *Transport) (n int) {
	each := assumed
	if p.most > 0 {
		each = p.most
	}
	for _, k := range p.trunks {
		switch {
		case k.transport != t:
		case k.state == trunkConnecting:
			n += each
		case k.takes() && k.core.Most() == 0:
			n += max(each-k.core.Open(), 0)
		}
	}
	return n
}

// widen begins trunks for those who wait, as many as they need and there may be. The error is for when there is none at all.
func (p *place) widen(t *Transport) error {
	if len(p.trunks) > 0 && !p.retry.IsZero() && time.Now().Before(p.retry) {
		return nil
	}
	for p.waiting.count > p.expected(t) && len(p.trunks) < maxTrunks {
		if err := p.trunk(t, p.wait); err != nil {
			if len(p.trunks) > 0 {
				return nil
			}
			return err
		}
	}
	return nil
}

// match gives those who wait what there is, who came first.
func (p *place) match() {
	for b := p.waiting.head(); b != nil; b = p.waiting.head() {
		k := p.vacancy(b.link.transport, false)
		if k == nil {
			if err := p.widen(b.link.transport); err != nil {
				p.failWaiting(err)
			}
			return
		}
		p.waiting.remove(&b.spot)
		b.join(k)
		b.link.tell(nil)
	}
}

// attemptFailed tells those who wait, unless there are other trunks to wait for.
func (p *place) attemptFailed(t *Transport, err error) {
	p.retry = time.Now().Add(trunkTick)
	for _, k := range p.trunks {
		if k.transport == t && k.takes() {
			return
		}
	}
	p.retry = time.Time{}
	p.failWaiting(err)
}

// failWaiting ends the wait of all that wait now. The attempt is counted against the backend once.
func (p *place) failWaiting(err error) {
	shared := false
	for now, b := p.order, p.waiting.head(); b != nil && b.order <= now; b = p.waiting.head() {
		p.waiting.remove(&b.spot)
		b.link.shared, shared = shared, true
		b.link.tell(err)
	}
}

// closeTrunks ends all trunks, and with them what is under way there.
func (p *place) closeTrunks() {
	for len(p.trunks) > 0 {
		k := p.trunks[0]
		if k.state == trunkOpen && k.core.Open() == 0 {
			k.leave()
			continue
		}
		k.close()
		for s := range k.core.Streams() {
			s.Owner.(*branch).lost(errAway)
		}
	}
	p.failWaiting(errAway)
}

// closeIdleTrunks ends those without requests.
func (p *place) closeIdleTrunks() {
	for i := len(p.trunks) - 1; i >= 0; i-- { // one that ends moves those behind it, which were looked at
		if k := p.trunks[i]; k.state == trunkOpen {
			k.settle()
		}
	}
}
