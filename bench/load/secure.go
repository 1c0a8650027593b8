package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// TLS says how a client speaks TLS: version 1.3 with X25519 alone, so that
// every balancer does the same arithmetic, whatever else it could do.
type TLS struct {
	Name        string // of the server
	Certificate []byte // the one it must show, DER
	// Resume makes every connection of a place resume the session of the one
	// before it (RFC 8446, 2.2); without it every handshake is a full one.
	Resume bool
}

// Secure is a closed loop of HTTP exchanges over TLS connections, one
// goroutine for each. A handshake costs the client as much as the balancer,
// so that nothing would be gained by being frugal with goroutines.
type Secure struct {
	spec   ClientSpec
	asks   []*message
	next   atomic.Uint64 // of asks
	answer []byte
	tally  *tally
	places sync.WaitGroup
	closed context.Context
	close  context.CancelFunc
}

// NewSecure checks a spec; it opens nothing yet. It takes HTTP exchanges with
// small answers, and holds nothing.
func NewSecure(spec ClientSpec) (*Secure, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	if spec.TLS == nil || !spec.Exchange.HTTP || spec.Exchange.Answer > small || spec.Hold {
		return nil, errors.New("TLS is for HTTP exchanges with small answers under load")
	}
	asks, err := spec.requests()
	if err != nil {
		return nil, err
	}
	s := &Secure{
		spec: spec, asks: asks, answer: pattern(spec.Exchange.Answer), tally: newTally(spec.Connections),
	}
	s.closed, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Run opens the connections and drives them; it calls measuring when the
// warm-up is over. The connections stay open after it until Close, silent.
func (s *Secure) Run(stop *atomic.Bool, measuring func()) (Result, error) {
	for slot := range s.spec.Connections {
		s.places.Go(func() { s.place(slot) })
	}
	err := s.wait(stop, s.spec.Warm)
	if err == nil {
		measuring()
		s.tally.begin()
		err = s.wait(stop, s.spec.Duration)
	}
	return s.tally.end(), err
}

// Close closes every connection.
func (s *Secure) Close() {
	s.close()
	s.places.Wait()
}

// wait returns after d, when stop is set, or when there are too many errors.
func (s *Secure) wait(stop *atomic.Bool, d time.Duration) error {
	tick := time.NewTicker(min(max(d, time.Millisecond), 20*time.Millisecond))
	defer tick.Stop()
	for until := time.Now().Add(d); time.Now().Before(until) && !stop.Load(); <-tick.C {
		if err := s.tally.tooMany(); err != nil {
			return err
		}
	}
	return s.tally.tooMany()
}

// place keeps one connection open, or one after the other, until Close.
func (s *Secure) place(slot int) {
	config := s.config()
	for s.closed.Err() == nil {
		err := s.connection(slot, config)
		if err != nil && s.closed.Err() == nil {
			s.tally.fault(err)
			// A balancer that is gone is not asked as fast as a loop can.
			select {
			case <-s.closed.Done():
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// config is that of one place, which has a session of its own to resume.
func (s *Secure) config() *tls.Config {
	config := &tls.Config{
		ServerName: s.spec.TLS.Name, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
		NextProtos: []string{"http/1.1"},
		// The certificate is compared instead of verified: it is known, and
		// the handshake still proves that the balancer has its key.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, s.spec.TLS.Certificate) {
				return fmt.Errorf("%w: another certificate than the balancer was given", errWrong)
			}
			return nil
		},
	}
	if s.spec.TLS.Resume {
		config.ClientSessionCache = &session{}
	}
	return config
}

// session is the cache of one place: the last session, to be used once.
type session struct{ last *tls.ClientSessionState }

func (s *session) Get(string) (*tls.ClientSessionState, bool) {
	last := s.last
	s.last = nil
	return last, last != nil
}

func (s *session) Put(_ string, state *tls.ClientSessionState) { s.last = state }

// connection opens one connection and does exchanges on it until it is to be
// closed.
func (s *Secure) connection(slot int, config *tls.Config) error {
	begun := time.Now()
	var dialer net.Dialer
	plain, err := dialer.DialContext(s.closed, "tcp", s.spec.Addr)
	if err != nil {
		return err
	}
	defer plain.Close()
	defer context.AfterFunc(s.closed, func() { plain.Close() })()
	c := tls.Client(plain, config)
	cache, _ := config.ClientSessionCache.(*session)
	expected := cache != nil && cache.last != nil
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if resumed := c.ConnectionState().DidResume; resumed != expected {
		return fmt.Errorf("%w: session resumed: %v, expected: %v", errWrong, resumed, expected)
	}
	for buf := make([]byte, small); ; {
		if err := s.exchange(c, buf); err != nil {
			return err
		}
		now := time.Now()
		if !s.tally.count(slot, now.Sub(begun), len(s.answer)) {
			<-s.closed.Done()
			return nil
		}
		if s.spec.Exchange.Close {
			return s.resumable(cache)
		}
		begun = now
	}
}

// resumable reports that a connection left no ticket where the next one is to
// resume its session.
func (s *Secure) resumable(cache *session) error {
	if cache != nil && cache.last == nil {
		return fmt.Errorf("%w: no session ticket", errWrong)
	}
	return nil
}

// exchange sends a request and reads its answer; with Close it goes on to the
// end of the stream, so that the balancer closes first.
func (s *Secure) exchange(c *tls.Conn, buf []byte) error {
	ask := s.asks[int(s.next.Add(1)-1)%len(s.asks)]
	for sent := 0; sent < ask.size; {
		n, err := c.Write(ask.from(sent))
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		sent += n
	}
	var a asked
	for a.got < len(s.answer) || s.spec.Exchange.Close {
		n, err := c.Read(buf)
		if n > 0 {
			if wrong := s.take(&a, buf[:n]); wrong != nil {
				return wrong
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && s.spec.Exchange.Close && a.got == len(s.answer):
			return nil
		case a.got > 0 || a.inBody:
			return fmt.Errorf("%w: %w after %d of %d bytes", errWrong, err, a.got, len(s.answer))
		default:
			return fmt.Errorf("read: %w", err)
		}
	}
	return nil
}

// take compares answer bytes.
func (s *Secure) take(a *asked, b []byte) error {
	if !a.inBody {
		var err error
		if b, err = a.head(b, len(s.answer)); err != nil {
			return err
		}
	}
	if a.got+len(b) > len(s.answer) {
		return fmt.Errorf("%w: %d bytes too many", errWrong, a.got+len(b)-len(s.answer))
	}
	if !bytes.Equal(b, s.answer[a.got:a.got+len(b)]) {
		return errWrong
	}
	a.got += len(b)
	return nil
}
