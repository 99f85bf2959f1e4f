package config

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/sasl"
	saslOAuth "github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"starplan/internal/connection"
	"starplan/internal/oauth"
)

const (
	mechanisms = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
	bearer     = "OAUTHBEARER"
)

// credential is one variable of SASL, and whether it is set.
type credential struct {
	name string
	set  bool
}

// credentials are the variables of passwords and those of tokens.
func (s *Security) credentials() (passwords, tokens []credential) {
	return []credential{
			{"KAFKA_SASL_USERNAME", s.Username != ""},
			{"KAFKA_SASL_PASSWORD", s.Password != ""},
			{"KAFKA_SASL_PASSWORD_FILE", s.PasswordFile != ""},
		}, []credential{
			{"KAFKA_SASL_TOKEN_FILE", s.TokenFile != ""},
			{"KAFKA_SASL_TOKEN_URL", s.TokenURL != ""},
			{"KAFKA_SASL_TOKEN_CA_FILE", s.TokenCAFile != ""},
			{"KAFKA_SASL_CLIENT_ID", s.ClientID != ""},
			{"KAFKA_SASL_CLIENT_SECRET", s.ClientSecret != ""},
			{"KAFKA_SASL_CLIENT_SECRET_FILE", s.ClientSecretFile != ""},
			{"KAFKA_SASL_SCOPES", s.Scopes != ""},
		}
}

// set names those of the variables that are set.
func set(credentials []credential) []string {
	var names []string
	for _, c := range credentials {
		if c.set {
			names = append(names, c.name)
		}
	}
	return names
}

// sasl fills in who the client says that it is.
func (s *Security) sasl(p *problems, c *connection.Settings) {
	passwords, tokens := s.credentials()
	switch s.Mechanism {
	case "":
		if names := set(slices.Concat(passwords, tokens)); len(names) > 0 {
			p.addf("KAFKA_SASL_MECHANISM: missing; want %s for %s", mechanisms, strings.Join(names, ", "))
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		p.unused(s.Mechanism, set(tokens))
		s.checkPassword(p)
		c.SASL, c.User = s.withPassword(), s.Username
	case bearer:
		p.unused(s.Mechanism, set(passwords))
		s.bearer(p, c)
	default:
		p.add("KAFKA_SASL_MECHANISM", s.Mechanism, mechanisms)
	}
}

// unused refuses credentials that a mechanism has no use for: whoever set them
// expects something else to happen.
func (p *problems) unused(mechanism string, names []string) {
	for _, name := range names {
		p.addf("%s: %s does not use it; unset it, or correct KAFKA_SASL_MECHANISM", name, mechanism)
	}
}

func (s *Security) withPassword() sasl.Mechanism {
	scramAuth := func(context.Context) (scram.Auth, error) {
		password, err := s.password()
		return scram.Auth{User: s.Username, Pass: password}, err
	}
	switch s.Mechanism {
	case "SCRAM-SHA-256":
		return scram.Sha256(scramAuth)
	case "SCRAM-SHA-512":
		return scram.Sha512(scramAuth)
	default:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.Username, Pass: password}, err
		})
	}
}

func (s *Security) checkPassword(p *problems) {
	if s.Username == "" {
		p.addf("KAFKA_SASL_USERNAME: missing; %s needs it", s.Mechanism)
	}
	p.checkSecret("KAFKA_SASL_PASSWORD", s.Mechanism, s.Password, s.PasswordFile)
}

// checkSecret wants a secret by its variable or by its file.
func (p *problems) checkSecret(name, who string, value Secret, file string) {
	switch {
	case value != "" && file != "":
		p.addf("%s, %s_FILE: want one of them, got both", name, name)
	case value == "" && file == "":
		p.addf("%s: missing; %s needs it, or %s_FILE", name, who, name)
	case file != "":
		if _, err := secret(file); err != nil {
			p.addf("%s_FILE: %w", name, err)
		}
	}
}

func (s *Security) password() (string, error) {
	if s.PasswordFile == "" {
		return string(s.Password), nil
	}
	return secret(s.PasswordFile)
}

func (s *Security) clientSecret() (string, error) {
	if s.ClientSecretFile == "" {
		return string(s.ClientSecret), nil
	}
	return secret(s.ClientSecretFile)
}

// bearer fills in OAUTHBEARER: with tokens from a file, which somebody else keeps
// fresh, or from a token endpoint.
func (s *Security) bearer(p *problems, c *connection.Settings) {
	_, tokens := s.credentials()
	names := set(tokens)
	switch {
	case len(names) == 0:
		p.addf("KAFKA_SASL_TOKEN_URL: missing; %s needs it with KAFKA_SASL_CLIENT_ID and KAFKA_SASL_CLIENT_SECRET, or KAFKA_SASL_TOKEN_FILE", bearer)
	case s.TokenFile != "" && len(names) > 1:
		p.addf("KAFKA_SASL_TOKEN_FILE: want it alone, or %s without it", strings.Join(names[1:], ", "))
	case s.TokenFile != "":
		if _, err := secret(s.TokenFile); err != nil {
			p.addf("KAFKA_SASL_TOKEN_FILE: %w", err)
		}
		c.Token = func(context.Context) (oauth.Token, error) {
			token, err := secret(s.TokenFile)
			return oauth.Parse(token), err
		}
	default:
		source := s.tokenSource(p)
		c.Token, c.TokenEndpoint = source.Token, oauth.Endpoint(s.TokenURL)
	}
	c.SASL = bearerMechanism{saslOAuth.Oauth(func(ctx context.Context) (saslOAuth.Auth, error) {
		token, err := c.Token(ctx)
		return saslOAuth.Auth{Token: token.Value}, err
	})}
}

func (s *Security) tokenSource(p *problems) *oauth.Source {
	if s.TokenURL == "" {
		p.addf("KAFKA_SASL_TOKEN_URL: missing; client credentials need it")
	} else if u, err := url.Parse(s.TokenURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		// The text is not repeated: a URL may hold a password.
		p.addf("KAFKA_SASL_TOKEN_URL: want the URL of a token endpoint, such as https://idp.example.com/oauth2/token, without a user")
	}
	if s.ClientID == "" {
		p.addf("KAFKA_SASL_CLIENT_ID: missing; client credentials need it")
	}
	p.checkSecret("KAFKA_SASL_CLIENT_SECRET", bearer, s.ClientSecret, s.ClientSecretFile)
	return oauth.New(oauth.Options{
		URL: s.TokenURL, ClientID: s.ClientID, Secret: s.clientSecret,
		Scopes: strings.FieldsFunc(s.Scopes, func(r rune) bool { return r == ',' || r == ' ' }),
		CAs:    p.authorities("KAFKA_SASL_TOKEN_CA_FILE", s.TokenCAFile),
	})
}

// bearerMechanism makes a refusal of OAUTHBEARER look like that of any other
// mechanism. A broker tells of it by data where there should be none (RFC 7628,
// section 3.2.2), and closes the connection only after an answer to that.
type bearerMechanism struct{ sasl.Mechanism }

// Authenticate begins a session.
func (m bearerMechanism) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := m.Mechanism.Authenticate(ctx, host)
	return bearerSession{session}, first, err
}

type bearerSession struct{ sasl.Session }

// Challenge gives an error that wraps that of other mechanisms where the broker
// refuses the token.
func (s bearerSession) Challenge(answer []byte) (bool, []byte, error) {
	if answer = bytes.TrimSpace(answer); len(answer) > 0 {
		return false, nil, fmt.Errorf("%w: %.300s", kerr.SaslAuthenticationFailed, answer)
	}
	return s.Session.Challenge(answer)
}
