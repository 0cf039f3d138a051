package apicall_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// clientCert makes a self-signed client certificate and writes it and its key.
func clientCert(t *testing.T) (cert *x509.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pemFile(t, "CERTIFICATE", der), pemFile(t, "PRIVATE KEY", keyDER)
}

func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTLS_AuthorityAndClientCertificate(t *testing.T) {
	client, certFile, keyFile := clientCert(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	clients := x509.NewCertPool()
	clients.AddCert(client)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	s.StartTLS()
	t.Cleanup(s.Close)
	caFile := pemFile(t, "CERTIFICATE", s.Certificate().Raw)

	out := call(t, value.MapOf("url", s.URL, "ca_file", caFile, "client_cert", certFile, "client_key", keyFile))
	if out.Err != nil || string(out.Value) != `"shop"` {
		t.Errorf("with both: %v %s", out.Err, out.Value)
	}
	out = call(t, value.MapOf("url", s.URL, "client_cert", certFile, "client_key", keyFile, "retry_count", int64(1)))
	if out.Err == nil || out.Err.Class != "tls" || out.Err.Retryable || !strings.HasPrefix(out.Err.Message, "TLS: ") {
		t.Errorf("an unknown authority: %+v", out.Err)
	}
	// In TLS 1.3 the server's refusal follows the handshake, and the reset of
	// the connection may overtake it.
	out = call(t, value.MapOf("url", s.URL, "ca_file", caFile))
	if out.Err == nil || out.Err.Class != "tls" && out.Err.Class != "closed" {
		t.Errorf("without a client certificate: %+v", out.Err)
	}
	if _, problems := prepare(t, value.MapOf("url", s.URL, "ca_file", keyFile)); len(problems) != 1 || problems[0].Message != "ca_file: "+keyFile+" holds no PEM certificate" {
		t.Errorf("a key as authority: %+v", problems)
	}
}

// TestConnectTimeout_BoundsTheHandshake: a server that takes connections and
// says nothing must not hold a call for its whole timeout.
func TestConnectTimeout_BoundsTheHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := call(t, value.MapOf("url", "https://"+l.Addr().String(), "operation", "post", "connect_timeout", "100ms", "timeout", "1m", "retry_count", int64(1)))
	if out.Err == nil || out.Err.Class != "connect" || !out.Err.Retryable || out.Err.Message != "no connection to "+l.Addr().String()+" within 100ms" {
		t.Errorf("got %+v", out.Err)
	}
}
