package accesslog

import (
	"crypto/tls"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// How much of a string that a client sent goes into a line.
const (
	maxHostile = 255                        // the longest DNS name and the longest ALPN protocol
	maxHost    = maxHostile + len(":65535") // a name with a port
	maxTarget  = 2048
	maxWord    = 32 // a method, a protocol's name
)

const hexDigits = "0123456789abcdef"

// AppendJSON appends r as one JSON object and a newline. The keys are those of Traefik's access log where the concept
// is the same; durations are nanoseconds, -1 for a phase that was not reached; keys without a value (no router, no
// SNI, no status, ...) are left out. A request has keys of its own in place of BytesIn and BytesOut, a flow some in place of
// TLS, phases and retries. It does not allocate beyond growing dst.
func AppendJSON(dst []byte, r *Record) []byte {
	dst = append(dst, `{"StartUTC":"`...)
	dst = appendStart(dst, r.Start)
	dst = append(dst, `","Protocol":"`...)
	dst = append(dst, r.Protocol.String()...)
	dst = append(dst, '"')
	dst = appendJSONName(dst, `,"entryPointName":`, r.Entrypoint)
	dst = appendJSONClient(dst, r)
	dst = appendJSONAddr(dst, `,"LocalAddr":`, r.Local)
	dst = appendJSONName(dst, `,"RouterName":`, r.Router)
	dst = appendJSONName(dst, `,"ServiceName":`, r.Service)
	dst = appendJSONAddr(dst, `,"ServiceAddr":`, r.Backend)
	switch r.Protocol {
	case UDP:
		dst = appendJSONFlow(dst, r)
	case HTTP:
		dst = appendJSONTLS(dst, r)
		dst = appendJSONRequest(dst, r)
		dst = appendJSONPhases(dst, r)
	default:
		dst = appendJSONTLS(dst, r)
		dst = appendJSONInt(dst, `,"BytesIn":`, r.In)
		dst = appendJSONInt(dst, `,"BytesOut":`, r.Out)
		dst = appendJSONPhases(dst, r)
	}
	who, where := r.Termination()
	dst = append(dst, `,"EndedBy":"`...)
	dst = append(dst, r.By.String()...)
	dst = append(dst, `","Reason":"`...)
	dst = append(dst, r.Reason.String()...)
	dst = append(dst, '"')
	dst = appendJSONName(dst, `,"Detail":`, clip(r.Detail, maxHostile))
	dst = append(dst, `,"TerminationState":"`...)
	return append(dst, who, where, '"', '}', '\n')
}

func appendJSONTLS(dst []byte, r *Record) []byte {
	dst = appendJSONName(dst, `,"TLSMode":`, r.TLS.String())
	dst = appendJSONName(dst, `,"TLSVersion":`, versionName(r.TLSVersion))
	dst = appendJSONName(dst, `,"TLSCipher":`, cipherName(r.TLSCipher))
	dst = appendJSONName(dst, `,"SNI":`, clip(r.ServerName, maxHostile))
	return appendJSONName(dst, `,"ALPN":`, clip(r.ALPN, maxHostile))
}

func appendJSONPhases(dst []byte, r *Record) []byte {
	dst = appendJSONInt(dst, `,"Duration":`, int64(phase(r.Total)))
	dst = appendJSONInt(dst, `,"RouteDuration":`, int64(phase(r.Route)))
	dst = appendJSONInt(dst, `,"QueueDuration":`, int64(phase(r.Queue)))
	dst = appendJSONInt(dst, `,"ConnectDuration":`, int64(phase(r.Connect)))
	return appendJSONInt(dst, `,"RetryAttempts":`, int64(r.Retries))
}

func appendJSONClient(dst []byte, r *Record) []byte {
	if r.Client.IsValid() {
		dst = appendJSONAddr(dst, `,"ClientAddr":`, r.Client)
		dst = append(dst, `,"ClientHost":"`...)
		dst = appendHost(dst, r.Client.Addr())
		dst = append(dst, `","ClientPort":"`...)
		dst = strconv.AppendUint(dst, uint64(r.Client.Port()), 10)
		dst = append(dst, '"')
	}
	if r.Peer.IsValid() && r.Peer != r.Client {
		dst = appendJSONAddr(dst, `,"PeerAddr":`, r.Peer)
	}
	return dst
}

func appendJSONName(dst []byte, key, s string) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, key...)
	return appendJSONString(dst, s)
}

func appendJSONAddr(dst []byte, key string, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return dst
	}
	dst = append(dst, key...)
	dst = append(dst, '"')
	dst = appendAddrPort(dst, a)
	return append(dst, '"')
}

func appendJSONInt(dst []byte, key string, n int64) []byte {
	dst = append(dst, key...)
	return strconv.AppendInt(dst, n, 10)
}

// AppendCommon appends r as one line for people, and for tools that split at blanks. A request has the form that
// appendCommonRequest describes, a flow that of appendCommonFlow, a connection this one:
//
//	client [start] entrypoint router service/backend Tw/Tq/Tc/Tt in out state by reason retries sni alpn tls peer
//
// The four timers are milliseconds, -1 for a phase that was not reached; "-" stands for what is not known. A field
// that holds anything but plain visible characters is written in double quotes with escapes, so the number of fields never
// changes. It does not allocate beyond growing dst.
func AppendCommon(dst []byte, r *Record) []byte {
	switch r.Protocol {
	case UDP:
		return appendCommonFlow(dst, r)
	case HTTP:
		return appendCommonRequest(dst, r)
	}
	dst = appendCommonWhere(dst, r)
	for i, d := range [...]time.Duration{r.Route, r.Queue, r.Connect, r.Total} {
		dst = append(dst, " ///"[i])
		dst = appendMillis(dst, d)
	}
	dst = appendCommonTraffic(dst, r)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(r.Retries), 10)
	dst = append(dst, ' ')
	dst = appendField(dst, clip(r.ServerName, maxHostile))
	dst = append(dst, ' ')
	dst = appendField(dst, clip(r.ALPN, maxHostile))
	dst = append(dst, ' ')
	dst = appendTLS(dst, r)
	dst = append(dst, ' ')
	if r.Peer == r.Client {
		dst = append(dst, '-')
	} else {
		dst = appendFieldAddr(dst, r.Peer)
	}
	return append(dst, '\n')
}

// appendCommonWhere appends what the lines of connections and flows begin with, up to the backend.
func appendCommonWhere(dst []byte, r *Record) []byte {
	dst = appendFieldAddr(dst, r.Client)
	dst = append(dst, " ["...)
	dst = appendStart(dst, r.Start)
	dst = append(dst, "] "...)
	dst = appendField(dst, r.Entrypoint)
	dst = append(dst, ' ')
	dst = appendField(dst, r.Router)
	dst = append(dst, ' ')
	dst = appendField(dst, r.Service)
	dst = append(dst, '/')
	return appendFieldAddr(dst, r.Backend)
}

// appendCommonTraffic appends what stands behind the timers of connections and flows, up to the reason.
func appendCommonTraffic(dst []byte, r *Record) []byte {
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, r.In, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, r.Out, 10)
	who, where := r.Termination()
	dst = append(dst, ' ', who, where, ' ')
	dst = append(dst, r.By.String()...)
	dst = append(dst, ' ')
	return append(dst, r.Reason.String()...)
}

func appendTLS(dst []byte, r *Record) []byte {
	switch r.TLS {
	case Passthrough:
		return append(dst, "passthrough"...)
	case Terminated:
		dst = append(dst, "TLS"...)
		return append(dst, versionName(r.TLSVersion)...)
	}
	return append(dst, '-')
}

// appendStart writes t in UTC with nine decimals, so that lines sort as text.
func appendStart(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
}

// phase maps every "not reached" to -1.
func phase(d time.Duration) time.Duration {
	return max(d, NotReached)
}

func appendMillis(dst []byte, d time.Duration) []byte {
	if d < 0 {
		return append(dst, "-1"...)
	}
	return strconv.AppendInt(dst, d.Milliseconds(), 10)
}

// versionName returns a TLS version the way Traefik's log writes it.
func versionName(v uint16) string {
	switch v {
	case 0:
		return ""
	case tls.VersionTLS10:
		return "1.0"
	case tls.VersionTLS11:
		return "1.1"
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return "unknown"
}

func clip(s string, most int) string {
	return s[:min(len(s), most)]
}

// isUnix reports whether a stands for a Unix socket: then its zone is an absolute path.
func isUnix(a netip.AddrPort) bool { return strings.HasPrefix(a.Addr().Zone(), "/") }

// appendAddrPort writes 192.0.2.1:80, [2001:db8::1]:80 or unix:/run/app.sock. IPv4 addresses that came in IPv6 clothes are
// undressed.
func appendAddrPort(dst []byte, a netip.AddrPort) []byte {
	addr := a.Addr().Unmap()
	if isUnix(a) {
		return appendZone(append(dst, "unix:"...), addr.Zone())
	}
	if addr.Is4() {
		dst = addr.AppendTo(dst)
	} else {
		dst = append(dst, '[')
		dst = appendHost(dst, addr)
		dst = append(dst, ']')
	}
	dst = append(dst, ':')
	return strconv.AppendUint(dst, uint64(a.Port()), 10)
}

// appendHost writes an address. A zone is an interface's name, which may hold any byte but a slash and a blank:
// whatever is not a plain character in it becomes an underscore.
func appendHost(dst []byte, a netip.Addr) []byte {
	a = a.Unmap()
	dst = a.WithZone("").AppendTo(dst)
	zone := a.Zone()
	if zone == "" {
		return dst
	}
	return appendZone(append(dst, '%'), zone)
}

func appendZone(dst []byte, zone string) []byte {
	for i := range len(zone) {
		if c := zone[i]; plain(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '_')
		}
	}
	return dst
}

func appendFieldAddr(dst []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(dst, '-')
	}
	return appendAddrPort(dst, a)
}

// plain reports whether c may stand unquoted in a field and unescaped in a string: visible ASCII without the two
// characters that end or escape a string.
func plain(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '\\' }

// appendField writes s as one field of the readable line.
func appendField(dst []byte, s string) []byte {
	switch {
	case s == "":
		return append(dst, '-')
	case s == "-" || !allPlain(s):
		return appendQuoted(dst, s)
	}
	return append(dst, s...)
}

func allPlain(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) {
			return false
		}
	}
	return true
}

// appendQuoted writes s in double quotes.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

// appendEscaped writes s as it stands between double quotes, every byte that is not visible ASCII as \xNN. A blank becomes
// \x20: a line then splits at blanks into the same fields whatever a client sent.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case plain(c):
			dst = append(dst, c)
		default:
			dst = appendHex(dst, c)
		}
	}
	return dst
}

func appendHex(dst []byte, c byte) []byte {
	return append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
}

// appendJSONString writes s as a JSON string (RFC 8259) in ASCII only: control characters, quotes and everything
// beyond ASCII are escaped, so no terminal that shows the log can be steered; bytes that are not UTF-8 become U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case plain(c) || c == ' ':
			dst = append(dst, c)
			i++
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < utf8.RuneSelf:
			dst = appendUnicode(dst, rune(c))
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = appendUnicode(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}

// appendUnicode writes r as \uXXXX, as a surrogate pair beyond the basic plane.
func appendUnicode(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		dst = appendUnit(dst, uint16(0xd800+(r>>10)))
		return appendUnit(dst, uint16(0xdc00+(r&0x3ff)))
	}
	return appendUnit(dst, uint16(r))
}

func appendUnit(dst []byte, u uint16) []byte {
	return append(dst, '\\', 'u', hexDigits[u>>12], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}
