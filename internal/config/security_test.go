package config_test

import (
	"context"
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
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
)

// certificate makes a self-signed certificate for 127.0.0.1 and writes it, and
// its key, to dir.
func certificate(t *testing.T, dir, name string) (cert tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for path, text := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert, certFile, keyFile
}

func TestSecurityConnects(t *testing.T) {
	dir := t.TempDir()
	cert, certFile, keyFile := certificate(t, dir, "broker")
	_, otherCA, _ := certificate(t, dir, "other")
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}),
		kfake.Superuser("PLAIN", "starplan", "s3cret"),
		kfake.Superuser("SCRAM-SHA-256", "starplan", "s3cret"),
		kfake.Superuser("SCRAM-SHA-512", "starplan", "s3cret"),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)

	for _, test := range []struct {
		name     string
		security config.Security
		want     string // part of the error; empty for none
	}{
		{name: "plain", security: config.Security{CAFile: certFile, Mechanism: "PLAIN", Username: "starplan", Password: "s3cret"}},
		{name: "password from a file", security: config.Security{CAFile: certFile, Mechanism: "PLAIN", Username: "starplan", PasswordFile: secretFile}},
		{name: "scram 256", security: config.Security{CAFile: certFile, Mechanism: "SCRAM-SHA-256", Username: "starplan", Password: "s3cret"}},
		{name: "scram 512", security: config.Security{CAFile: certFile, Mechanism: "SCRAM-SHA-512", Username: "starplan", Password: "s3cret"}},
		{name: "client certificate", security: config.Security{CAFile: certFile, CertFile: certFile, KeyFile: keyFile, Mechanism: "PLAIN", Username: "starplan", Password: "s3cret"}},
		{name: "wrong password", security: config.Security{CAFile: certFile, Mechanism: "PLAIN", Username: "starplan", Password: "guess"}, want: "EOF"}, // A real broker says why; kfake hangs up.
		{name: "wrong authority", security: config.Security{CAFile: otherCA, Mechanism: "PLAIN", Username: "starplan", Password: "s3cret"}, want: "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.security.TLS = "false"
			opts, err := test.security.Resolve()
			if err != nil {
				t.Fatal(err)
			}
			client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RequestRetries(1))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err = client.Ping(ctx)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Ping = %v, want no error", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("Ping = %v, want an error with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "guess") {
				t.Errorf("Ping = %v, which shows the password", err)
			}
		})
	}
}

func TestSecurityMistakes(t *testing.T) {
	dir := t.TempDir()
	_, certFile, _ := certificate(t, dir, "broker")
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		security config.Security
		want     string
	}{
		{"flag", config.Security{TLS: "maybe"}, `KAFKA_TLS_ENABLED: want true or false, got "maybe"`},
		{"authority missing", config.Security{CAFile: dir + "/none"}, "KAFKA_TLS_CA_FILE: open " + dir + "/none: no such file or directory"},
		{"authority empty", config.Security{CAFile: empty}, "KAFKA_TLS_CA_FILE: " + empty + ": want PEM certificates, found none"},
		{"key missing", config.Security{CertFile: certFile}, "KAFKA_TLS_CERT_FILE, KAFKA_TLS_KEY_FILE: want both or neither"},
		{"mechanism", config.Security{Mechanism: "GSSAPI"}, `KAFKA_SASL_MECHANISM: want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, got "GSSAPI"`},
		{"no mechanism", config.Security{Password: "x"}, "KAFKA_SASL_MECHANISM: missing; want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER for the credentials that are set"},
		{"no user", config.Security{Mechanism: "PLAIN", Password: "x"}, "KAFKA_SASL_USERNAME: missing; PLAIN needs it"},
		{"no password", config.Security{Mechanism: "PLAIN", Username: "u"}, "KAFKA_SASL_PASSWORD: missing; PLAIN needs it, or KAFKA_SASL_PASSWORD_FILE"},
		{"two passwords", config.Security{Mechanism: "PLAIN", Username: "u", Password: "x", PasswordFile: empty}, "KAFKA_SASL_PASSWORD, KAFKA_SASL_PASSWORD_FILE: want one of them, got both"},
		{"empty password file", config.Security{Mechanism: "PLAIN", Username: "u", PasswordFile: empty}, "KAFKA_SASL_PASSWORD_FILE: " + empty + ": want a secret, the file is empty"},
		{"no token", config.Security{Mechanism: "OAUTHBEARER"}, "KAFKA_SASL_TOKEN_FILE: missing; OAUTHBEARER needs it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.security.TLS == "" {
				test.security.TLS = "false"
			}
			_, err := test.security.Resolve()
			if err == nil || err.Error() != test.want {
				t.Errorf("Resolve = %v\nwant %s", err, test.want)
			}
		})
	}
}
