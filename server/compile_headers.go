package server

import (
	"regexp"
	"slices"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// headersPlan is a headers middleware; regular expressions are still text, so that plans can be compared.
type headersPlan struct {
	options l7.HeadersOptions
	origins []string
}

func headersPlanOf(h *config.Headers) headersPlan {
	return headersPlan{
		options: l7.HeadersOptions{
			Request:  editsOf(h.CustomRequestHeaders),
			Response: editsOf(h.CustomResponseHeaders),
			CORS: l7.CORSOptions{
				Credentials: h.AccessControlAllowCredentials,
				Headers:     slices.Clone(h.AccessControlAllowHeaders),
				Methods:     slices.Clone(h.AccessControlAllowMethods),
				Origins:     slices.Clone(h.AccessControlAllowOriginList),
				Expose:      slices.Clone(h.AccessControlExposeHeaders),
				MaxAge:      h.AccessControlMaxAge,
				Vary:        h.AddVaryHeader,
			},
			Security: l7.SecurityOptions{
				AllowedHosts:     slices.Clone(h.AllowedHosts),
				HostHeaders:      slices.Clone(h.HostsProxyHeaders),
				SecureHeaders:    editsOf(h.SSLProxyHeaders),
				STSSeconds:       h.STSSeconds,
				STSSubdomains:    h.STSIncludeSubdomains,
				STSPreload:       h.STSPreload,
				STSAlways:        h.ForceSTSHeader,
				FrameDeny:        h.FrameDeny,
				FrameOptions:     h.CustomFrameOptionsValue,
				NoSniff:          h.ContentTypeNosniff,
				XSSFilter:        h.BrowserXSSFilter,
				XSSProtection:    h.CustomBrowserXSSValue,
				Policy:           h.ContentSecurityPolicy,
				PolicyReportOnly: h.ContentSecurityPolicyReportOnly,
				PublicKey:        h.PublicKey,
				Referrer:         h.ReferrerPolicy,
				Permissions:      h.PermissionsPolicy,
				Development:      h.IsDevelopment,
			},
		},
		origins: slices.Clone(h.AccessControlAllowOriginListRegex),
	}
}

func editsOf(m map[string]string) (edits []l7.FieldEdit) {
	for _, name := range sorted(m) {
		edits = append(edits, l7.FieldEdit{Name: name, Value: m[name]})
	}
	return edits
}

func (p headersPlan) make(name string) (*l7.Middleware, error) {
	o := p.options
	for _, text := range p.origins {
		r, err := regexp.Compile(text)
		if err != nil {
			return nil, err // config has compiled it before
		}
		o.CORS.OriginRegexps = append(o.CORS.OriginRegexps, r)
	}
	return l7.Headers(name, o), nil
}
