package server

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestServiceManagerIsTold(t *testing.T) {
	path := t.TempDir() + "/notify"
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	hear := func() string {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	if got := hear(); got != "READY=1" {
		t.Errorf("first %q", got)
	}
	r.signals <- syscall.SIGHUP
	if got := hear(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at a reload %q", got)
	}
	if got := hear(); got != "READY=1" {
		t.Errorf("after a reload %q", got)
	}
	r.signals <- syscall.SIGTERM
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("at the stop %q", got)
	}
}
