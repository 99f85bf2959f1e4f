package connection_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	saslOAuth "github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"starplan/internal/connection"
	"starplan/internal/oauth"
	"starplan/internal/testcert"
)

// noSASL makes kfake answer as Apache Kafka does at a listener without SASL.
var noSASL = kfake.Fault{Keys: []kmsg.Key{kmsg.SASLHandshake}, TopLevel: true, Err: kerr.IllegalSaslState, Count: -1}

// gss is a mechanism that nobody here offers.
type gss struct{ sasl.Mechanism }

func (gss) Name() string { return "GSSAPI" }

func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// strict stands before a broker that speaks in the clear, and hangs up on requests
// that are too large to be any, as Apache Kafka does and kfake does not. The begin
// of a TLS handshake is one.
func strict(t *testing.T, broker string) string {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil || binary.BigEndian.Uint32(size[:]) > 100<<20 {
			return
		}
		to, err := net.Dial("tcp", broker)
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(to, io.MultiReader(bytes.NewReader(size[:]), conn))
			_ = to.Close()
		}()
		_, _ = io.Copy(conn, to)
	})
}

// listen serves connections one after the other, closing each.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

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

// refusing makes a broker answer authentication as Apache Kafka does with wrong
// credentials; kfake only hangs up.
func refusing(t *testing.T, c *kfake.Cluster) {
	t.Helper()
	c.ControlKey(kmsg.SASLAuthenticate.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode, resp.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("Authentication failed: Invalid username or password")
		return resp, nil, true
	})
}

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	ca, cert := authority(t, dir, "broker")
	otherCA, otherCert := authority(t, dir, "other")
	encrypted := &tls.Config{Certificates: []tls.Certificate{cert.TLS}}
	trusting := func(ca *testcert.Authority) *tls.Config { return &tls.Config{RootCAs: ca.Pool} }
	serverTLS := fake(t, kfake.TLS(encrypted), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
	mutual := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert.TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool}))
	open := fake(t)
	closed := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
	wrong := fake(t, kfake.EnableSASL())
	refusing(t, wrong)
	without := fake(t)
	without.Fault(noSASL)
	addr := func(c *kfake.Cluster) string { return c.ListenAddrs()[0] }
	password := func(mechanism sasl.Mechanism) connection.Settings {
		return connection.Settings{SASL: mechanism, User: "u"}
	}
	plainAuth := plain.Auth{User: "u", Pass: "hidden"}.AsMechanism()

	mistakes := []struct {
		name     string
		broker   string
		settings connection.Settings
		want     string // with BROKER for the address
	}{
		{"unknown authority", addr(serverTLS), connection.Settings{TLS: &tls.Config{RootCAs: x509.NewCertPool()}},
			`the broker's certificate is signed by "CN=broker-ca", which this system does not trust; set KAFKA_TLS_CA_FILE to a file with that authority's certificate`},
		{"wrong authority", addr(serverTLS), connection.Settings{TLS: trusting(otherCA), CAFile: "ca.pem"},
			`the broker's certificate is signed by "CN=broker-ca", which is not in KAFKA_TLS_CA_FILE ca.pem; put that authority's certificate there`},
		{"wrong name", addr(serverTLS), connection.Settings{TLS: &tls.Config{RootCAs: ca.Pool, ServerName: "kafka.example"}},
			"the broker's certificate is for localhost, 127.0.0.1 and not for kafka.example; set KAFKA_TLS_SERVER_NAME to a name that it has, or have one made for this name"},
		{"no client certificate", addr(mutual), connection.Settings{TLS: trusting(ca)},
			"the broker wants a client certificate (tls: certificate required); set KAFKA_TLS_CERT_FILE and KAFKA_TLS_KEY_FILE"},
		{"wrong client certificate", addr(mutual), connection.Settings{TLS: &tls.Config{RootCAs: ca.Pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &otherCert.TLS, nil
		}}, Certificate: "CN=other"},
			`the broker does not take the client certificate "CN=other" of KAFKA_TLS_CERT_FILE (tls: unknown certificate authority); have it signed by an authority that the broker trusts`},
		{"other versions of TLS", addr(fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert.TLS}, MaxVersion: tls.VersionTLS12}))),
			connection.Settings{TLS: &tls.Config{RootCAs: ca.Pool, MinVersion: tls.VersionTLS13}},
			"the broker breaks off the TLS handshake (tls: protocol version not supported); see its log, and whether it takes TLS 1.2 or 1.3"},
		{"TLS where there is none", strict(t, addr(open)), connection.Settings{TLS: trusting(ca)},
			"broker BROKER does not speak TLS at this port; use the port of its TLS listener, or unset the variables KAFKA_TLS_"},
		{"no TLS where there is some", addr(serverTLS), connection.Settings{},
			"broker BROKER speaks TLS at this port and TLS is not set; set KAFKA_TLS_ENABLED=true, or KAFKA_TLS_CA_FILE to the authority that signed its certificate"},
		{"no SASL where there is some", addr(closed), connection.Settings{},
			"broker BROKER wants SASL and none is set; set KAFKA_SASL_MECHANISM to one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and the credentials"},
		{"no SASL over TLS", addr(serverTLS), connection.Settings{TLS: trusting(ca)},
			"broker BROKER wants SASL and none is set; set KAFKA_SASL_MECHANISM to one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and the credentials"},
		{"SASL where there is none", addr(without), password(plainAuth),
			"the broker takes no SASL here; unset KAFKA_SASL_MECHANISM, or use the port of a listener with SASL"},
		{"mechanism", addr(closed), password(gss{plainAuth}),
			"broker BROKER does not offer GSSAPI, but PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; set KAFKA_SASL_MECHANISM to one of these, or use the port of another listener"},
		{"password", addr(wrong), password(plainAuth),
			`the broker refuses user "u" with PLAIN: Authentication failed: Invalid username or password; correct KAFKA_SASL_USERNAME or the password, or create the user`},
		{"password of SCRAM", addr(wrong), password(scram.Auth{User: "u", Pass: "hidden"}.AsSha256Mechanism()),
			`the broker refuses user "u" with SCRAM-SHA-256: Authentication failed: Invalid username or password; correct KAFKA_SASL_USERNAME or the password, or create the user`},
		{"nobody there", "127.0.0.1:1", connection.Settings{}, "127.0.0.1:1: connect: connection refused; start the broker, or correct KAFKA_BOOTSTRAP_SERVERS or what the brokers advertise"},
	}
	for _, test := range mistakes {
		t.Run(test.name, func(t *testing.T) {
			got := test.settings.Explain(t.Context(), []string{test.broker}, ping(t, test.broker, test.settings))
			want := strings.ReplaceAll(test.want, "BROKER", test.broker)
			var own *connection.Error
			if got == nil || got.Error() != want || !errors.As(got, &own) || own.Err == nil {
				t.Errorf("Explain =\n%v\nwant\n%s", got, want)
			}
		})
	}
}

// ping gives what a client meets that connects with the settings.
func ping(t *testing.T, broker string, s connection.Settings) error {
	t.Helper()
	cl, err := kgo.NewClient(append(s.Options(), kgo.SeedBrokers(broker), kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = cl.Ping(ctx)
	if err == nil {
		t.Fatal("Ping = nil, want an error")
	}
	return err
}

// TestExplainOldCertificate looks at a certificate two hours from now.
func TestExplainOldCertificate(t *testing.T) {
	ca, cert := authority(t, t.TempDir(), "broker")
	broker := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert.TLS}})).ListenAddrs()[0]
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	s := connection.Settings{TLS: &tls.Config{RootCAs: ca.Pool, Time: later}}
	got := s.Explain(t.Context(), []string{broker}, ping(t, broker, s)).Error()
	const form = "2006-01-02T15:04:05Z"
	want := fmt.Sprintf(`the broker's certificate "CN=broker" is good from %s to %s only, and it is `, cert.TLS.Leaf.NotBefore.Format(form), cert.TLS.Leaf.NotAfter.Format(form))
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "now; renew it, or set the clock right") {
		t.Errorf("Explain = %s\nwant %s", got, want)
	}
}

// TestExplainToken is for what only OAUTHBEARER can meet.
func TestExplainToken(t *testing.T) {
	token := func(context.Context) (oauth.Token, error) { return oauth.Token{Value: "hidden"}, nil }
	s := connection.Settings{SASL: saslOAuth.Auth{Token: "hidden"}.AsMechanism(), Token: token}
	refused := fmt.Errorf("%w: %s", kerr.SaslAuthenticationFailed, `{"status":"invalid_token"}`)
	for endpoint, want := range map[string]string{
		"":                  `the broker refuses the token of KAFKA_SASL_TOKEN_FILE: {"status":"invalid_token"}; see its log, and whether the token has expired`,
		"https://idp/token": `the broker refuses the token that https://idp/token gave: {"status":"invalid_token"}; see its log, and whether issuer, audience, scopes and clocks agree`,
	} {
		s.TokenEndpoint = endpoint
		if got := s.Explain(t.Context(), nil, refused); got.Error() != want || !errors.Is(got, kerr.SaslAuthenticationFailed) {
			t.Errorf("Explain = %v\nwant %s", got, want)
		}
	}
}

// TestExplainExpired: some brokers take a token that has expired, and hang up.
func TestExplainExpired(t *testing.T) {
	expires := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := connection.Settings{SASL: saslOAuth.Auth{Token: "hidden"}.AsMechanism(), Token: func(context.Context) (oauth.Token, error) {
		return oauth.Token{Value: "hidden", Expires: expires}, nil
	}}
	for _, err := range []error{io.EOF, kerr.SaslAuthenticationFailed} {
		if got, want := s.Explain(t.Context(), nil, err), "the token of KAFKA_SASL_TOKEN_FILE expired at 2026-01-02T03:04:05Z, and it is "; !strings.HasPrefix(got.Error(), want) {
			t.Errorf("Explain(%v) = %v, want %s", err, got, want)
		}
	}
	expires = time.Now().Add(time.Hour)
	if got := s.Explain(t.Context(), nil, io.EOF); explained(got) {
		t.Errorf("Explain = %v, want the same error: the token has not expired", got)
	}
}

// explained reports whether a reason was found.
func explained(err error) bool {
	var own *connection.Error
	return errors.As(err, &own)
}

// TestExplainKnowsNothing: an error that tells all that there is to tell stays as it is.
func TestExplainKnowsNothing(t *testing.T) {
	var s connection.Settings
	if err := s.Explain(t.Context(), nil, nil); err != nil {
		t.Errorf("Explain(nil) = %v, want nil", err)
	}
	c := fake(t)
	c.Fault(noSASL)
	broker := c.ListenAddrs()[0]
	for _, err := range []error{kerr.TopicAuthorizationFailed, io.EOF, context.Canceled} {
		if got := s.Explain(t.Context(), []string{broker}, err); explained(got) {
			t.Errorf("Explain(%v) = %v, want the same", err, got)
		}
	}
}

// TestExplainNeverHangs: whatever listens there, an explanation comes in time.
func TestExplainNeverHangs(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"silent":   func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"babbling": func(conn net.Conn) { _, _ = conn.Write(bytes.Repeat([]byte("babble"), 1000)) },
	} {
		for _, s := range []connection.Settings{{}, {TLS: &tls.Config{}}} {
			t.Run(name+" "+s.String(), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				if got := s.Explain(t.Context(), []string{listen(t, serve)}, io.EOF); explained(got) {
					t.Errorf("Explain = %v, want the same error", got)
				}
				if took := time.Since(began); took > 8*time.Second {
					t.Errorf("it took %v, want less than 8s", took)
				}
			})
		}
	}
}

func TestDescribe(t *testing.T) {
	encrypted := &tls.Config{}
	plainAuth := plain.Auth{User: "u", Pass: "hidden"}.AsMechanism()
	bearer := saslOAuth.Auth{Token: "hidden"}.AsMechanism()
	for _, test := range []struct {
		settings                 connection.Settings
		text, principal, inClear string
	}{
		{connection.Settings{}, "no TLS, no SASL", "User:ANONYMOUS", ""},
		{connection.Settings{SASL: plainAuth, User: "u"}, "no TLS, PLAIN as u", "User:u", "the password"},
		{connection.Settings{SASL: scram.Auth{}.AsSha512Mechanism(), User: "u"}, "no TLS, SCRAM-SHA-512 as u", "User:u", ""},
		{connection.Settings{TLS: encrypted, SASL: plainAuth, User: "u"}, "TLS, brokers trusted by the system's authorities, PLAIN as u", "User:u", ""},
		{connection.Settings{TLS: encrypted, CAFile: "ca.pem", Certificate: "CN=c"}, "TLS, brokers trusted by ca.pem, client certificate CN=c, no SASL", "User:CN=c", ""},
		{connection.Settings{SASL: bearer, TokenEndpoint: "https://idp/token"}, "no TLS, OAUTHBEARER with tokens of https://idp/token", "User:NAME", "the token"},
		{connection.Settings{TLS: encrypted, SASL: bearer}, "TLS, brokers trusted by the system's authorities, OAUTHBEARER", "User:NAME", ""},
	} {
		if got := [3]string{test.settings.String(), test.settings.Principal(), test.settings.Clear()}; got != [3]string{test.text, test.principal, test.inClear} {
			t.Errorf("settings are %q, want %q, %q and %q", got, test.text, test.principal, test.inClear)
		}
	}
}
