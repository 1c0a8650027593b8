package l7

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weirlb/weir/l7/head"
)

// Cookie is how a cookie is given to clients (RFC 6265).
type Cookie struct {
	Name     string // empty = one made of the service's name
	Path     string // empty = /
	Domain   string // empty = the host that was asked alone
	Secure   bool   // over TLS only
	HTTPOnly bool   // not for scripts
	SameSite string // none, lax or strict, in any case; empty = the attribute is left out
	MaxAge   int    // seconds; 0 = until the client is closed, negative = it is to be forgotten at once
}

// ErrCookie is what is wrong with a Cookie that cannot be written.
var ErrCookie = errors.New("bad cookie")

// attributes returns what follows the value in Set-Cookie.
func (c Cookie) attributes() (string, error) {
	var s strings.Builder
	for _, v := range []struct{ name, value string }{{"Path", c.Path}, {"Domain", c.Domain}} {
		if strings.ContainsFunc(v.value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' }) {
			return "", fmt.Errorf("%w: %s %q", ErrCookie, v.name, v.value)
		}
		if v.value != "" {
			s.WriteString("; " + v.name + "=" + v.value)
		}
	}
	if c.MaxAge != 0 {
		s.WriteString("; Max-Age=" + strconv.Itoa(max(c.MaxAge, 0)))
	}
	if c.HTTPOnly {
		s.WriteString("; HttpOnly")
	}
	if c.Secure {
		s.WriteString("; Secure")
	}
	switch strings.ToLower(c.SameSite) {
	case "":
	case "none":
		s.WriteString("; SameSite=None")
	case "lax":
		s.WriteString("; SameSite=Lax")
	case "strict":
		s.WriteString("; SameSite=Strict")
	default:
		return "", fmt.Errorf("%w: SameSite %q", ErrCookie, c.SameSite)
	}
	return s.String(), nil
}

// cookies calls do with the value of each cookie of that name that a request has, in order, until it returns true. What is
// not written as RFC 6265 section 4.2.1 has it is passed over; the order of several is not to be relied on.
func cookies(h *head.Head, name string, do func(value []byte) bool) {
	if !h.Has(head.Cookie) {
		return
	}
	for line := range h.Values("Cookie") {
		for len(line) > 0 {
			var pair []byte
			pair, line, _ = bytes.Cut(line, []byte{';'})
			if value, ok := cookieValue(head.Trim(pair), name); ok && do(value) {
				return
			}
		}
	}
}

// cookieValue is the value of a pair with that name; names are compared as they are.
func cookieValue(pair []byte, name string) ([]byte, bool) {
	n := len(name)
	if len(pair) <= n || pair[n] != '=' || string(pair[:n]) != name {
		return nil, false
	}
	v := pair[n+1:]
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	for _, c := range v {
		// cookie-octet: visible ASCII but quote, comma, semicolon and backslash
		if c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\' {
			return nil, false
		}
	}
	return v, true
}
