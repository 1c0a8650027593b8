package peek

// Kind is what the first bytes of a connection are.
type Kind uint8

const (
	Unknown        Kind = iota // anything else
	TLS                        // a TLS handshake record; whether it is a ClientHello is for sni.Parse
	PostgresSSL                // PostgreSQL's SSLRequest
	PostgresGSS                // PostgreSQL's GSSENCRequest
	PostgresCancel             // PostgreSQL's CancelRequest in the clear
	PostgresStart              // PostgreSQL's StartupMessage in the clear, version 3.x
	HTTP                       // HTTP/1 or the preface of HTTP/2, in the clear
)

func (k Kind) String() string {
	switch k {
	case TLS:
		return "tls"
	case PostgresSSL:
		return "postgres-ssl"
	case PostgresGSS:
		return "postgres-gss"
	case PostgresCancel:
		return "postgres-cancel"
	case PostgresStart:
		return "postgres-start"
	case HTTP:
		return "http"
	}
	return "unknown"
}

// Classify says what b starts with. Its only error is ErrShort: what has
// arrived may still become more than one kind. Once it has named a kind, more
// bytes do not change it. No verdict takes more than 41 bytes, and bytes that
// begin none of the kinds are Unknown at once.
func Classify(b []byte) (Kind, error) {
	if len(b) == 0 {
		return Unknown, ErrShort
	}
	switch c := b[0]; {
	case c == recordHandshake:
		return classifyRecord(b)
	case c == 0:
		kind, err := postgresKind(b)
		if err == ErrShort {
			return Unknown, ErrShort
		}
		return kind, nil // Unknown if err says that it is not PostgreSQL
	case isMethodByte(c):
		switch yes, err := LooksHTTP(b); {
		case err != nil:
			return Unknown, err
		case yes:
			return HTTP, nil
		}
	}
	return Unknown, nil
}

const recordHandshake = 22

// classifyRecord wants the two bytes all TLS handshakes of all versions have in
// common.
func classifyRecord(b []byte) (Kind, error) {
	switch {
	case len(b) < 2:
		return Unknown, ErrShort
	case b[1] == 3:
		return TLS, nil
	}
	return Unknown, nil
}

// LooksHTTP reports whether b starts like a request line of HTTP/1 or like the
// preface of HTTP/2, which has the same form: a method of up to 32 capitals,
// hyphens and underscores, a space, and a target, of which /, * or http:// or
// https:// is looked at, and for CONNECT the first byte of a host. The error is
// ErrShort as long as b can be either.
//
// Other protocols greet with capitals and a space too (EHLO of SMTP, USER of
// FTP): the target is what tells them apart.
func LooksHTTP(b []byte) (yes bool, err error) {
	const maxMethod = 32
	method := 0
	for method < len(b) && method <= maxMethod && isMethodByte(b[method]) {
		method++
	}
	switch {
	case method > maxMethod:
		return false, nil
	case method == len(b):
		return false, ErrShort
	case method == 0 || b[method] != ' ':
		return false, nil
	}
	target := b[method+1:]
	switch {
	case len(target) == 0:
		return false, ErrShort
	case target[0] == '/' || target[0] == '*':
		return true, nil
	case string(b[:method]) == "CONNECT":
		return isHostByte(target[0]), nil
	}
	return looksAbsolute(target)
}

// looksAbsolute reports whether b starts with http:// or https:// in any case.
func looksAbsolute(b []byte) (yes bool, err error) {
	for _, scheme := range [...]string{"http://", "https://"} {
		n := min(len(b), len(scheme))
		if !equalFold(b[:n], scheme[:n]) {
			continue
		}
		if n == len(scheme) {
			return true, nil
		}
		err = ErrShort
	}
	return false, err
}

// equalFold compares b with a lower-case string of its length.
func equalFold(b []byte, lower string) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func isMethodByte(c byte) bool { return 'A' <= c && c <= 'Z' || c == '-' || c == '_' }

func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '['
}
