package config

// ContentType gives responses that have none a Content-Type.
type ContentType struct {
	AutoDetect bool `yaml:"autoDetect" doc:"Accepted for Traefik's sake; false makes the middleware do nothing."`
}

func (t *ContentType) setDefaults() { t.AutoDetect = true }

// PassTLSClientCert tells servers about the certificate of the client.
type PassTLSClientCert struct {
	PEM  bool               `yaml:"pem" doc:"Send the certificates in X-Forwarded-Tls-Client-Cert, as PEM without line ends and borders, with commas between them."`
	Info *TLSClientCertInfo `yaml:"info" doc:"What of them to send in X-Forwarded-Tls-Client-Cert-Info, escaped like a query."`
}

// TLSClientCertInfo are parts of a certificate.
type TLSClientCertInfo struct {
	NotAfter     bool                  `yaml:"notAfter" doc:"Its end, in seconds since 1970."`
	NotBefore    bool                  `yaml:"notBefore" doc:"Its beginning, in seconds since 1970."`
	Sans         bool                  `yaml:"sans" doc:"Its names: those of the DNS, mail addresses, addresses and URIs."`
	SerialNumber bool                  `yaml:"serialNumber" doc:"Its serial number."`
	Subject      *TLSClientCertSubject `yaml:"subject" doc:"Whose it is."`
	Issuer       *TLSClientCertIssuer  `yaml:"issuer" doc:"Who has signed it."`
}

// TLSClientCertIssuer are parts of the name of an issuer.
type TLSClientCertIssuer struct {
	CommonName      bool `yaml:"commonName" doc:"Its common name, CN."`
	Country         bool `yaml:"country" doc:"Its country, C."`
	DomainComponent bool `yaml:"domainComponent" doc:"Its domain components, DC."`
	Locality        bool `yaml:"locality" doc:"Its locality, L."`
	Organization    bool `yaml:"organization" doc:"Its organization, O."`
	Province        bool `yaml:"province" doc:"Its province, ST."`
	SerialNumber    bool `yaml:"serialNumber" doc:"Its serial number, SN."`
}

// TLSClientCertSubject are parts of the name of a subject.
type TLSClientCertSubject struct {
	CommonName         bool `yaml:"commonName" doc:"Its common name, CN."`
	Country            bool `yaml:"country" doc:"Its country, C."`
	DomainComponent    bool `yaml:"domainComponent" doc:"Its domain components, DC."`
	Locality           bool `yaml:"locality" doc:"Its locality, L."`
	Organization       bool `yaml:"organization" doc:"Its organization, O."`
	OrganizationalUnit bool `yaml:"organizationalUnit" doc:"Its organizational unit, OU."`
	Province           bool `yaml:"province" doc:"Its province, ST."`
	SerialNumber       bool `yaml:"serialNumber" doc:"Its serial number, SN."`
}

// RequestID gives every request a name of its own.
type RequestID struct {
	HeaderName  string `yaml:"headerName" doc:"Header of request and response with the name."`
	TrustClient bool   `yaml:"trustClient" doc:"Keep what the client has sent there, if it has 1 to 128 letters, digits and signs of - _ . : / + = @."`
}

func (r *RequestID) setDefaults() { r.HeaderName = "X-Request-Id" }
