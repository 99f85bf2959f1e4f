// Package oauth gets the tokens of OAUTHBEARER from a token endpoint, by the
// client credentials grant of OAuth 2.0 (RFC 6749, section 4.4), as KIP-768 has it
// for Kafka's own clients.
//
// A token is kept and used for every connection. When four fifths of its life are
// over, the next connection asks for another; should the endpoint not answer then,
// the token serves on until it expires. So an endpoint that is away for a short
// time is not noticed.
package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// requestTimeout bounds all that is done to get one token.
	requestTimeout = 5 * time.Second
	// failurePause is how long a failure is the answer to whoever asks: clients open
	// several connections at a time, to several brokers, and try again soon.
	failurePause = time.Second
	// unknownLife is how long a token is used of which neither the endpoint nor the
	// token itself says when it expires.
	unknownLife = time.Minute
)

// Options say whom to ask, and as whom.
type Options struct {
	// URL of the token endpoint, http or https.
	URL string
	// ClientID is the client's name at the endpoint.
	ClientID string
	// Secret gives the client's secret, anew for each request.
	Secret func() (string, error)
	// Scopes are asked for; may be nil.
	Scopes []string
	// CAs sign the endpoint's certificate; nil means those of the system.
	CAs *x509.CertPool
}

// Token is what a broker wants to see.
type Token struct {
	// Value is the token itself. It is a secret.
	Value string
	// Expires is when it does; zero where nobody says so.
	Expires time.Time
	// Subject is whom it is about; empty where it does not say so.
	Subject string
}

// Source gives tokens. It is safe for concurrent use.
type Source struct {
	opts   Options
	http   *http.Client
	now    func() time.Time
	within time.Duration // of one request
	config clientcredentials.Config

	mu     sync.Mutex // held while a token is asked for: those who wait want the same
	token  Token
	renew  time.Time // when another token is asked for
	failed error
	again  time.Time // until then failed is the answer
}

// New gives a Source. It contacts nobody.
func New(opts Options) *Source {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opts.CAs}
	// A token is asked for every few minutes at most.
	transport.DisableKeepAlives = true
	return &Source{
		opts:   opts,
		now:    time.Now,
		within: requestTimeout,
		http: &http.Client{
			Transport: transport,
			// The secret goes to the endpoint that was configured and nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		config: clientcredentials.Config{ClientID: opts.ClientID, TokenURL: opts.URL, Scopes: opts.Scopes},
	}
}

// Token gives a token that has not expired, within 5 seconds. The error is an
// *[Error].
func (s *Source) Token(ctx context.Context) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Before(s.renew) {
		return s.token, nil
	}
	if !now.Before(s.again) {
		token, err := s.request(ctx)
		switch {
		case err == nil:
			s.token, s.renew = token, now.Add(token.Expires.Sub(now)*4/5)
			return token, nil
		case ctx.Err() != nil:
			return Token{}, err // Another client's question is not closed yet.
		}
		s.failed, s.again = err, s.now().Add(failurePause)
	}
	if now.Before(s.token.Expires) {
		return s.token, nil
	}
	return Token{}, s.failed
}

// request asks the endpoint.
func (s *Source) request(ctx context.Context) (Token, error) {
	secret, err := s.opts.Secret()
	if err != nil {
		return Token{}, &Error{text: fmt.Sprintf("client secret: %v", err)}
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, s.http), s.within)
	defer cancel()
	s.config.ClientSecret = secret
	token, err := s.config.Token(ctx)
	s.config.ClientSecret = ""
	if err != nil {
		return Token{}, s.explain(err, secret)
	}
	t := Parse(token.AccessToken)
	life := unknownLife
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	} else if !t.Expires.IsZero() {
		life = time.Until(t.Expires)
	}
	t.Expires = s.now().Add(life)
	return t, nil
}

// Parse reads what a token says of itself where it is a JSON Web Token (RFC 7519).
// Its signature is not looked at: that is the broker's to do.
func Parse(value string) Token {
	t := Token{Value: value}
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return t
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return t
	}
	var claims struct {
		Subject string  `json:"sub"`
		Expires float64 `json:"exp"` // seconds; a fraction is allowed
	}
	if json.Unmarshal(text, &claims) != nil {
		return t
	}
	t.Subject = claims.Subject
	if claims.Expires > 0 && claims.Expires <= math.MaxUint32 {
		t.Expires = time.UnixMilli(int64(claims.Expires * 1000))
	}
	return t
}

// Error says why there is no token. It never holds a secret, whatever the endpoint
// has answered.
type Error struct {
	text string
	// Refused: the endpoint knows the client and its secret, or the scopes, to be
	// wrong. To ask again is of no use.
	Refused bool
}

// Error names the endpoint, what it said, and the remedy.
func (e *Error) Error() string { return e.text }

// Is makes a refusal the same as one by the broker itself: the credentials are
// wrong.
func (e *Error) Is(target error) bool {
	return e.Refused && target == error(kerr.SaslAuthenticationFailed)
}

// remedies of the errors that RFC 6749 lists in section 5.2 for this grant.
var remedies = map[string]string{
	"invalid_client":         "correct KAFKA_SASL_CLIENT_ID or KAFKA_SASL_CLIENT_SECRET",
	"unauthorized_client":    "allow this client the grant client_credentials, or correct KAFKA_SASL_CLIENT_ID",
	"unsupported_grant_type": "allow this client the grant client_credentials, or correct KAFKA_SASL_TOKEN_URL",
	"invalid_scope":          "correct KAFKA_SASL_SCOPES",
	"invalid_request":        "see whether the endpoint wants KAFKA_SASL_SCOPES, and correct KAFKA_SASL_TOKEN_URL",
}

// explain makes an error for people of what the library or the endpoint said.
func (s *Source) explain(err error, secret string) *Error {
	endpoint := "token endpoint " + Endpoint(s.opts.URL)
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) {
		said := answer.ErrorCode
		if answer.ErrorDescription != "" {
			said += ": " + answer.ErrorDescription
		}
		said = withoutSecret(said, secret)
		if remedy, refused := remedies[answer.ErrorCode]; refused {
			return &Error{text: fmt.Sprintf("%s refuses client %q: %.300s; %s", endpoint, s.opts.ClientID, said, remedy), Refused: true}
		}
		return &Error{text: strings.TrimSpace(fmt.Sprintf("%s answered %s %.300s", endpoint, answer.Response.Status, said)) + "; see whether KAFKA_SASL_TOKEN_URL is right"}
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return &Error{text: fmt.Sprintf("%s has a certificate that is not trusted: %v; set KAFKA_SASL_TOKEN_CA_FILE to the authority that signed it", endpoint, cert.Err)}
	}
	// The library's texts of HTTP errors repeat the URL.
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{text: fmt.Sprintf("%s did not answer within %v", endpoint, s.within)}
	}
	return &Error{text: fmt.Sprintf("%s: %s", endpoint, withoutSecret(err.Error(), secret))}
}

// withoutSecret takes the secret out of what an endpoint says, which may repeat
// what it was asked.
func withoutSecret(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, "(secret)")
}

// Endpoint gives a URL without the parts that may hold secrets.
func Endpoint(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(no URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
