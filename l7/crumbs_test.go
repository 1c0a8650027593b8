package l7

import (
	"net/http"
	"net/netip"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// crumbs are more frames of a byte each than are held, and fewer than a window has bytes.
const crumbs = 65500

// What frames content behind a lane or a branch is bounded, too: a stream whose content comes byte by byte and is not read
// is ended, and no other.
func TestCrumbsOfAClient(t *testing.T) {
	goOn := make(chan struct{})
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(http.ResponseWriter, *http.Request) {})}, middlewares: []*Middleware{{Name: "wait", Request: func(x *Exchange) Action {
		if string(x.req.Method()) != "POST" {
			return Next
		}
		_ = x.Go(func() { <-goOn }, x.Continue)
		return Wait
	}}}})
	defer close(goOn)
	w := b.plain()
	w.ask(1, false, requestOf("POST", "/")...)
	for range crumbs {
		if err := w.WriteData(1, false, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if a := w.answer(1); a.code == nil || *a.code != xhttp2.ErrCodeEnhanceYourCalm {
		t.Errorf("%+v", a)
	}
	w.get(3, "/")
	if a := w.answer(3); a.status != "200" {
		t.Errorf("the next request: %+v", a)
	}
}

func TestCrumbsOfAServer(t *testing.T) {
	ended := make(chan xhttp2.ErrCode, 1)
	addr := farServer(t, func(n int, f *far) {
		for id := f.request(); id != 0; id = f.request() {
			if id > 1 {
				f.ok(id, "fine")
				continue
			}
			f.respond(id, false, ":status", "200")
			for range crumbs {
				_ = f.WriteData(id, false, []byte("x"))
			}
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					close(ended)
					return
				}
				if r, ok := frame.(*xhttp2.RSTStreamFrame); ok {
					ended <- r.ErrCode
					break
				}
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
	w := b.plain(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	w.get(1, "/")
	if code, ok := <-ended; code != xhttp2.ErrCodeEnhanceYourCalm || !ok {
		t.Errorf("the server is told %v", code)
	}
	_ = w.WriteWindowUpdate(1, 1<<20) // the client gets what has come, and finds out behind that
	if a := w.answer(1); a.code == nil || a.body.Len() == 0 {
		t.Errorf("%+v", a)
	}
	has(t, b.records(1)[0], `"h2-crumbs"`)
	if status, body := b.get("/"); status != 200 || body != "fine" {
		t.Errorf("the next request: %d %q", status, body)
	}
}
