package server

import (
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

func lifeCycle(text, keys string) string {
	return strings.Replace(text, `address: "127.0.0.1:0" }`, `address: "127.0.0.1:0", transport: { lifeCycle: { `+keys+` } } }`, 1)
}

func TestGracefulStopWaitsForConnections(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	web := r.addr("web")
	c := dial(t, web)
	c.say("x")
	r.signals <- syscall.SIGTERM
	r.eventually(func() bool { conn, err := net.Dial("tcp", web); return err != nil || conn.Close() != nil }, "nothing is accepted any more")
	if reasons := r.State().NotReady; len(reasons) != 1 || reasons[0] != "stopping" {
		t.Errorf("not ready because of %v", reasons)
	}
	if got := c.say("y"); got != "a" {
		t.Errorf("the open connection answers %q", got)
	}
	if err := r.tryReload(simple("127.0.0.1:0", a.Addr)); err == nil {
		t.Error("a stopping weir reloads")
	}
	c.Close()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		t.Fatal("does not stop although the last connection has ended")
	}
	if r.err != nil {
		t.Errorf("Run: %v", r.err)
	}
}

func TestGracefulStopCutsAfterItsTime(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, lifeCycle(simple("127.0.0.1:0", a.Addr), "graceTimeOut: 200ms"))
	c := dial(t, r.addr("web"))
	c.say("x")
	begin := time.Now()
	r.cancel()
	c.ends()
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("cut after %v, before its graceTimeOut", took)
	}
	<-r.done
	if n := r.State().Ended["shutdown"]; n != 1 {
		t.Errorf("%d connections ended by shutdown, want 1", n)
	}
}

func TestStopAcceptsForItsGraceTime(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, lifeCycle(simple("127.0.0.1:0", a.Addr), "requestAcceptGraceTimeout: 1m"))
	web := r.addr("web")
	r.signals <- syscall.SIGTERM
	r.eventually(func() bool { return len(r.State().NotReady) > 0 }, "readiness goes red")
	if got := dial(t, web).say("x"); got != "a" {
		t.Errorf("answer %q within requestAcceptGraceTimeout", got)
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	c := dial(t, r.addr("web"))
	c.say("x")
	r.signals <- syscall.SIGINT
	r.signals <- syscall.SIGTERM
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		t.Fatal("does not stop at the second signal")
	}
	c.ends()
	if r.err != nil {
		t.Errorf("Run: %v", r.err)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := weirtest.FreeAddr(t)
	text := strings.Replace(simple(taken.Addr().String(), "127.0.0.1:1"), "entryPoints: {", `entryPoints: { also: { address: "`+free+`" },`, 1)
	r := launch(t, text)
	<-r.done
	if r.err == nil || !strings.Contains(r.err.Error(), taken.Addr().String()) {
		t.Errorf("Run: %v, want it to name the address", r.err)
	}
	ln, err := net.Listen("tcp", free)
	if err != nil {
		t.Fatalf("a socket stays open: %v", err)
	}
	ln.Close()
}

func TestReadyzFollowsReadiness(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	adminAddr := weirtest.FreeAddr(t)
	text := lifeCycle(simple("127.0.0.1:0", a.Addr), "requestAcceptGraceTimeout: 1m")
	r := &running{t: t, log: new(safeBuffer)}
	r.Server = New(Options{
		Config: parse(t, `admin: { address: "`+adminAddr+`" }`+"\n"+text), Log: NewLog(r.log), Build: Build{"test", "none"},
	})
	if len(r.State().NotReady) == 0 {
		t.Error("ready before it runs")
	}
	signals := make(chan error, 1)
	go func() { signals <- r.Run(t.Context()) }()
	<-r.Ready()
	status := func() int {
		resp, err := http.Get("http://" + adminAddr + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(); got != http.StatusOK {
		t.Errorf("/readyz is %d", got)
	}
	r.do(t.Context(), func() { r.beginStop("test") })
	if got := status(); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz is %d while stopping", got)
	}
	r.do(t.Context(), func() { r.stopNow("test") })
	if err := <-signals; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
