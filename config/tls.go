package config

// TLS holds certificates and named TLS settings.
type TLS struct {
	Certificates []Certificate          `yaml:"certificates" doc:"Certificates; each serves the names in it, the first also clients that name none unless a store has a default."`
	Stores       map[string]*TLSStore   `yaml:"stores" doc:"Only the store default exists."`
	Options      map[string]*TLSOptions `yaml:"options" doc:"TLS settings by name; default is used where a router names none."`
}

// Certificate is a certificate chain and its key, both as PEM files.
type Certificate struct {
	CertFile string   `yaml:"certFile" need:"true" doc:"PEM file with the certificate and its chain."`
	KeyFile  string   `yaml:"keyFile" need:"true" doc:"PEM file with the private key."`
	Stores   []string `yaml:"stores" doc:"Accepted for Traefik's sake; only default exists."`
}

// KeyPair is a certificate chain and its key, both as PEM files.
type KeyPair struct {
	CertFile string `yaml:"certFile" need:"true" doc:"PEM file with the certificate and its chain."`
	KeyFile  string `yaml:"keyFile" need:"true" doc:"PEM file with the private key."`
}

// TLSStore is Traefik's set of certificates, of which weir has one.
type TLSStore struct {
	DefaultCertificate *KeyPair `yaml:"defaultCertificate" doc:"Serves clients that name none, or a name no certificate has; without the key, the first of tls.certificates."`
}

// DefaultCertificate returns the certificate for clients that name none where
// tls.stores names one, nil where it is the first of Certificates.
func (t *TLS) DefaultCertificate() *KeyPair {
	if store := t.Stores["default"]; store != nil {
		return store.DefaultCertificate
	}
	return nil
}

// TLSOptions are the settings of TLS ended in weir.
type TLSOptions struct {
	MinVersion               string      `yaml:"minVersion" enum:"VersionTLS10|VersionTLS11|VersionTLS12|VersionTLS13" doc:"Lowest version spoken."`
	MaxVersion               string      `yaml:"maxVersion" enum:"VersionTLS10|VersionTLS11|VersionTLS12|VersionTLS13" doc:"Highest version spoken; without the key, the highest there is."`
	CipherSuites             []string    `yaml:"cipherSuites" doc:"Cipher suites up to TLS 1.2, by their IANA names."`
	CurvePreferences         []string    `yaml:"curvePreferences" doc:"Key exchanges: X25519MLKEM768, X25519, CurveP256, CurveP384, CurveP521."`
	ClientAuth               *ClientAuth `yaml:"clientAuth" doc:"Certificates asked of clients."`
	SniStrict                bool        `yaml:"sniStrict" doc:"Refuse clients whose name no certificate serves, and those that name none."`
	ALPNProtocols            []string    `yaml:"alpnProtocols" doc:"Application protocols offered, best first."`
	DisableSessionTickets    bool        `yaml:"disableSessionTickets" doc:"Do not let clients resume a session by a ticket (RFC 5077)."`
	PreferServerCipherSuites bool        `yaml:"preferServerCipherSuites" doc:"Accepted for Traefik's sake and without effect: the order is weir's, by what both sides' processors do well."`
}

func (o *TLSOptions) setDefaults() { o.MinVersion = "VersionTLS12" }

// ClientAuth says whether clients must show a certificate, and whose.
type ClientAuth struct {
	CAFiles        []string `yaml:"caFiles" doc:"PEM files with the authorities that sign client certificates."`
	ClientAuthType string   `yaml:"clientAuthType" enum:"NoClientCert|RequestClientCert|RequireAnyClientCert|VerifyClientCertIfGiven|RequireAndVerifyClientCert" doc:"What is asked of the client; without the key RequireAndVerifyClientCert where there are caFiles."`
}

// settle fills in what depends on other keys, once those are known.
func (a *ClientAuth) settle() {
	switch {
	case a.ClientAuthType != "":
	case len(a.CAFiles) > 0:
		a.ClientAuthType = "RequireAndVerifyClientCert"
	default:
		a.ClientAuthType = "NoClientCert"
	}
}
