package l4

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l4/flow"
)

// dnsSockets is the mode of an entrypoint for DNS alone.
var dnsSockets = &SharedSockets{Protocol: flow.DNS}

// dnsQuery is a query for a name of one label, up to 63 bytes.
func dnsQuery(id uint16, label string) string {
	q := binary.BigEndian.AppendUint16(nil, id)
	q = append(q, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(label)))
	q = append(q, label...)
	return string(append(q, 0, 0, 1, 0, 1))
}

// dnsAnswer is what dnsServer answers to dnsQuery.
func dnsAnswer(id uint16, label string) string {
	query := dnsQuery(id, label)
	return query[:2] + "\x81" + query[3:]
}

// dnsServer answers queries with themselves, and names that begin with "silent" not at all.
func dnsServer(t testing.TB) *weirtest.DatagramServer {
	t.Helper()
	return weirtest.ServeUDP(t, func(_ netip.AddrPort, query []byte) [][]byte {
		if len(query) < 13 || strings.HasPrefix(string(query[13:]), "silent") {
			return nil
		}
		query[2] |= 0x80
		return [][]byte{query}
	})
}
