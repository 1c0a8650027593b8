package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// certificate is what a balancer shows to clients that speak TLS: P-256,
// signed by itself. The paths are empty where a shape has no TLS.
type certificate struct {
	Cert   string // path of the certificate, PEM
	Key    string // path of its key, PEM
	Bundle string // path of both in one file
	der    []byte
}

// makeCertificate writes a certificate for a host name into dir.
func makeCertificate(dir, name string) (certificate, error) {
	c := certificate{
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Bundle: filepath.Join(dir, "bundle.pem"),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, fmt.Errorf("make a key: %w", err)
	}
	now := time.Now()
	asked := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	c.der, err = x509.CreateCertificate(rand.Reader, asked, asked, key.Public(), key)
	if err != nil {
		return c, fmt.Errorf("make a certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return c, fmt.Errorf("write a key: %w", err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	bundle := slices.Concat(cert, private)
	for path, text := range map[string][]byte{c.Cert: cert, c.Key: private, c.Bundle: bundle} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return c, fmt.Errorf("write a certificate: %w", err)
		}
	}
	return c, nil
}
