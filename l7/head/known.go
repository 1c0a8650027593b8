package head

// Known names a field that weir itself looks at. A Head finds known fields
// without searching.
type Known uint8

// The known fields. Other is every other name.
const (
	Other Known = iota
	Host
	ContentLength
	TransferEncoding
	Connection
	Upgrade
	Expect
	KeepAlive
	TE
	Trailer
	ProxyConnection
	ProxyAuthenticate
	ProxyAuthorization
	ProxyAuthenticationInfo
	HTTP2Settings
	Forwarded
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XForwardedServer
	XForwardedPrefix
	XForwardedURI
	XForwardedMethod
	XForwardedTLSClientCert
	XForwardedTLSClientCertInfo
	XRealIP
	Via
	Authorization
	Cookie
	SetCookie
	ContentType
	ContentEncoding
	CacheControl
	Date
	Origin
	TraceParent
	TraceState
	numKnown
)

// names are as people write them.
var names = [numKnown]string{
	Host:                        "Host",
	ContentLength:               "Content-Length",
	TransferEncoding:            "Transfer-Encoding",
	Connection:                  "Connection",
	Upgrade:                     "Upgrade",
	Expect:                      "Expect",
	KeepAlive:                   "Keep-Alive",
	TE:                          "TE",
	Trailer:                     "Trailer",
	ProxyConnection:             "Proxy-Connection",
	ProxyAuthenticate:           "Proxy-Authenticate",
	ProxyAuthorization:          "Proxy-Authorization",
	ProxyAuthenticationInfo:     "Proxy-Authentication-Info",
	HTTP2Settings:               "HTTP2-Settings",
	Forwarded:                   "Forwarded",
	XForwardedFor:               "X-Forwarded-For",
	XForwardedHost:              "X-Forwarded-Host",
	XForwardedPort:              "X-Forwarded-Port",
	XForwardedProto:             "X-Forwarded-Proto",
	XForwardedServer:            "X-Forwarded-Server",
	XForwardedPrefix:            "X-Forwarded-Prefix",
	XForwardedURI:               "X-Forwarded-Uri",
	XForwardedMethod:            "X-Forwarded-Method",
	XForwardedTLSClientCert:     "X-Forwarded-Tls-Client-Cert",
	XForwardedTLSClientCertInfo: "X-Forwarded-Tls-Client-Cert-Info",
	XRealIP:                     "X-Real-Ip",
	Via:                         "Via",
	Authorization:               "Authorization",
	Cookie:                      "Cookie",
	SetCookie:                   "Set-Cookie",
	ContentType:                 "Content-Type",
	ContentEncoding:             "Content-Encoding",
	CacheControl:                "Cache-Control",
	Date:                        "Date",
	Origin:                      "Origin",
	TraceParent:                 "traceparent",
	TraceState:                  "tracestate",
}

// String is the name of the field, in its usual case; empty for Other.
func (k Known) String() string { return names[k] }

// set is a set of known fields.
type set uint64

func setOf(ks ...Known) (s set) {
	for _, k := range ks {
		s |= 1 << k
	}
	return s
}

func (s set) has(k Known) bool { return s>>k&1 != 0 }

// Lookup finds the known field of a name in any case. Length, first and last
// byte pick one candidate or two, and one comparison decides.
func Lookup[T ~string | ~[]byte](name T) Known {
	n := len(name)
	if n < 2 {
		return Other
	}
	switch uint32(n)<<16 | uint32(name[0]|0x20)<<8 | uint32(name[n-1]|0x20) {
	case 2<<16 | 't'<<8 | 'e':
		return match(name, TE)
	case 3<<16 | 'v'<<8 | 'a':
		return match(name, Via)
	case 4<<16 | 'h'<<8 | 't':
		return match(name, Host)
	case 4<<16 | 'd'<<8 | 'e':
		return match(name, Date)
	case 6<<16 | 'c'<<8 | 'e':
		return match(name, Cookie)
	case 6<<16 | 'e'<<8 | 't':
		return match(name, Expect)
	case 6<<16 | 'o'<<8 | 'n':
		return match(name, Origin)
	case 7<<16 | 't'<<8 | 'r':
		return match(name, Trailer)
	case 7<<16 | 'u'<<8 | 'e':
		return match(name, Upgrade)
	case 9<<16 | 'f'<<8 | 'd':
		return match(name, Forwarded)
	case 9<<16 | 'x'<<8 | 'p':
		return match(name, XRealIP)
	case 10<<16 | 'c'<<8 | 'n':
		return match(name, Connection)
	case 10<<16 | 'k'<<8 | 'e':
		return match(name, KeepAlive)
	case 10<<16 | 't'<<8 | 'e':
		return match(name, TraceState)
	case 11<<16 | 't'<<8 | 't':
		return match(name, TraceParent)
	case 10<<16 | 's'<<8 | 'e':
		return match(name, SetCookie)
	case 12<<16 | 'c'<<8 | 'e':
		return match(name, ContentType)
	case 13<<16 | 'a'<<8 | 'n':
		return match(name, Authorization)
	case 13<<16 | 'c'<<8 | 'l':
		return match(name, CacheControl)
	case 14<<16 | 'c'<<8 | 'h':
		return match(name, ContentLength)
	case 14<<16 | 'h'<<8 | 's':
		return match(name, HTTP2Settings)
	case 15<<16 | 'x'<<8 | 'r':
		return match(name, XForwardedFor)
	case 15<<16 | 'x'<<8 | 'i':
		return match(name, XForwardedURI)
	case 16<<16 | 'c'<<8 | 'g':
		return match(name, ContentEncoding)
	case 16<<16 | 'p'<<8 | 'n':
		return match(name, ProxyConnection)
	case 16<<16 | 'x'<<8 | 't':
		if k := match(name, XForwardedHost); k != Other {
			return k
		}
		return match(name, XForwardedPort)
	case 17<<16 | 't'<<8 | 'g':
		return match(name, TransferEncoding)
	case 17<<16 | 'x'<<8 | 'o':
		return match(name, XForwardedProto)
	case 18<<16 | 'p'<<8 | 'e':
		return match(name, ProxyAuthenticate)
	case 18<<16 | 'x'<<8 | 'd':
		return match(name, XForwardedMethod)
	case 18<<16 | 'x'<<8 | 'r':
		return match(name, XForwardedServer)
	case 18<<16 | 'x'<<8 | 'x':
		return match(name, XForwardedPrefix)
	case 19<<16 | 'p'<<8 | 'n':
		return match(name, ProxyAuthorization)
	case 25<<16 | 'p'<<8 | 'o':
		return match(name, ProxyAuthenticationInfo)
	case 27<<16 | 'x'<<8 | 't':
		return match(name, XForwardedTLSClientCert)
	case 32<<16 | 'x'<<8 | 'o':
		return match(name, XForwardedTLSClientCertInfo)
	}
	return Other
}

func match[T ~string | ~[]byte](name T, k Known) Known {
	if EqualFold(name, names[k]) {
		return k
	}
	return Other
}
