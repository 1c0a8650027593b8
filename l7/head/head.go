package head

// Version is a version of HTTP.
type Version uint8

// The versions weir speaks. The zero Version is none of them.
const (
	HTTP10 Version = iota + 1
	HTTP11
	HTTP2
)

// String is the version as logs write it.
func (v Version) String() string {
	switch v {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP11:
		return "HTTP/1.1"
	case HTTP2:
		return "HTTP/2.0"
	}
	return ""
}

// Span is a range of the bytes as read.
type Span struct{ Start, End uint32 }

// arena marks offsets into the bytes of edits instead. The bytes as read are
// less than arena long.
const arena = 1 << 31

// Bounds on what a Head holds and keeps.
const (
	maxRaw    = 16 << 20  // bytes of a head as read; codecs have a much lower limit
	maxEdits  = 256 << 10 // bytes of edits
	maxFields = 4096      // fields, those taken away included
	keepBytes = 8 << 10   // a larger buffer is not kept for the next head
	keepCount = 128       // nor is a longer list of fields
)

// Head is the head of one request or one response. Its zero value is empty and
// ready for a codec. A Head belongs to one goroutine and must not be copied.
//
// What its methods return aliases the bytes as read or the edits: it is good
// until the next edit, Keep or Reset, and while the bytes as read stay where
// they are (see Keep).
type Head struct {
	// KeepAlive says that the sender of the message lets the connection live on
	// after it. The codec sets it.
	KeepAlive bool
	// ExpectContinue says that the client waits for 100 (Continue) before it
	// sends its body. The codec sets it.
	ExpectContinue bool

	raw    []byte  // as read, through the empty line; not ours unless it is own
	own    []byte  // room for Keep
	edits  []byte  // everything that was not read
	fields []field // in order
	first  [numKnown]uint16
	have   set // known fields that stand here
	twice  set // known fields that stand here more than once

	line    Span // start line with its CRLF
	version Version
	framing Framing
	hop     Hop
	te      bool // the sender takes trailers
	upgrade Span // protocols asked for or switched to

	method Span
	// askedMethod is the method as it was received, once another one is sent
	askedMethod Span
	uri         target // where the request goes, edits included
	asked       Span   // target as received
	scheme      Span   // of an absolute target or of HTTP/2
	host        Span   // host and port, whoever named them
	named       bool   // the host comes from the target, not from Host

	status int
	reason Span
}

// field is one line. It ends with CRLF in the edits too, so that runs of lines
// are written in one go.
type field struct {
	line  Span // from the first byte of the name through the CRLF
	name  uint32
	value Span
	known Known
	gone  bool
}

// Reset empties h for the next message and keeps its memory, unless that is
// large.
func (h *Head) Reset() {
	own, edits, fields := h.own[:0], h.edits[:0], h.fields[:0]
	if cap(own) > keepBytes {
		own = nil
	}
	if cap(edits) > keepBytes {
		edits = nil
	}
	if cap(fields) > keepCount {
		fields = nil
	}
	*h = Head{own: own, edits: edits, fields: fields}
}

// Keep copies the bytes as read, so that their buffer may be used for something
// else. It is for a head that lives longer than the buffer: through the wait for
// a backend, say, or for another try.
func (h *Head) Keep() {
	h.own = append(h.own[:0], h.raw...)
	h.raw = h.own
}

// Size is the number of bytes the head had as it was read.
func (h *Head) Size() int { return len(h.raw) }

// Version is the version the sender speaks.
func (h *Head) Version() Version { return h.version }

func (h *Head) bytes(s Span) []byte {
	if s.Start&arena != 0 {
		return h.edits[s.Start&^arena : s.End&^arena : s.End&^arena]
	}
	return h.raw[s.Start:s.End:s.End]
}

// edit copies s to the edits.
func edit[T ~string | ~[]byte](h *Head, s T) Span {
	start := uint32(len(h.edits)) | arena
	h.edits = append(h.edits, s...)
	return Span{start, uint32(len(h.edits)) | arena}
}

// The methods below are for codecs.

// Attach says where the bytes are that spans refer to: b begins with the first
// byte of the head. A codec that reads a head in pieces calls it again whenever
// the bytes have moved or grown, and at last with the head alone.
func (h *Head) Attach(b []byte) { h.raw = b }

// Append adds a field as it was read. line begins with the name and ends behind
// the CRLF. The codec has checked all of it.
func (h *Head) Append(line Span, nameEnd uint32, value Span) Known {
	k := Lookup(h.raw[line.Start:nameEnd])
	h.push(field{line: line, name: nameEnd, value: value, known: k})
	return k
}

func (h *Head) push(f field) {
	h.fields = append(h.fields, f)
	if k := f.known; k != Other {
		if h.have.has(k) {
			h.twice |= 1 << k
			return
		}
		h.have |= 1 << k
		h.first[k] = uint16(len(h.fields) - 1)
	}
}

// Discard takes away every field k that was read, without regard to who may
// edit it.
func (h *Head) Discard(k Known) {
	if !h.have.has(k) {
		return
	}
	for i := range h.fields {
		if h.fields[i].known == k {
			h.fields[i].gone = true
		}
	}
	h.have &^= 1 << k
	h.twice &^= 1 << k
}

// Framed says how the fields as read frame the body.
func (h *Head) Framed(f Framing) { h.framing = f }

// Switch says which protocols the sender wants to switch to, or switches to.
func (h *Head) Switch(value []byte) { h.upgrade = edit(h, value) }
