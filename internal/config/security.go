package config

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Security says how connections to brokers are encrypted and authenticated.
type Security struct {
	TLS        string `name:"kafka-tls-enabled" env:"KAFKA_TLS_ENABLED" default:"false" group:"Kafka security" placeholder:"BOOL" help:"Encrypt connections; implied by the other TLS settings (${default})."`
	CAFile     string `name:"kafka-tls-ca-file" env:"KAFKA_TLS_CA_FILE" group:"Kafka security" placeholder:"FILE" help:"PEM certificates that brokers are trusted by (the system's)."`
	CertFile   string `name:"kafka-tls-cert-file" env:"KAFKA_TLS_CERT_FILE" group:"Kafka security" placeholder:"FILE" help:"PEM certificate of this client, for mutual TLS."`
	KeyFile    string `name:"kafka-tls-key-file" env:"KAFKA_TLS_KEY_FILE" group:"Kafka security" placeholder:"FILE" help:"PEM key of that certificate."`
	ServerName string `name:"kafka-tls-server-name" env:"KAFKA_TLS_SERVER_NAME" group:"Kafka security" placeholder:"NAME" help:"Name that the brokers' certificates must have (the host's)."`

	Mechanism    string `name:"kafka-sasl-mechanism" env:"KAFKA_SASL_MECHANISM" group:"Kafka security" placeholder:"NAME" help:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."`
	Username     string `name:"kafka-sasl-username" env:"KAFKA_SASL_USERNAME" group:"Kafka security" placeholder:"USER" help:"User of PLAIN and SCRAM."`
	Password     string `name:"kafka-sasl-password" env:"KAFKA_SASL_PASSWORD" group:"Kafka security" placeholder:"SECRET" help:"Password of PLAIN and SCRAM; better is the file."`
	PasswordFile string `name:"kafka-sasl-password-file" env:"KAFKA_SASL_PASSWORD_FILE" group:"Kafka security" placeholder:"FILE" help:"File that holds the password; read at each connection, so it may change."`
	TokenFile    string `name:"kafka-sasl-token-file" env:"KAFKA_SASL_TOKEN_FILE" group:"Kafka security" placeholder:"FILE" help:"File that holds the token of OAUTHBEARER; read at each connection."`
}

// Resolve gives the client options that the settings ask for. The error joins
// every mistake.
func (s *Security) Resolve() ([]kgo.Opt, error) {
	var p problems
	opts := s.resolve(&p)
	return opts, errors.Join(p...)
}

func (s *Security) resolve(p *problems) []kgo.Opt {
	var opts []kgo.Opt
	if p.bool("KAFKA_TLS_ENABLED", s.TLS) || s.CAFile != "" || s.CertFile != "" || s.KeyFile != "" || s.ServerName != "" {
		opts = append(opts, kgo.DialTLSConfig(s.tls(p)))
	}
	if mechanism := s.sasl(p); mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts
}

func (s *Security) tls(p *problems) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			p.addf("KAFKA_TLS_CA_FILE: %w", err)
		} else if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			p.addf("KAFKA_TLS_CA_FILE: %s: want PEM certificates, found none", s.CAFile)
		}
	}
	switch {
	case s.CertFile == "" && s.KeyFile == "":
	case s.CertFile == "" || s.KeyFile == "":
		p.addf("KAFKA_TLS_CERT_FILE, KAFKA_TLS_KEY_FILE: want both or neither")
	default:
		cert, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			p.addf("KAFKA_TLS_CERT_FILE: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c
}

func (s *Security) sasl(p *problems) sasl.Mechanism {
	switch s.Mechanism {
	case "":
		if s.Username != "" || s.Password != "" || s.PasswordFile != "" || s.TokenFile != "" {
			p.addf("KAFKA_SASL_MECHANISM: missing; want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER for the credentials that are set")
		}
		return nil
	case "PLAIN":
		s.checkPassword(p)
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.Username, Pass: password}, err
		})
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		s.checkPassword(p)
		auth := func(context.Context) (scram.Auth, error) {
			password, err := s.password()
			return scram.Auth{User: s.Username, Pass: password}, err
		}
		if s.Mechanism == "SCRAM-SHA-256" {
			return scram.Sha256(auth)
		}
		return scram.Sha512(auth)
	case "OAUTHBEARER":
		if _, err := secret(s.TokenFile); err != nil {
			p.addf("KAFKA_SASL_TOKEN_FILE: %w", err)
		}
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := secret(s.TokenFile)
			return oauth.Auth{Token: token}, err
		})
	default:
		p.add("KAFKA_SASL_MECHANISM", s.Mechanism, "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
		return nil
	}
}

func (s *Security) checkPassword(p *problems) {
	if s.Username == "" {
		p.addf("KAFKA_SASL_USERNAME: missing; %s needs it", s.Mechanism)
	}
	switch {
	case s.Password != "" && s.PasswordFile != "":
		p.addf("KAFKA_SASL_PASSWORD, KAFKA_SASL_PASSWORD_FILE: want one of them, got both")
	case s.Password == "" && s.PasswordFile == "":
		p.addf("KAFKA_SASL_PASSWORD: missing; %s needs it, or KAFKA_SASL_PASSWORD_FILE", s.Mechanism)
	case s.PasswordFile != "":
		if _, err := secret(s.PasswordFile); err != nil {
			p.addf("KAFKA_SASL_PASSWORD_FILE: %w", err)
		}
	}
}

func (s *Security) password() (string, error) {
	if s.PasswordFile == "" {
		return s.Password, nil
	}
	return secret(s.PasswordFile)
}

// secret reads a file that holds one secret; a line end after it does not count.
func secret(path string) (string, error) {
	if path == "" {
		return "", errors.New("missing; OAUTHBEARER needs it")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	s := strings.TrimRight(string(text), "\r\n")
	if s == "" {
		return "", fmt.Errorf("%s: want a secret, the file is empty", path)
	}
	return s, nil
}
