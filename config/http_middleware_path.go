package config

// StripPrefixRegex removes what the first of its expressions finds at the start
// of the path.
type StripPrefixRegex struct {
	Regex []string `yaml:"regex" need:"true" doc:"Regular expressions; what the first finds at the start of the path is removed and told to the server in X-Forwarded-Prefix."`
}

// ReplacePath replaces every path by one.
type ReplacePath struct {
	Path string `yaml:"path" need:"true" doc:"The new path; the old one is told to the server in X-Replaced-Path."`
}

// ReplacePathRegex replaces what an expression finds in the path.
type ReplacePathRegex struct {
	Regex       string `yaml:"regex" need:"true" doc:"Regular expression that is looked for in the path."`
	Replacement string `yaml:"replacement" doc:"What stands there instead; $1 and ${1} stand for what the first group has found. The old path is told to the server in X-Replaced-Path."`
}

// RedirectRegex redirects requests for URLs in which an expression finds
// something.
type RedirectRegex struct {
	Regex       string `yaml:"regex" need:"true" doc:"Regular expression that is looked for in the URL, scheme, host and query included."`
	Replacement string `yaml:"replacement" need:"true" doc:"What stands there instead in the new URL; $1 and ${1} stand for what the first group has found."`
	Permanent   bool   `yaml:"permanent" doc:"Say that the redirect is for good."`
}

// Chain is other middlewares, in the order they see a request.
type Chain struct {
	Middlewares []string `yaml:"middlewares" need:"true" doc:"HTTP middlewares in the order they see the request; chains among them, too."`
}

// Unchained returns the names with those in its place that a chain has.
func (h *HTTP) Unchained(names []string) []string {
	var out []string
	for _, name := range names {
		if m := h.Middlewares[name]; m != nil && m.Chain != nil {
			out = append(out, h.Unchained(m.Chain.Middlewares)...)
			continue
		}
		out = append(out, name)
	}
	return out
}

// PathCharacters is EncodedCharacters as a middleware, which refuses all of them
// that it does not allow.
type PathCharacters struct {
	AllowEncodedSlash         bool `yaml:"allowEncodedSlash" doc:"%2F."`
	AllowEncodedBackSlash     bool `yaml:"allowEncodedBackSlash" doc:"%5C."`
	AllowEncodedNullCharacter bool `yaml:"allowEncodedNullCharacter" doc:"%00; always false."`
	AllowEncodedSemicolon     bool `yaml:"allowEncodedSemicolon" doc:"%3B."`
	AllowEncodedPercent       bool `yaml:"allowEncodedPercent" doc:"%25."`
	AllowEncodedQuestionMark  bool `yaml:"allowEncodedQuestionMark" doc:"%3F."`
	AllowEncodedHash          bool `yaml:"allowEncodedHash" doc:"%23."`
}
