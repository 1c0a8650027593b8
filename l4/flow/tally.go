package flow

import "github.com/weirlb/weir/upstream"

// tally holds back bytes from the counters of a backend, which all loops write: they learn of them every few datagrams,
// and when a flow or a peer leaves the backend.
type tally struct {
	in, out   int32 // tallyLimit datagrams are at most 2 MiB
	datagrams int32
}

const tallyLimit = 32

func (t *tally) add(b *upstream.Backend, in, out int) {
	t.in += int32(in)
	t.out += int32(out)
	if t.datagrams++; t.datagrams >= tallyLimit {
		t.flush(b)
	}
}

func (t *tally) flush(b *upstream.Backend) {
	b.AddBytes(int64(t.in), int64(t.out))
	*t = tally{}
}
