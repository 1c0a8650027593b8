package config

import "net/netip"

// HTTPMiddleware is exactly one of its members.
type HTTPMiddleware struct {
	AddPrefix         *AddPrefix         `yaml:"addPrefix" doc:"Puts a prefix before the path."`
	BasicAuth         *BasicAuth         `yaml:"basicAuth" doc:"Lets users with a password pass."`
	ContentType       *ContentType       `yaml:"contentType" doc:"Gives responses without a Content-Type the one that their first bytes look like."`
	DigestAuth        *DigestAuth        `yaml:"digestAuth" doc:"Lets users pass who know a password, which is not sent."`
	EncodedCharacters *PathCharacters    `yaml:"encodedCharacters" doc:"Answers requests whose path has one of some percent-encoded characters with 400."`
	ForwardAuth       *ForwardAuth       `yaml:"forwardAuth" doc:"Asks another server whether a request may pass."`
	GRPCWeb           *GRPCWeb           `yaml:"grpcWeb" doc:"Makes calls of gRPC-Web, which browsers speak, ones of gRPC."`
	Headers           *Headers           `yaml:"headers" doc:"Edits headers, and sets those that browsers heed."`
	InFlightReq       *InFlightReq       `yaml:"inFlightReq" doc:"Limits the requests that are served at one time."`
	IPDenyList        *HTTPIPDenyList    `yaml:"ipDenyList" doc:"Lets requests from listed client addresses not pass."`
	JWT               *JWT               `yaml:"jwt" doc:"Lets requests with a signed token pass."`
	Plugin            map[string]Free    `yaml:"plugin" doc:"A middleware that others have built into this weir, by its kind, with a map of its own keys; see writing-middleware.md."`
	PassTLSClientCert *PassTLSClientCert `yaml:"passTLSClientCert" doc:"Tells the server about the client's certificate."`
	RequestID         *RequestID         `yaml:"requestID" doc:"Gives every request a name of its own."`

	StripPrefix    *StripPrefix     `yaml:"stripPrefix" doc:"Removes a prefix from the path."`
	RedirectScheme *RedirectScheme  `yaml:"redirectScheme" doc:"Answers requests of another scheme or port with a redirect."`
	IPAllowList    *HTTPIPAllowList `yaml:"ipAllowList" doc:"Lets only requests from listed client addresses pass."`
	RateLimit      *HTTPRateLimit   `yaml:"rateLimit" doc:"Limits the requests of one client."`

	Buffering        *Buffering        `yaml:"buffering" doc:"Holds bodies until they are here as a whole."`
	CircuitBreaker   *CircuitBreaker   `yaml:"circuitBreaker" doc:"Passes no requests for a while when too many fail or are slow."`
	Chain            *Chain            `yaml:"chain" doc:"Other middlewares, one after the other."`
	Compress         *Compress         `yaml:"compress" doc:"Compresses the bodies of answers."`
	Errors           *ErrorPages       `yaml:"errors" doc:"Answers with pages of another service where the status is one of some."`
	RedirectRegex    *RedirectRegex    `yaml:"redirectRegex" doc:"Answers requests for URLs in which a regular expression finds something with a redirect."`
	ReplacePath      *ReplacePath      `yaml:"replacePath" doc:"Replaces the path."`
	ReplacePathRegex *ReplacePathRegex `yaml:"replacePathRegex" doc:"Replaces what a regular expression finds in the path."`
	Retry            *Retry            `yaml:"retry" doc:"Sends requests to the service anew where that could not be reached, or gave a certain answer."`
	StripPrefixRegex *StripPrefixRegex `yaml:"stripPrefixRegex" doc:"Removes a prefix that a regular expression finds from the path."`
}

// AddPrefix puts a prefix before the path of a request.
type AddPrefix struct {
	Prefix string `yaml:"prefix" need:"true" doc:"The prefix; a / is put before it where it has none."`
}

// StripPrefix removes the first of its prefixes that the path starts with.
type StripPrefix struct {
	Prefixes   []string `yaml:"prefixes" need:"true" doc:"The prefixes; the first that fits is removed and told to the server in X-Forwarded-Prefix."`
	ForceSlash bool     `yaml:"forceSlash" doc:"Accepted for Traefik's sake and always true: what is left of a path starts with a /."`
}

func (s *StripPrefix) setDefaults() { s.ForceSlash = true }

// RedirectScheme answers with a redirect to the same URL with another scheme
// or port, unless the request came by it already.
type RedirectScheme struct {
	Scheme    string `yaml:"scheme" need:"true" enum:"http|https" doc:"Scheme of the new URL."`
	Port      int    `yaml:"port" quoted:"true" min:"1" max:"65535" doc:"Port of the new URL; without the key, the scheme's own."`
	Permanent bool   `yaml:"permanent" doc:"Say that the redirect is for good."`
}

// HTTPIPAllowList lets only requests from the listed networks pass.
type HTTPIPAllowList struct {
	SourceRange      []netip.Prefix `yaml:"sourceRange" need:"true" doc:"Addresses or networks that may pass."`
	IPStrategy       *IPStrategy    `yaml:"ipStrategy" doc:"Which address is the client's; without the key, the other end of the connection. Where there is none, nobody passes."`
	RejectStatusCode int            `yaml:"rejectStatusCode" min:"200" max:"599" doc:"Status of the answer to the others."`
}

func (l *HTTPIPAllowList) setDefaults() { l.RejectStatusCode = 403 }
