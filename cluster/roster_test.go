package cluster

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestRosterIsBounded(t *testing.T) {
	r := newRoster("self", time.Minute)
	for i := range 3 * maxPeers {
		n := &memberlist.Node{Name: fmt.Sprint("n", i), Addr: net.IPv4(10, 0, 0, 1), Port: 1}
		if r.admit(n) == nil {
			r.set(n, after(time.Duration(i)*time.Second))
		}
		if i%2 == 0 {
			r.gone(n.Name, after(time.Duration(i)*time.Second))
		}
		r.conflict(n, n, after(time.Duration(i)))
	}
	if n := r.size(); n != MaxMembers {
		t.Errorf("%d members", n)
	}
	if n := len(r.snapshot()); n > maxPeers {
		t.Errorf("%d peers", n)
	}
	if err := r.admit(&memberlist.Node{Name: "one more"}); err == nil {
		t.Error("one more is let in")
	}
	conflicts, refused := r.disputed()
	if len(conflicts) > MaxMembers || refused == 0 {
		t.Errorf("%d conflicts, %d refused", len(conflicts), refused)
	}
	r.sweep(after(rememberFor + 24*time.Hour))
	if n := len(r.snapshot()); n != MaxMembers-1 {
		t.Errorf("%d peers after all the dead have been forgotten", n)
	}
	if err := newRoster("self", 0).admit(&memberlist.Node{Name: "bad\x1bname"}); err == nil {
		t.Error("a name that cannot be printed is let in")
	}
}
