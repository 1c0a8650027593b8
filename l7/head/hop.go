package head

import "iter"

// Hop is what a message says about the connection it goes out on.
type Hop uint8

const (
	HopDefault   Hop = iota // nothing: HTTP/1.1 keeps the connection
	HopClose                // Connection: close
	HopKeepAlive            // Connection: keep-alive, for a client of HTTP/1.0 that asked
	HopUpgrade              // Connection: Upgrade, and the Upgrade field that was read
)

// hopFields are the fields of RFC 9110 section 7.6.1 and their like. They are
// about one connection and are never forwarded. Proxy-Authorization is among
// them because weir stands in for the server: whoever asks for it is weir.
// Trailer is not: trailers are relayed with the body.
var hopFields = setOf(Connection, KeepAlive, ProxyConnection, TE, TransferEncoding, Upgrade, HTTP2Settings,
	ProxyAuthenticate, ProxyAuthorization, ProxyAuthenticationInfo)

// MaxNominated is how many options Connection may have in one message.
const MaxNominated = 32

// Hop is what SetHop said.
func (h *Head) Hop() Hop { return h.hop }

// SetHop says what the message tells the next connection. HopUpgrade has no
// effect if Upgrade is empty.
func (h *Head) SetHop(hop Hop) { h.hop = hop }

// AskTrailers says that weir takes trailers for the client, which some servers
// want to know (RFC 9110 section 10.1.4). Whether the client does is a matter
// of its own connection, so TE as it was read says nothing here.
func (h *Head) AskTrailers() { h.te = true }

// AsksTrailers reports whether AskTrailers was called.
func (h *Head) AsksTrailers() bool { return h.te }

// Upgrade is the protocols the sender asks to switch to, or in a 101 the one it
// switches to; nil without.
func (h *Head) Upgrade() []byte {
	if h.upgrade.Start == h.upgrade.End {
		return nil
	}
	return h.bytes(h.upgrade)
}

// StripHop takes away what concerns only the connection the head was read from:
// the hop-by-hop fields and what Connection nominates, MaxNominated options at
// most. Fields that were edited stay, whenever that was.
//
// A client could nominate fields to make them vanish behind the rules that
// looked at them: a forwarded address, credentials, the host. So Connection
// cannot nominate any X-Forwarded-* nor any other Known field that is
// end-to-end, such as Host, Content-Length, Authorization, cookies, Forwarded
// and X-Real-Ip (RFC 9110 section 7.6.1 forbids to send such nominations); they
// stay, and because Connection itself goes, nobody behind weir sees the
// nomination. Transfer-Encoding goes with all others unless
// the body is Chunked, because it is relayed in that coding.
func (h *Head) StripHop() {
	if h.have.has(Connection) && (h.twice.has(Connection) || !IsPlainOption(h.Value(Connection))) {
		h.dropNominated()
	}
	gone := hopFields & h.have
	if h.framing.Kind == Chunked {
		gone &^= 1 << TransferEncoding
	}
	if gone == 0 {
		return
	}
	for i := range h.fields {
		if f := &h.fields[i]; gone.has(f.known) && f.line.Start&arena == 0 {
			f.gone = true
		}
	}
	h.recount(gone)
}

// recount finds out again where the fields of s stand.
func (h *Head) recount(s set) {
	h.have &^= s
	h.twice &^= s
	for i := range h.fields {
		f := &h.fields[i]
		if f.gone || !s.has(f.known) {
			continue
		}
		if h.have.has(f.known) {
			h.twice |= 1 << f.known
			continue
		}
		h.have |= 1 << f.known
		h.first[f.known] = uint16(i)
	}
}

// IsPlainOption reports whether the value of Connection is one of those that
// nearly all messages have, which nominate nothing.
func IsPlainOption(value []byte) bool {
	return EqualFold(value, "keep-alive") || EqualFold(value, "close")
}

func (h *Head) dropNominated() {
	n := 0
	for value := range h.Values("Connection") {
		for option := range List(value) {
			if n++; n > MaxNominated {
				return
			}
			if isNominable(option) {
				h.dropRead(option)
			}
		}
	}
}

// isNominable reports whether an option of Connection may take away the field
// of that name. No known field can be nominated: it is end-to-end, or it goes
// anyway.
func isNominable(option []byte) bool {
	const forwarded = "x-forwarded-"
	return Lookup(option) == Other && (len(option) < len(forwarded) || !EqualFold(option[:len(forwarded)], forwarded))
}

// dropRead takes away the fields with that name that were read.
func (h *Head) dropRead(name []byte) {
	for i := range h.fields {
		f := &h.fields[i]
		if f.known == Other && f.line.Start&arena == 0 && EqualFold(h.nameOf(f), name) {
			f.gone = true
		}
	}
}

// List yields the elements of a list value (RFC 9110 section 5.6.1), without the
// space around them; empty ones too. It knows nothing of quotes.
func List(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for start, i := 0, 0; i <= len(value); i++ {
			if i < len(value) && value[i] != ',' {
				continue
			}
			if !yield(Trim(value[start:i])) {
				return
			}
			start = i + 1
		}
	}
}

// Trim takes spaces and tabs from both ends of b.
func Trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
