package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certify writes a certificate of the given serial number, and its key.
func certify(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTLS_OffLoopback serves on every address: with TLS 1.2 or later, with a
// token only, and with a certificate that is renewed without a restart.
func TestTLS_OffLoopback(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, cert, key, 1)
	s := door(t, &double{}, func(c *Config) { c.Listen, c.Cert, c.Key = "0.0.0.0:0", cert, key })
	_, port, err := net.SplitHostPort(s.conns.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	at := "127.0.0.1:" + port
	get := func(headers ...string) *http.Response {
		t.Helper()
		c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
		req, err := http.NewRequest("GET", "https://"+at+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	if res := get(); res.StatusCode != 401 || res.Header.Get("Strict-Transport-Security") == "" || res.ProtoMajor != 2 {
		t.Errorf("without a token: %d %s %v", res.StatusCode, res.Proto, res.Header)
	}
	res := get("Authorization", "Bearer viewer")
	if res.StatusCode != 200 || res.TLS.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Errorf("with one: %d", res.StatusCode)
	}
	if _, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if plain, err := http.Get("http://" + at + "/healthz"); err == nil && plain.StatusCode == 200 {
		t.Error("it is served in the clear")
	}

	if err := os.WriteFile(cert, []byte("half a renewal"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(2 * time.Second)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	if res := get("Authorization", "Bearer viewer"); res.TLS.PeerCertificates[0].SerialNumber.Int64() != 1 {
		t.Error("half a renewal is used")
	}
	certify(t, cert, key, 2)
	later = later.Add(2 * time.Second)
	if err := os.Chtimes(key, later, later); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		return get("Authorization", "Bearer viewer").TLS.PeerCertificates[0].SerialNumber.Int64() == 2
	})
}

// TestTLS_SlowHandshakesEnd: who does not finish one is cut off.
func TestTLS_SlowHandshakesEnd(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, cert, key, 1)
	s := door(t, &double{}, func(c *Config) { c.Cert, c.Key, c.headerTime = cert, key, 200*time.Millisecond })
	c, err := net.Dial("tcp", s.conns.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("got %v", err)
	}
	waitFor(t, func() bool { return s.conns.count() == 0 })
}

// TestURL_OfAllAddresses: who is told the door's address reaches it there, by a
// name that is served.
func TestURL_OfAllAddresses(t *testing.T) {
	for listen, want := range map[string]string{"0.0.0.0:8443": "localhost:8443", "[::]:8443": "localhost:8443", "127.0.0.1:8080": "127.0.0.1:8080", "[::1]:1": "[::1]:1", "192.0.2.1:8443": "192.0.2.1:8443"} {
		at, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := reached(at); got != want {
			t.Errorf("%s is reached at %s, want %s", listen, got, want)
		}
	}
}
