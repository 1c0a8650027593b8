package head

import "strconv"

// protected are the fields nobody may edit: those that frame the message and
// those of the connection. weir writes them itself, from one decision.
var protected = setOf(ContentLength, TransferEncoding, Connection, KeepAlive, ProxyConnection, Upgrade, TE, HTTP2Settings)

// Set gives the field a value. The first field with that name is replaced where
// it stands, further ones are taken away; where there is none, one is added at
// the end. For Host it does what SetHost does.
//
// The errors are ErrName, ErrValue, ErrProtected and ErrFull, and ErrHost.
func (h *Head) Set(name, value string) error { return setField(h, name, value) }

// SetBytes is Set for a value that is being put together. It does not keep it.
func (h *Head) SetBytes(name string, value []byte) error { return setField(h, name, value) }

// SetKnown is SetBytes for a field that is known by its number, which spares the
// search for its name. Host is ErrProtected here.
func (h *Head) SetKnown(k Known, value []byte) error {
	switch {
	case k == Other || k == Host || protected.has(k):
		return ErrProtected
	case !h.hasRoom(len(names[k]) + len(value)):
		return ErrFull
	case !isEditValue(value):
		return ErrValue
	}
	put(h, k, names[k], value)
	return nil
}

// Add adds a field at the end, whether there are others with that name or not.
// The errors are those of Set; a second Host is ErrProtected.
func (h *Head) Add(name, value string) error { return addField(h, name, value) }

// AddBytes is Add for a value that is being put together. It does not keep it.
func (h *Head) AddBytes(name string, value []byte) error { return addField(h, name, value) }

// Delete takes away every field with that name. The error is ErrProtected, for
// Host too: a request without one is not forwarded.
func (h *Head) Delete(name string) error {
	k := Lookup(name)
	if protected.has(k) || k == Host {
		return ErrProtected
	}
	h.drop(h.find(k, name), k, name)
	return nil
}

// drop takes away the fields with that name from index i on, which is where
// the first or the second of them stands.
func (h *Head) drop(i int, k Known, name string) {
	if k != Other {
		h.have &^= 1 << k
		h.twice &^= 1 << k
	}
	for ; i >= 0; i = h.next(i+1, name) {
		h.fields[i].gone = true
	}
}

func setField[T ~string | ~[]byte](h *Head, name string, value T) error {
	k := Lookup(name)
	if k == Host {
		return setHost(h, value)
	}
	if err := h.mayEdit(k, name, len(value)); err != nil {
		return err
	}
	if !isEditValue(value) {
		return ErrValue
	}
	put(h, k, name, value)
	return nil
}

func addField[T ~string | ~[]byte](h *Head, name string, value T) error {
	k := Lookup(name)
	switch {
	case k == Host && h.have.has(Host):
		return ErrProtected
	case k == Host:
		return setHost(h, value)
	}
	if err := h.mayEdit(k, name, len(value)); err != nil {
		return err
	}
	if !isEditValue(value) {
		return ErrValue
	}
	h.push(newField(h, k, name, value))
	return nil
}

func (h *Head) mayEdit(k Known, name string, size int) error {
	switch {
	case protected.has(k):
		return ErrProtected
	case k == Other && !IsToken(name):
		return ErrName
	case !h.hasRoom(len(name) + size):
		return ErrFull
	}
	return nil
}

// hasRoom reports whether a field of so many bytes may be added.
func (h *Head) hasRoom(size int) bool {
	return len(h.fields) < maxFields && len(h.edits)+size <= maxEdits
}

// isEditValue reports whether v can be written as a value and read back the
// same.
func isEditValue[T ~string | ~[]byte](v T) bool {
	if len(v) > 0 && (isSpace(v[0]) || isSpace(v[len(v)-1])) {
		return false
	}
	return isValue(v)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// put replaces the first field with that name and takes the others away, or
// adds one.
func put[T ~string | ~[]byte](h *Head, k Known, name string, value T) {
	i := h.find(k, name)
	if i < 0 {
		h.push(newField(h, k, name, value))
		return
	}
	h.fields[i] = newField(h, k, name, value)
	switch {
	case k == Other:
		h.drop(h.next(i+1, name), k, name)
	case h.twice.has(k):
		h.drop(h.next(i+1, name), k, name)
		h.have |= 1 << k
	}
}

// newField writes a line to the edits.
func newField[T ~string | ~[]byte](h *Head, k Known, name string, value T) field {
	start := uint32(len(h.edits)) | arena
	e := append(append(h.edits, name...), ": "...)
	e = append(append(e, value...), "\r\n"...)
	h.edits = e
	end := uint32(len(e)) | arena
	return field{
		line: Span{start, end}, name: start + uint32(len(name)),
		value: Span{end - 2 - uint32(len(value)), end - 2}, known: k,
	}
}

// Framing is how the body of the message ends.
func (h *Head) Framing() Framing { return h.framing }

// SetFraming changes how the body ends, and the fields that say so. It is for
// whoever changes the body or its coding. UntilClose ends the connection too.
func (h *Head) SetFraming(f Framing) {
	h.framing = f
	switch f.Kind {
	case Length:
		h.Discard(TransferEncoding)
		var digits [20]byte
		put(h, ContentLength, names[ContentLength], strconv.AppendInt(digits[:0], f.Length, 10))
	case Chunked:
		h.Discard(ContentLength)
		put(h, TransferEncoding, names[TransferEncoding], "chunked")
	default:
		h.Discard(ContentLength)
		h.Discard(TransferEncoding)
		h.KeepAlive = h.KeepAlive && f.Kind != UntilClose
	}
}
