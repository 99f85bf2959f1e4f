package connection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/oauth"
)

// read finds the reason in an error alone; empty where it is not in there.
func (s Settings) read(err error) string {
	var token *oauth.Error
	var cert *tls.CertificateVerificationError
	alert, alerted := alertOf(err)
	switch {
	case errors.As(err, &token):
		return token.Error()
	case errors.As(err, &cert):
		return s.untrusted(cert)
	case alerted:
		return s.alerted(alert)
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return s.rejected(err)
	case errors.Is(err, kerr.UnsupportedSaslMechanism) && s.SASL != nil:
		return fmt.Sprintf("the broker does not offer %s here; set KAFKA_SASL_MECHANISM to what it offers, or use its listener for %s", s.SASL.Name(), s.SASL.Name())
	case errors.Is(err, kerr.IllegalSaslState):
		return "the broker takes no SASL here; unset KAFKA_SASL_MECHANISM, or use the port of a listener with SASL"
	default:
		return unreachable(err)
	}
}

// untrusted says why a broker's certificate is refused.
func (s Settings) untrusted(err *tls.CertificateVerificationError) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err.Err, &name):
		return fmt.Sprintf("the broker's certificate is for %s and not for %s; set KAFKA_TLS_SERVER_NAME to a name that it has, or have one made for this name",
			names(name.Certificate), name.Host)
	case errors.As(err.Err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the broker's certificate %s is good from %s to %s only, and it is %s now; renew it, or set the clock right",
			quote(invalid.Cert.Subject.String()), stamp(invalid.Cert.NotBefore), stamp(invalid.Cert.NotAfter), stamp(time.Now()))
	case errors.As(err.Err, &unknown):
		issuer := "an authority"
		if n := len(err.UnverifiedCertificates); n > 0 {
			issuer = quote(err.UnverifiedCertificates[n-1].Issuer.String())
		}
		if s.CAFile == "" {
			return fmt.Sprintf("the broker's certificate is signed by %s, which this system does not trust; set KAFKA_TLS_CA_FILE to a file with that authority's certificate", issuer)
		}
		return fmt.Sprintf("the broker's certificate is signed by %s, which is not in KAFKA_TLS_CA_FILE %s; put that authority's certificate there", issuer, s.CAFile)
	default:
		return fmt.Sprintf("the broker's certificate is refused: %v; correct KAFKA_TLS_CA_FILE, or the certificate", err.Err)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func names(cert *x509.Certificate) string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host at all"
	}
	return strings.Join(names, ", ")
}

// Alerts that a server sends about the client's certificate (RFC 8446, section 6.2).
const (
	alertHandshakeFailure    = 40
	alertBadCertificate      = 42
	alertUnsupported         = 43
	alertRevoked             = 44
	alertExpired             = 45
	alertCertificateUnknown  = 46
	alertUnknownCA           = 48
	alertAccessDenied        = 49
	alertCertificateRequired = 116
)

// alertOf gives the TLS alert that a broker has sent. Its type is known to
// crypto/tls alone, but for its text.
func alertOf(err error) (tls.AlertError, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	for code := range 256 {
		if alert := tls.AlertError(code); alert.Error() == op.Err.Error() {
			return alert, true
		}
	}
	return 0, false
}

// alerted says what a broker means that breaks off a TLS handshake.
func (s Settings) alerted(alert tls.AlertError) string {
	switch alert {
	case alertHandshakeFailure, alertBadCertificate, alertUnsupported, alertRevoked, alertExpired,
		alertCertificateUnknown, alertUnknownCA, alertAccessDenied, alertCertificateRequired:
	default:
		return fmt.Sprintf("the broker breaks off the TLS handshake (%v); see its log, and whether it takes TLS 1.2 or 1.3", alert)
	}
	if s.Certificate == "" {
		return fmt.Sprintf("the broker wants a client certificate (%v); set KAFKA_TLS_CERT_FILE and KAFKA_TLS_KEY_FILE", alert)
	}
	return fmt.Sprintf("the broker does not take the client certificate %s of KAFKA_TLS_CERT_FILE (%v); have it signed by an authority that the broker trusts", quote(s.Certificate), alert)
}

// rejected says whose credentials the broker does not take, and in its own words why.
func (s Settings) rejected(err error) string {
	// franz-go puts the broker's words behind the error of the code.
	said := err.Error()
	if _, words, ok := strings.Cut(said, kerr.SaslAuthenticationFailed.Error()+": "); ok {
		said = words
	}
	switch {
	case s.Token != nil && s.TokenEndpoint != "":
		return fmt.Sprintf("the broker refuses the token that %s gave: %s; see its log, and whether issuer, audience, scopes and clocks agree", s.TokenEndpoint, said)
	case s.Token != nil:
		return fmt.Sprintf("the broker refuses the token of KAFKA_SASL_TOKEN_FILE: %s; see its log, and whether the token has expired", said)
	case s.SASL != nil:
		return fmt.Sprintf("the broker refuses user %s with %s: %s; correct KAFKA_SASL_USERNAME or the password, or create the user", quote(s.User), s.SASL.Name(), said)
	default:
		return ""
	}
}

// expired says that the token has expired, if it has. Some brokers take it all the
// same and then hang up.
func (s Settings) expired(ctx context.Context) string {
	if s.Token == nil || s.TokenEndpoint != "" {
		return "" // What an endpoint gives is good for a while.
	}
	token, err := s.Token(ctx)
	if err != nil || token.Expires.IsZero() || time.Now().Before(token.Expires) {
		return ""
	}
	return fmt.Sprintf("the token of KAFKA_SASL_TOKEN_FILE expired at %s, and it is %s now; whoever writes that file must renew it, or a clock is wrong",
		stamp(token.Expires), stamp(time.Now()))
}

// unreachable is for addresses that nobody answers at.
func unreachable(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("host %s is not known here (%s); correct KAFKA_BOOTSTRAP_SERVERS, or, where it is a name that the brokers advertise, let it be resolved here", dns.Name, dns.Err)
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil && op.Timeout():
		return fmt.Sprintf("%s does not answer; see whether a firewall is in the way, and whether KAFKA_BOOTSTRAP_SERVERS and what the brokers advertise are right", op.Addr)
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil:
		return fmt.Sprintf("%s: %v; start the broker, or correct KAFKA_BOOTSTRAP_SERVERS or what the brokers advertise", op.Addr, op.Err)
	default:
		return ""
	}
}

// closed reports whether a connection broke, or was given up, in a way that hides
// the reason.
func closed(err error) bool {
	var first *kgo.ErrFirstReadEOF
	var record tls.RecordHeaderError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &first) || errors.As(err, &record) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		// franz-go's own type has no name.
		strings.Contains(err.Error(), "invalid large response size")
}

// offers reports whether the broker has said what it offers instead, which the
// client does not pass on.
func offers(err error) bool { return errors.Is(err, kerr.UnsupportedSaslMechanism) }
