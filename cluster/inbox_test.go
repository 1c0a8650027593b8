package cluster

import (
	"testing"
	"time"
)

func TestInboxIsBounded(t *testing.T) {
	i := newInbox()
	for range inboxMessages + 5 {
		i.put([]byte("m"), start)
	}
	i.put(make([]byte, MaxMessage+1), start)
	if n := len(i.take(after(time.Second))); n != inboxMessages {
		t.Errorf("%d messages wait", n)
	}
	if dropped, worst := i.measure(); dropped != 6 || worst != time.Second {
		t.Errorf("%d dropped, waited %s", dropped, worst)
	}
	large := make([]byte, MaxMessage)
	for range 5 {
		i.put(large, start)
	}
	if n := len(i.take(start)); n != 4 {
		t.Errorf("%d of the largest messages wait", n)
	}
	b := []byte("mine")
	i.put(b, start)
	b[0] = 'x'
	if got := i.take(start); string(got[0]) != "mine" {
		t.Error("the message is not a copy")
	}
}
