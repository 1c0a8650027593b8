package accesslog

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// maxRequestID is how much of the name of a request is written.
const maxRequestID = 128

// appendJSONRequest appends what only a record of an HTTP request has. ServiceURL has no scheme in front (RFC 3986
// §4.2): a Record does not say how weir spoke to the backend, and Scheme is that of the client.
func appendJSONRequest(dst []byte, r *Record) []byte {
	if r.Backend.IsValid() {
		dst = append(dst, `,"ServiceURL":"`...)
		dst = appendURL(dst, r)
		dst = append(dst, `","UpstreamReused":`...)
		dst = strconv.AppendBool(dst, r.Reused)
	}
	dst = appendJSONName(dst, `,"ClientUsername":`, clip(r.User, maxHostile))
	dst = appendJSONName(dst, `,"RequestID":`, clip(r.RequestID, maxRequestID))
	dst = appendJSONHex(dst, `,"trace_id":"`, r.TraceID[:])
	dst = appendJSONHex(dst, `,"span_id":"`, r.SpanID[:])
	addr := clip(r.Host, maxHost)
	host, port := splitHost(addr)
	dst = appendJSONName(dst, `,"RequestAddr":`, addr)
	dst = appendJSONName(dst, `,"RequestHost":`, host)
	dst = appendJSONName(dst, `,"RequestPort":`, port)
	dst = appendJSONName(dst, `,"RequestMethod":`, clip(r.Method, maxWord))
	dst = appendJSONName(dst, `,"RequestPath":`, clip(r.Target, maxTarget))
	dst = appendJSONName(dst, `,"RequestProtocol":`, clip(r.Proto, maxWord))
	dst = appendJSONName(dst, `,"RequestScheme":`, clip(r.Scheme, maxWord))
	dst = appendJSONInt(dst, `,"RequestCount":`, int64(r.RequestCount))
	dst = appendJSONInt(dst, `,"RequestContentSize":`, r.RequestSize)
	dst = appendJSONStatus(dst, `,"OriginStatus":`, r.OriginStatus)
	dst = appendJSONInt(dst, `,"OriginContentSize":`, r.OriginSize)
	dst = appendJSONInt(dst, `,"OriginDuration":`, int64(phase(r.Origin)))
	dst = appendJSONStatus(dst, `,"DownstreamStatus":`, r.Status)
	if r.GRPC > 0 {
		dst = appendJSONInt(dst, `,"GRPCStatus":`, int64(r.GRPC-1))
	}
	dst = appendJSONInt(dst, `,"DownstreamContentSize":`, r.ResponseSize)
	return appendJSONInt(dst, `,"FirstByteDuration":`, int64(phase(r.FirstByte)))
}

// appendJSONHex writes an id in hexadecimal, unless it is zero.
func appendJSONHex(dst []byte, key string, id []byte) []byte {
	for _, b := range id {
		if b != 0 {
			return append(hex.AppendEncode(append(dst, key...), id), '"')
		}
	}
	return dst
}

func appendJSONStatus(dst []byte, key string, status int) []byte {
	if status == 0 {
		return dst
	}
	return appendJSONInt(dst, key, int64(status))
}

// appendCommonRequest appends a request as Traefik's common format does, which is the Common Log Format of web servers
// with a few fields behind it, and then what only weir knows:
//
//	client - user [start] "method target proto" status size "-" "-" count "router" "url" Nms
//	Tw/Tq/Tc/Tf/Tt state by reason detail retries
//
// all in one line. Client is an address without a port, start has whole seconds of UTC, size is what the client got of the
// content, count says which request of its connection it was, and url is that of the backend, without a scheme. The two
// "-" stand where other logs have referrer and agent, which weir does not keep. Nms is the whole duration. The five
// timers are milliseconds as well, -1 for a phase that was not reached: the routing decision, the queue, the connect,
// the backend's response head (from the start of the request), the whole. "-" stands for what is not known, so where a
// client sent just that, it is escaped or quoted. Blanks are escaped: the line splits at blanks into the same 22 fields
// whatever a client sent.
func appendCommonRequest(dst []byte, r *Record) []byte {
	if r.Client.IsValid() {
		dst = appendHost(dst, r.Client.Addr())
	} else {
		dst = append(dst, '-')
	}
	dst = append(dst, " - "...)
	dst = appendField(dst, clip(r.User, maxHostile))
	dst = r.Start.UTC().AppendFormat(append(dst, ' '), "[02/Jan/2006:15:04:05 -0700]")
	dst = appendWord(append(dst, ` "`...), clip(r.Method, maxWord))
	dst = appendWord(append(dst, ' '), clip(r.Target, maxTarget))
	dst = appendWord(append(dst, ' '), clip(r.Proto, maxWord))
	dst = append(dst, `" `...)
	if r.Status == 0 {
		dst = append(dst, '-')
	} else {
		dst = strconv.AppendInt(dst, int64(r.Status), 10)
	}
	dst = strconv.AppendInt(append(dst, ' '), r.ResponseSize, 10)
	dst = append(dst, ` "-" "-" `...)
	dst = strconv.AppendInt(dst, int64(r.RequestCount), 10)
	dst = appendWord(append(dst, ` "`...), r.Router)
	dst = append(dst, `" "`...)
	if r.Backend.IsValid() {
		dst = appendURL(dst, r)
	} else {
		dst = append(dst, '-')
	}
	dst = appendMillis(append(dst, `" `...), r.Total)
	dst = append(dst, "ms"...)
	return appendCommonEnd(dst, r)
}

// appendCommonEnd appends weir's own part of a request's line.
func appendCommonEnd(dst []byte, r *Record) []byte {
	for i, d := range [...]time.Duration{r.Route, r.Queue, r.Connect, r.FirstByte, r.Total} {
		dst = append(dst, " ////"[i])
		dst = appendMillis(dst, d)
	}
	who, where := r.Termination()
	dst = append(dst, ' ', who, where, ' ')
	dst = append(dst, r.By.String()...)
	dst = append(dst, ' ')
	dst = append(dst, r.Reason.String()...)
	dst = append(dst, ' ')
	dst = appendField(dst, clip(r.Detail, maxHostile))
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(r.Retries), 10)
	return append(dst, '\n')
}

// appendWord writes s as one word between quotes that are already there.
func appendWord(dst []byte, s string) []byte {
	switch s {
	case "":
		return append(dst, '-')
	case "-":
		return appendHex(dst, '-')
	}
	return appendEscaped(dst, s)
}

// appendURL writes http://192.0.2.1:80, or //192.0.2.1:80 where the scheme is not known, and Unix sockets as they are. The address is valid.
func appendURL(dst []byte, r *Record) []byte {
	if isUnix(r.Backend) {
		return appendAddrPort(dst, r.Backend)
	}
	if r.OriginScheme != "" {
		dst = append(append(dst, r.OriginScheme...), ':')
	}
	return appendAddrPort(append(dst, "//"...), r.Backend)
}

// splitHost takes name:port, 192.0.2.1:port or [2001:db8::1]:port apart. The host comes without brackets; where there is
// no port, or where s is none of these, the port is empty.
func splitHost(s string) (host, port string) {
	if strings.HasPrefix(s, "[") {
		host, rest, closed := strings.Cut(s[1:], "]")
		port, hasPort := strings.CutPrefix(rest, ":")
		if !closed || !hasPort && rest != "" {
			return s, ""
		}
		return host, port
	}
	host, port, _ = strings.Cut(s, ":")
	if strings.Contains(port, ":") {
		return s, ""
	}
	return host, port
}
