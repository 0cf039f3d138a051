package engine

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParsePrivateKey reads an RSA, EC or Ed25519 key from PEM text (PKCS #8, PKCS #1
// or SEC 1). Line breaks that were written as \n are read as such. Errors say
// what is wrong without quoting it.
func ParsePrivateKey(text string) (crypto.Signer, error) {
	block, err := onePEM(text)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("is encrypted; store it as: openssl pkey -in key.pem")
	default:
		return nil, fmt.Errorf("is a %s, want a private key as PEM", strings.ToLower(block.Type))
	}
	if block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted; store it as: openssl pkey -in key.pem")
	}
	if err != nil {
		return nil, errors.New("holds no key that can be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok || SigningAlgs(signer) == nil {
		return nil, errors.New("is a key that signs nothing here: want RSA, EC (P-256, P-384, P-521) or Ed25519")
	}
	return signer, nil
}

// ParseCertificate reads one certificate from PEM text.
func ParseCertificate(text string) (*x509.Certificate, error) {
	block, err := onePEM(text)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if block.Type != "CERTIFICATE" || err != nil {
		return nil, errors.New("is no certificate as PEM")
	}
	return cert, nil
}

func onePEM(text string) (*pem.Block, error) {
	block, _ := pem.Decode([]byte(unfolded(text)))
	if block == nil {
		return nil, errors.New("is not PEM text (-----BEGIN ... and its lines)")
	}
	return block, nil
}

// unfolded is PEM text with line breaks where they were written as \n.
func unfolded(text string) string { return strings.ReplaceAll(text, `\n`, "\n") }

// SigningAlgs are the algorithms (RFC 7518, 3.1; RFC 8037) by which a key can
// sign a JWT, the usual one first; nil: none.
func SigningAlgs(key crypto.Signer) []string {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}
		case 384:
			return []string{"ES384"}
		case 521:
			return []string{"ES512"}
		}
	case ed25519.PrivateKey:
		return []string{"EdDSA"}
	}
	return nil
}

// sameKey reports whether a certificate is of a key.
func sameKey(signer crypto.Signer, cert *x509.Certificate) bool {
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// ClientCertificate is the certificate that a credential shows in TLS, with what
// else of its chain the field certificate holds; nil: it has none.
func (c Credential) ClientCertificate() (*tls.Certificate, error) {
	cert, key := c.Text("certificate"), c.Text("private_key")
	if cert == "" || key == "" {
		return nil, nil
	}
	pair, err := tls.X509KeyPair([]byte(unfolded(cert)), []byte(unfolded(key)))
	if err != nil {
		return nil, errors.New("certificate and private_key are no pair")
	}
	return &pair, nil
}
