package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLS is how a TLS server behaves.
type TLS struct {
	NeedClient bool   // refuses clients without a certificate of its authority
	Name       string // for which the certificate is; default: 127.0.0.1 and localhost
	Expired    bool   // the certificate is too old
	HTTP2      bool   // speaks it, to those who do
}

// NewTLSUpstream starts a server with a certificate of an authority of its own.
// The Upstream's fields name the files that a client needs.
func NewTLSUpstream(t testing.TB, conf TLS) *Upstream {
	t.Helper()
	u := newUpstream(t)
	ca := newAuthority(t)
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: "upstream"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
	}
	if conf.Name != "" {
		server.IPAddresses, server.DNSNames = nil, []string{conf.Name}
	}
	if conf.Expired {
		server.NotBefore, server.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	pair := ca.issue(t, server)
	u.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if conf.NeedClient {
		u.TLS.ClientAuth, u.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		u.TLS.ClientCAs.AddCert(ca.cert)
	}
	client := ca.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	must(t, err)
	dir := t.TempDir()
	u.CAFile = writePEM(t, dir, "ca.pem", "CERTIFICATE", ca.cert.Raw)
	u.ClientCert = writePEM(t, dir, "client.pem", "CERTIFICATE", client.Certificate[0])
	u.ClientKey = writePEM(t, dir, "client.key", "PRIVATE KEY", key)
	u.EnableHTTP2 = conf.HTTP2
	u.StartTLS()
	return u
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "testkit authority"}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-72 * time.Hour), NotAfter: time.Now().Add(72 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key}
}

func (a *authority) issue(t testing.TB, template *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template.SerialNumber, template.KeyUsage = big.NewInt(time.Now().UnixNano()), x509.KeyUsageDigitalSignature
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func writePEM(t testing.TB, dir, name, kind string, der []byte) string {
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}
