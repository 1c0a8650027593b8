package head

import "iter"

// Has reports whether at least one field k stands here.
func (h *Head) Has(k Known) bool { return h.have.has(k) }

// Repeated reports whether field k stands here more than once.
func (h *Head) Repeated(k Known) bool { return h.twice.has(k) }

// Value is the value of the first field k, without space around it; nil if
// there is none.
func (h *Head) Value(k Known) []byte {
	if !h.have.has(k) {
		return nil
	}
	return h.bytes(h.fields[h.first[k]].value)
}

// Get is the value of the first field with that name, in any case. A field
// without a value is found and empty.
func (h *Head) Get(name string) (value []byte, found bool) {
	i := h.find(Lookup(name), name)
	if i < 0 {
		return nil, false
	}
	return h.bytes(h.fields[i].value), true
}

// Values yields the values of all fields with that name, in any case, in order.
func (h *Head) Values(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := h.find(Lookup(name), name); i >= 0; i = h.next(i+1, name) {
			if !yield(h.bytes(h.fields[i].value)) {
				return
			}
		}
	}
}

// All yields every field in order: its name as it was written and its value.
func (h *Head) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := range h.fields {
			f := &h.fields[i]
			if !f.gone && !yield(h.nameOf(f), h.bytes(f.value)) {
				return
			}
		}
	}
}

// Count is the number of fields.
func (h *Head) Count() (n int) {
	for i := range h.fields {
		if !h.fields[i].gone {
			n++
		}
	}
	return n
}

func (h *Head) nameOf(f *field) []byte { return h.bytes(Span{f.line.Start, f.name}) }

// find is the index of the first field with that name, which is that of k, or
// -1.
func (h *Head) find(k Known, name string) int {
	switch {
	case k == Other:
		return h.next(0, name)
	case h.have.has(k):
		return int(h.first[k])
	}
	return -1
}

// next is the index of the first field with that name from index i on, or -1.
func (h *Head) next(i int, name string) int {
	for ; i < len(h.fields); i++ {
		f := &h.fields[i]
		if !f.gone && int(f.name-f.line.Start) == len(name) && EqualFold(h.nameOf(f), name) {
			return i
		}
	}
	return -1
}
