package config_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/internal/testcert"
)

// authority makes an authority and a certificate that it has signed.
func authority(t *testing.T, dir, name string) (*testcert.Authority, testcert.Certificate) {
	t.Helper()
	ca, err := testcert.New(dir, name+"-ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca, cert
}

func TestSecurityConnects(t *testing.T) {
	dir := t.TempDir()
	ca, cert := authority(t, dir, "broker")
	otherCA, _ := authority(t, dir, "other")
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert.TLS}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool}),
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
		{name: "plain", security: config.Security{CAFile: ca.File, Mechanism: "PLAIN", Username: "starplan", Password: "s3cret"}},
		{name: "password from a file", security: config.Security{CAFile: ca.File, Mechanism: "PLAIN", Username: "starplan", PasswordFile: secretFile}},
		{name: "scram 256", security: config.Security{CAFile: ca.File, Mechanism: "SCRAM-SHA-256", Username: "starplan", Password: "s3cret"}},
		{name: "scram 512", security: config.Security{CAFile: ca.File, Mechanism: "SCRAM-SHA-512", Username: "starplan", Password: "s3cret"}},
		{name: "client certificate", security: config.Security{CAFile: ca.File, CertFile: cert.CertFile, KeyFile: cert.KeyFile, Mechanism: "PLAIN", Username: "starplan", Password: "s3cret"}},
		{name: "wrong password", security: config.Security{CAFile: ca.File, Mechanism: "PLAIN", Username: "starplan", Password: "guess"}, want: "EOF"}, // A real broker says why; kfake hangs up.
		{name: "wrong authority", security: config.Security{CAFile: otherCA.File, Mechanism: "PLAIN", Username: "starplan", Password: "s3cret"}, want: "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.security.TLS = "false"
			settings, err := test.security.Resolve()
			if err != nil {
				t.Fatal(err)
			}
			client, err := kgo.NewClient(append(settings.Options(), kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RequestRetries(1))...)
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
	_, cert := authority(t, dir, "broker")
	empty, encrypted := filepath.Join(dir, "empty"), filepath.Join(dir, "encrypted")
	for file, text := range map[string]string{empty: "", encrypted: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const url = "https://idp.example.com/token"
	const badURL = "KAFKA_SASL_TOKEN_URL: want the URL of a token endpoint, such as https://idp.example.com/oauth2/token, without a user"
	bearer := func(change func(*config.Security)) config.Security {
		s := config.Security{Mechanism: "OAUTHBEARER", TokenURL: url, ClientID: "c", ClientSecret: "x"}
		change(&s)
		return s
	}
	for _, test := range []struct {
		name     string
		security config.Security
		want     []string
	}{
		{"flag", config.Security{TLS: "maybe"}, []string{`KAFKA_TLS_ENABLED: want true or false, got "maybe"`}},
		{"authority missing", config.Security{CAFile: dir + "/none"}, []string{"KAFKA_TLS_CA_FILE: open " + dir + "/none: no such file or directory"}},
		{"authority empty", config.Security{CAFile: empty}, []string{"KAFKA_TLS_CA_FILE: " + empty + ": want PEM certificates, found none"}},
		{"key missing", config.Security{CertFile: cert.CertFile}, []string{"KAFKA_TLS_KEY_FILE: missing; the certificate of KAFKA_TLS_CERT_FILE needs its key"}},
		{"certificate missing", config.Security{KeyFile: cert.KeyFile}, []string{"KAFKA_TLS_CERT_FILE: missing; the key of KAFKA_TLS_KEY_FILE needs its certificate"}},
		{"no key", config.Security{CertFile: cert.CertFile, KeyFile: dir + "/none"}, []string{"KAFKA_TLS_KEY_FILE: open " + dir + "/none: no such file or directory"}},
		{"no certificate", config.Security{CertFile: dir + "/none", KeyFile: dir + "/none"}, []string{"KAFKA_TLS_CERT_FILE: open " + dir + "/none: no such file or directory"}},
		{"key with a password", config.Security{CertFile: cert.CertFile, KeyFile: encrypted}, []string{"KAFKA_TLS_KEY_FILE: " + encrypted + ": want a key without a password, got an encrypted one"}},
		{"mechanism", config.Security{Mechanism: "GSSAPI"}, []string{`KAFKA_SASL_MECHANISM: want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, got "GSSAPI"`}},
		{"no mechanism", config.Security{Password: "x", TokenURL: url}, []string{"KAFKA_SASL_MECHANISM: missing; want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER for KAFKA_SASL_PASSWORD, KAFKA_SASL_TOKEN_URL"}},
		{"no user", config.Security{Mechanism: "PLAIN", Password: "x"}, []string{"KAFKA_SASL_USERNAME: missing; PLAIN needs it"}},
		{"no password", config.Security{Mechanism: "PLAIN", Username: "u"}, []string{"KAFKA_SASL_PASSWORD: missing; PLAIN needs it, or KAFKA_SASL_PASSWORD_FILE"}},
		{"two passwords", config.Security{Mechanism: "PLAIN", Username: "u", Password: "x", PasswordFile: empty}, []string{"KAFKA_SASL_PASSWORD, KAFKA_SASL_PASSWORD_FILE: want one of them, got both"}},
		{"empty password file", config.Security{Mechanism: "PLAIN", Username: "u", PasswordFile: empty}, []string{"KAFKA_SASL_PASSWORD_FILE: " + empty + ": want a secret, the file is empty"}},
		{"password and token", config.Security{Mechanism: "PLAIN", Username: "u", Password: "x", TokenFile: empty, Scopes: "a"}, []string{
			"KAFKA_SASL_TOKEN_FILE: PLAIN does not use it; unset it, or correct KAFKA_SASL_MECHANISM",
			"KAFKA_SASL_SCOPES: PLAIN does not use it; unset it, or correct KAFKA_SASL_MECHANISM",
		}},
		{"no token", config.Security{Mechanism: "OAUTHBEARER"}, []string{"KAFKA_SASL_TOKEN_URL: missing; OAUTHBEARER needs it with KAFKA_SASL_CLIENT_ID and KAFKA_SASL_CLIENT_SECRET, or KAFKA_SASL_TOKEN_FILE"}},
		{"empty token file", config.Security{Mechanism: "OAUTHBEARER", TokenFile: empty}, []string{"KAFKA_SASL_TOKEN_FILE: " + empty + ": want a secret, the file is empty"}},
		{"file and endpoint", bearer(func(s *config.Security) { s.TokenFile = empty }), []string{"KAFKA_SASL_TOKEN_FILE: want it alone, or KAFKA_SASL_TOKEN_URL, KAFKA_SASL_CLIENT_ID, KAFKA_SASL_CLIENT_SECRET without it"}},
		{"token and password", bearer(func(s *config.Security) { s.Username, s.Password = "u", "x" }), []string{
			"KAFKA_SASL_USERNAME: OAUTHBEARER does not use it; unset it, or correct KAFKA_SASL_MECHANISM",
			"KAFKA_SASL_PASSWORD: OAUTHBEARER does not use it; unset it, or correct KAFKA_SASL_MECHANISM",
		}},
		{"half of the credentials", config.Security{Mechanism: "OAUTHBEARER", Scopes: "kafka"}, []string{
			"KAFKA_SASL_TOKEN_URL: missing; client credentials need it",
			"KAFKA_SASL_CLIENT_ID: missing; client credentials need it",
			"KAFKA_SASL_CLIENT_SECRET: missing; OAUTHBEARER needs it, or KAFKA_SASL_CLIENT_SECRET_FILE",
		}},
		{"two secrets", bearer(func(s *config.Security) { s.ClientSecretFile = empty }), []string{"KAFKA_SASL_CLIENT_SECRET, KAFKA_SASL_CLIENT_SECRET_FILE: want one of them, got both"}},
		{"empty secret file", bearer(func(s *config.Security) { s.ClientSecret, s.ClientSecretFile = "", empty }), []string{"KAFKA_SASL_CLIENT_SECRET_FILE: " + empty + ": want a secret, the file is empty"}},
		{"endpoint's authority", bearer(func(s *config.Security) { s.TokenCAFile = empty }), []string{"KAFKA_SASL_TOKEN_CA_FILE: " + empty + ": want PEM certificates, found none"}},
		{"no URL", bearer(func(s *config.Security) { s.TokenURL = "idp.example.com" }), []string{badURL}},
		{"URL without a host", bearer(func(s *config.Security) { s.TokenURL = "https:///token" }), []string{badURL}},
		{"URL with a password", bearer(func(s *config.Security) { s.TokenURL = "https://c:hidden@idp.example.com/token" }), []string{badURL}},
		{"everything at once", config.Security{TLS: "maybe", CAFile: empty, KeyFile: empty, Mechanism: "PLAIN", TokenURL: url}, []string{
			`KAFKA_TLS_ENABLED: want true or false, got "maybe"`,
			"KAFKA_TLS_CA_FILE: " + empty + ": want PEM certificates, found none",
			"KAFKA_TLS_CERT_FILE: missing; the key of KAFKA_TLS_KEY_FILE needs its certificate",
			"KAFKA_SASL_TOKEN_URL: PLAIN does not use it; unset it, or correct KAFKA_SASL_MECHANISM",
			"KAFKA_SASL_USERNAME: missing; PLAIN needs it",
			"KAFKA_SASL_PASSWORD: missing; PLAIN needs it, or KAFKA_SASL_PASSWORD_FILE",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.security.TLS == "" {
				test.security.TLS = "false"
			}
			_, err := test.security.Resolve()
			if err == nil {
				t.Fatalf("Resolve = nil, want\n%s", strings.Join(test.want, "\n"))
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("Resolve differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSecretHides: whatever a secret is given to, it does not show itself.
func TestSecretHides(t *testing.T) {
	s := config.Security{Password: "hidden", ClientSecret: "hidden"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "security", s, "password", s.Password)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(s, s.Password), fmt.Sprintf("%v %+v %#v %q %s %x", s, s, s, s.Password, s.Password, s.Password), string(text), log.String(),
	} {
		if strings.Contains(shown, "hidden") || strings.Contains(shown, "68696464656e") || !strings.Contains(shown, "(secret)") {
			t.Errorf("%s\nwant (secret) in the place of secrets", shown)
		}
	}
}

// TestCertificateChanges: the certificate's files are read for each connection.
func TestCertificateChanges(t *testing.T) {
	dir := t.TempDir()
	ca, cert := authority(t, dir, "client")
	s := config.Security{TLS: "false", CertFile: cert.CertFile, KeyFile: cert.KeyFile}
	settings, err := s.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	if settings.Certificate != "CN=client" {
		t.Errorf("certificate of %s, want CN=client", settings.Certificate)
	}
	serial := func() string {
		cert, err := settings.TLS.GetClientCertificate(&tls.CertificateRequestInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf.SerialNumber.String()
	}
	before := serial()
	if _, err := ca.Sign("client"); err != nil {
		t.Fatal(err)
	}
	if after := serial(); after == before {
		t.Errorf("the certificate is %s before and after the files changed", after)
	}
	if err := os.Remove(cert.KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := settings.TLS.GetClientCertificate(&tls.CertificateRequestInfo{}); err == nil || !strings.Contains(err.Error(), "KAFKA_TLS_KEY_FILE") {
		t.Errorf("certificate without its key = %v, want an error that names KAFKA_TLS_KEY_FILE", err)
	}
}

// TestBearer: a token is asked for with what was configured, and a broker's refusal
// is one like that of other mechanisms.
func TestBearer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("cl1ent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": strings.Join([]string{id, password, r.FormValue("scope")}, "/")})
	}))
	t.Cleanup(endpoint.Close)
	for name, s := range map[string]config.Security{
		"endpoint": {TokenURL: endpoint.URL, ClientID: "c", ClientSecretFile: file, Scopes: "read, write"},
		"file":     {TokenFile: file},
	} {
		t.Run(name, func(t *testing.T) {
			s.TLS, s.Mechanism = "false", "OAUTHBEARER"
			settings, err := s.Resolve()
			if err != nil {
				t.Fatal(err)
			}
			session, first, err := settings.SASL.Authenticate(t.Context(), "broker:9092")
			if err != nil {
				t.Fatal(err)
			}
			want := "n,,\x01auth=Bearer c/cl1ent/read write\x01\x01"
			if name == "file" {
				want = "n,,\x01auth=Bearer cl1ent\x01\x01"
			}
			if string(first) != want {
				t.Errorf("the client begins with %q, want %q", first, want)
			}
			if done, _, err := session.Challenge(nil); !done || err != nil {
				t.Errorf("Challenge without data = %v, %v, want that all is done", done, err)
			}
			_, _, err = session.Challenge([]byte(`{"status":"invalid_token"}`))
			if !errors.Is(err, kerr.SaslAuthenticationFailed) || !strings.Contains(err.Error(), "invalid_token") {
				t.Errorf("Challenge of a refusal = %v, want SASL_AUTHENTICATION_FAILED with what the broker says", err)
			}
		})
	}
}
