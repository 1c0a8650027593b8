package config

// Headers edits the headers of requests and responses, answers browsers that
// ask for scripts of other origins, and says what browsers are to be careful
// with.
type Headers struct {
	CustomRequestHeaders  map[string]string `yaml:"customRequestHeaders" doc:"Headers of the request to set; an empty value removes one."`
	CustomResponseHeaders map[string]string `yaml:"customResponseHeaders" doc:"Headers of the response to set; an empty value removes one."`

	AccessControlAllowCredentials     bool     `yaml:"accessControlAllowCredentials" doc:"Scripts of other origins may send cookies and credentials."`
	AccessControlAllowHeaders         []string `yaml:"accessControlAllowHeaders" doc:"Headers that scripts of other origins may send."`
	AccessControlAllowMethods         []string `yaml:"accessControlAllowMethods" doc:"Methods that scripts of other origins may use."`
	AccessControlAllowOriginList      []string `yaml:"accessControlAllowOriginList" doc:"Origins whose scripts may read responses; * means any."`
	AccessControlAllowOriginListRegex []string `yaml:"accessControlAllowOriginListRegex" doc:"Regular expressions of such origins; write ^ and $, or a part of an origin is enough."`
	AccessControlExposeHeaders        []string `yaml:"accessControlExposeHeaders" doc:"Headers of responses that scripts of other origins may read."`
	AccessControlMaxAge               int      `yaml:"accessControlMaxAge" min:"0" doc:"Seconds for which browsers remember the answer to a preflight request."`
	AddVaryHeader                     bool     `yaml:"addVaryHeader" doc:"Say in Vary that responses differ by Origin."`

	AllowedHosts      []string          `yaml:"allowedHosts" doc:"Hosts, with the port where it is sent, that are served; others get 403. Without the key, all are."`
	HostsProxyHeaders []string          `yaml:"hostsProxyHeaders" doc:"Headers that name the host instead of Host, if they are there."`
	SSLProxyHeaders   map[string]string `yaml:"sslProxyHeaders" doc:"Headers by which a proxy in front says that the client came by HTTPS, with the value that means it."`

	STSSeconds           int  `yaml:"stsSeconds" min:"0" doc:"max-age of Strict-Transport-Security, which responses over HTTPS get; 0 means none."`
	STSIncludeSubdomains bool `yaml:"stsIncludeSubdomains" doc:"Say includeSubDomains there."`
	STSPreload           bool `yaml:"stsPreload" doc:"Say preload there."`
	ForceSTSHeader       bool `yaml:"forceSTSHeader" doc:"Send it over plain HTTP too."`

	FrameDeny                       bool   `yaml:"frameDeny" doc:"Send X-Frame-Options: DENY."`
	CustomFrameOptionsValue         string `yaml:"customFrameOptionsValue" doc:"Value of X-Frame-Options instead."`
	ContentTypeNosniff              bool   `yaml:"contentTypeNosniff" doc:"Send X-Content-Type-Options: nosniff."`
	BrowserXSSFilter                bool   `yaml:"browserXssFilter" doc:"Send X-XSS-Protection: 1; mode=block."`
	CustomBrowserXSSValue           string `yaml:"customBrowserXSSValue" doc:"Value of X-XSS-Protection instead."`
	ContentSecurityPolicy           string `yaml:"contentSecurityPolicy" doc:"Value of Content-Security-Policy."`
	ContentSecurityPolicyReportOnly string `yaml:"contentSecurityPolicyReportOnly" doc:"Value of Content-Security-Policy-Report-Only."`
	PublicKey                       string `yaml:"publicKey" doc:"Value of Public-Key-Pins, which browsers do not heed any more."`
	ReferrerPolicy                  string `yaml:"referrerPolicy" doc:"Value of Referrer-Policy."`
	PermissionsPolicy               string `yaml:"permissionsPolicy" doc:"Value of Permissions-Policy."`
	IsDevelopment                   bool   `yaml:"isDevelopment" doc:"Leave allowedHosts, sts* and publicKey out, for development."`
}
