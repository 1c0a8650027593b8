package config

import (
	"fmt"
	"mime"
	"slices"
	"strings"
)

// Compress compresses the bodies of answers. In a loaded Config media types are
// in lower case and without parameters.
type Compress struct {
	ExcludedContentTypes []string `yaml:"excludedContentTypes" doc:"Media types of answers that are not compressed, and of requests whose answers are not."`
	IncludedContentTypes []string `yaml:"includedContentTypes" doc:"Media types that alone are compressed; without the key, all that are not excluded and not compressed by their nature."`
	MinResponseBodyBytes int      `yaml:"minResponseBodyBytes" min:"0" max:"1073741824" doc:"Bytes of a body from which on it is compressed, where its length is known. 0 means the default."`
	DefaultEncoding      string   `yaml:"defaultEncoding" enum:"gzip|br|zstd" doc:"Encoding for clients that do not say which they take, who else get none, or that they take any."`
	Encodings            []string `yaml:"encodings" usual:"[\"gzip\",\"br\",\"zstd\"]" doc:"Encodings that are offered; of those that a client likes equally, the first."`
}

const usualCompressed = 1024

func (c *Compress) setDefaults() { c.MinResponseBodyBytes = usualCompressed }

func (c *checker) compress(at string, m *Compress) {
	if len(m.ExcludedContentTypes) > 0 && len(m.IncludedContentTypes) > 0 {
		c.fail(at+".includedContentTypes", "stands beside excludedContentTypes", "keep one of them")
	}
	if m.MinResponseBodyBytes == 0 {
		m.MinResponseBodyBytes = usualCompressed
	}
	c.mediaTypes(at+".excludedContentTypes", m.ExcludedContentTypes)
	c.mediaTypes(at+".includedContentTypes", m.IncludedContentTypes)
	known := []string{"gzip", "br", "zstd"}
	switch {
	case len(m.Encodings) > 0:
		c.listed(at+".encodings", m.Encodings, known, "encoding")
	case c.written(at + ".encodings"):
		c.fail(at+".encodings", "must not be empty", "without the key, all are offered")
	default:
		m.Encodings = known
	}
	if d := m.DefaultEncoding; d != "" && !slices.Contains(m.Encodings, d) {
		c.failf(at+".defaultEncoding", "%s is not among the encodings", d)
	}
}

// mediaTypes checks a list of media types and leaves their parameters out.
func (c *checker) mediaTypes(at string, list []string) {
	for i, written := range list {
		media, _, err := mime.ParseMediaType(written)
		if err != nil || !strings.Contains(media, "/") {
			c.fail(fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("%q is not a media type", abbreviated(written)), `write it like "text/html"`)
			continue
		}
		list[i] = media
	}
}
