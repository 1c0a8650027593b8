package l7

import (
	"bytes"
	"slices"

	"github.com/weirlb/weir/l7/head"
)

// CompressOptions say what is compressed and how.
type CompressOptions struct {
	Excluded  []string // media types of responses that are not compressed, and of requests whose responses are not
	Included  []string // those that alone are; empty = all that are not excluded, and not compressed by their nature
	MinBytes  int64    // of a body, where that is known
	Encodings []string // of Codings, the best first
	Default   string   // for a client that does not say what it takes, or that it takes anything; empty = none, or the best
}

// Compress returns a middleware that compresses the bodies of responses in a coding that the client takes (RFC 9110 section
// 12.5.3). Never compressed are bodies that have a coding, parts (206), those that must not be transformed, those of gRPC,
// and those of weir's own answers. What the server sends piece by piece leaves piece by piece.
//
// Where too many bodies are compressed on a loop already, a further one leaves as it is. What it does is counted in the
// middleware's Compression.
func (s *Server) Compress(name string, o CompressOptions) *Middleware {
	m := &Middleware{Name: name, Compression: newCompression(len(s.workers))}
	m.Request = func(x *Exchange) Action {
		// What the client takes is asked here: middlewares behind this one may keep it from the server.
		coding := &o.Default
		if _, said := x.req.Get("Accept-Encoding"); said {
			i := slices.Index(o.Encodings, negotiate(x.req.Values("Accept-Encoding"), o.Encodings, o.Default))
			if i < 0 {
				return Next
			}
			coding = &o.Encodings[i]
		}
		x.keepNote(m, coding) // a pointer, so that nothing is allocated
		return Next
	}
	m.Response = func(x *Exchange) {
		if !x.hasOwnBody() {
			return
		}
		share := &m.Compression.shares[x.worker.loop.ID()]
		if why, skipped := o.skips(x); skipped {
			share.skipped[why].Add(1)
			return
		}
		varyBy(&x.res, "Accept-Encoding") // where the head is full, caches do without
		if string(x.req.Method()) == "HEAD" {
			return
		}
		switch coding, _ := x.noteOf(m).(*string); {
		case coding == nil || *coding == "":
			share.skipped[SkipClient].Add(1)
		case !x.compress(*coding, share):
			share.skipped[SkipBusy].Add(1)
		}
	}
	return m
}

// compress has the response leave in a coding. It returns false, and changes nothing, where too much is at hand already.
func (x *Exchange) compress(coding string, share *compressionShare) bool {
	e := &x.worker.encoders
	c := e.take(coding)
	if c == nil {
		return false
	}
	if x.res.Set("Content-Encoding", coding) != nil { // a full head
		e.give(c)
		return false
	}
	if !x.Filter(share.counted(e.filter(c))) {
		e.give(c)
		_ = x.res.Delete("Content-Encoding") // nobody minds its going
		return false
	}
	encoded(&x.res)
	share.began(coding)
	return true
}

// hasOwnBody reports whether the response is a server's, with a body of its own, or tells a HEAD of one.
func (x *Exchange) hasOwnBody() bool {
	if status := x.res.Status(); x.replied || status < 200 || status == 204 || status == 304 {
		return false
	}
	n, known := x.bodyLength()
	return !known || n > 0
}

// skips reports whether the response's body is not one to be compressed, and why.
func (o *CompressOptions) skips(x *Exchange) (why Skip, skipped bool) {
	h := &x.res
	_, part := h.Get("Content-Range")
	length, known := x.bodyLength()
	switch {
	case h.Has(head.ContentEncoding) && !head.EqualFold(h.Value(head.ContentEncoding), "identity"):
		return SkipEncoded, true
	case !o.compressible(h.Value(head.ContentType)), o.excludes(mediaOf(x.req.Value(head.ContentType))):
		return SkipType, true
	case says(h, "no-transform"), says(&x.req, "no-transform"):
		return SkipNoTransform, true
	case part, h.Status() == 206:
		return SkipPart, true
	}
	return SkipShort, known && length < o.MinBytes
}

// bodyLength is how long the response's body is, if that is known: said by its framing, or because all of it is here.
func (x *Exchange) bodyLength() (n int64, known bool) {
	f := x.res.Framing()
	if f.Kind == head.Length {
		return f.Length, true
	}
	if string(x.req.Method()) == "HEAD" { // it is told of what it would be
		n, ok := head.ParseLength(x.res.Value(head.ContentLength))
		return n, ok
	}
	body := x.resBody // a copy, so that it stays at the start
	_, err := body.Scan(x.rest)
	return body.Content(), err == nil && body.Done()
}

// says reports whether Cache-Control has a directive.
func says(h *head.Head, directive string) bool {
	if !h.Has(head.CacheControl) {
		return false
	}
	for value := range h.Values("Cache-Control") {
		for d := range head.List(value) {
			if head.EqualFold(d, directive) {
				return true
			}
		}
	}
	return false
}

// compressible reports whether the options want bodies with that Content-Type compressed.
func (o *CompressOptions) compressible(contentType []byte) bool {
	media := mediaOf(contentType)
	if begins(media, "application/grpc") {
		return false
	}
	if len(o.Included) > 0 {
		return containsFold(o.Included, media)
	}
	return !o.excludes(media) && !dense(media)
}

func (o *CompressOptions) excludes(media []byte) bool { return containsFold(o.Excluded, media) }

// mediaOf is the media type that a Content-Type says, without parameters.
func mediaOf(contentType []byte) []byte {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	return head.Trim(media)
}

// dense reports whether a media type is one of contents that are compressed by their nature, so that another time is in
// vain.
func dense(media []byte) bool {
	for _, t := range [...]string{"image/svg", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon", "image/x-ms-bmp", "audio/wav", "audio/midi"} {
		if begins(media, t) {
			return false
		}
	}
	for _, t := range [...]string{
		"image/", "video/", "audio/", "font/woff", "application/zip", "application/gzip", "application/x-gzip", "application/zstd", "application/x-7z",
		"application/x-rar", "application/x-xz", "application/x-bzip", "application/vnd.openxmlformats", "application/font-woff",
	} {
		if begins(media, t) {
			return true
		}
	}
	return false
}

func begins(b []byte, with string) bool {
	return len(b) >= len(with) && head.EqualFold(b[:len(with)], with)
}

// encoded makes a response's head one of a compressed body: what is said about its bytes holds no more (RFC 9110 section
// 8.8.1 for the ETag, which becomes a weak one).
func encoded(h *head.Head) {
	if tag, ok := h.Get("ETag"); ok && !bytes.HasPrefix(tag, []byte("W/")) {
		_ = h.Set("ETag", "W/"+string(tag))
	}
	for _, name := range [...]string{"Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"} {
		_ = h.Delete(name)
	}
}
