package server

import (
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/internal/weirtest"
)

func TestWatchedFilesReload(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	file := t.TempDir() + "/weir.yaml"
	write(t, file, head+simple("127.0.0.1:0", a.Addr))
	load := config.Loader{Paths: []string{file}}.Load
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, log: new(safeBuffer)}
	r.Server = New(Options{Config: cfg, Load: load, Watch: true, Log: NewLog(r.log), Build: Build{"test", "none"}})
	done := make(chan error, 1)
	go func() { done <- r.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil { // the test's context has ended
			t.Error(err)
		}
	})
	<-r.Ready()
	if got := dial(t, r.addr("web")).say("x"); got != "a" {
		t.Fatalf("answer %q", got)
	}

	write(t, file, head+simple("127.0.0.1:0", b.Addr))
	r.eventually(func() bool { return r.State().Generation == 2 }, "the changed file is in force")
	if got := dial(t, r.addr("web")).say("x"); got != "b" {
		t.Errorf("answer %q", got)
	}

	write(t, file, head+"entryPoints: { web: { adress: \":1\" } }\n")
	r.eventually(func() bool { return r.State().Reloads.Failed == 1 }, "the broken file is noticed")
	if s := r.State(); s.Generation != 2 || !strings.Contains(s.Reloads.Last.Error, "adress") {
		t.Errorf("generation %d, last %+v", s.Generation, s.Reloads.Last)
	}

	// What somebody asked for first is not done again when the watch notices.
	write(t, file, head+simple("127.0.0.1:0", a.Addr))
	if err := r.Server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := r.State().Generation // 3, or 4 where the watch was faster than the question
	write(t, file, head+simple("127.0.0.1:0", a.Addr, b.Addr))
	r.eventually(func() bool { return len(r.State().Backends) >= 2 && r.State().Generation == asked+1 }, "the next change is one more generation")
}

// A load that began earlier must not undo one that began later, however late it comes in.
func TestLateLoadIsPassedOver(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	early := loaded{number: r.loadings.Add(1), origin: "test", watched: true, cfg: parse(t, head+simple("127.0.0.1:0", b.Addr))}
	if err := early.compile(); err != nil {
		t.Fatal(err)
	}
	r.mustReload(simple("127.0.0.1:0", a.Addr))
	select {
	case r.loads <- early:
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not take a load")
	}
	r.do(t.Context(), func() {})
	if got := dial(t, r.addr("web")).say("x"); got != "a" || r.State().Generation != 2 {
		t.Errorf("answer %q at generation %d", got, r.State().Generation)
	}
}
