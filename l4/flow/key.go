package flow

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// Key names a flow: who sent, and which of our addresses it called. Both addresses are as the socket layer gives them;
// IPv4 is unmapped, or it is not the same key.
type Key struct {
	Client, Local netip.AddrPort
}

// hash spreads keys over an index. The seed is secret, so that nobody can choose ports that collide. Zones do not count:
// two links with the same address on both are rare, and only meet in one slot.
func (k *Key) hash(seed maphash.Seed) uint64 {
	var b [36]byte
	client, local := k.Client.Addr().As16(), k.Local.Addr().As16()
	copy(b[:], client[:])
	copy(b[16:], local[:])
	binary.NativeEndian.PutUint16(b[32:], k.Client.Port())
	binary.NativeEndian.PutUint16(b[34:], k.Local.Port())
	return maphash.Bytes(seed, b[:])
}

// answerable reports whether datagrams can be sent back to the client. Port 0 means that the sender wants no answer (RFC
// 768), and addresses that are nobody's or many hosts' at once are forged (RFC 1122, section 3.2.1.3).
func (k *Key) answerable() bool {
	ip := k.Client.Addr()
	return k.Client.Port() != 0 && ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && ip != broadcast
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
