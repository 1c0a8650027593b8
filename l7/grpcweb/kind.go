package grpcweb

import "github.com/weirlb/weir/l7/head"

// Kind is how gRPC-Web is written, told by the media type.
type Kind uint8

// The kinds. None is everything that is not gRPC-Web.
const (
	None   Kind = iota
	Binary      // application/grpc-web
	Text        // application/grpc-web-text: all of it in base64
)

const (
	mediaGRPC   = "application/grpc"
	mediaBinary = "application/grpc-web"
	mediaText   = "application/grpc-web-text"
)

// KindOf is the kind that a media type says.
func KindOf(contentType []byte) Kind {
	if _, ok := after(contentType, mediaText); ok {
		return Text
	}
	if _, ok := after(contentType, mediaBinary); ok {
		return Binary
	}
	return None
}

// Request is the media type of gRPC in place of one of gRPC-Web, with what stands behind it, such as +proto. What is no
// gRPC-Web stays.
func Request(contentType []byte) []byte {
	for _, from := range [...]string{mediaText, mediaBinary} {
		if format, ok := after(contentType, from); ok {
			return append([]byte(mediaGRPC), format...)
		}
	}
	return contentType
}

// Response is the media type of the kind in place of one of gRPC, with what stands behind it. It reports false where the
// server has not answered in gRPC.
func (k Kind) Response(contentType []byte) (media []byte, ok bool) {
	format, ok := after(contentType, mediaGRPC)
	if !ok || k == None {
		return nil, false
	}
	if len(format) == 0 {
		format = []byte("+proto") // what gRPC means where nothing is said
	}
	to := mediaBinary
	if k == Text {
		to = mediaText
	}
	return append([]byte(to), format...), true
}

// after is what stands behind a media type: its format with a + before it, parameters, or nothing.
func after(contentType []byte, media string) (rest []byte, is bool) {
	if len(contentType) < len(media) || !head.EqualFold(contentType[:len(media)], media) {
		return nil, false
	}
	rest = contentType[len(media):]
	return rest, len(rest) == 0 || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ' || rest[0] == '\t'
}
