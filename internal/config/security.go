package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"starplan/internal/connection"
)

// Security says how connections to brokers are encrypted and authenticated.
type Security struct {
	TLS        string `name:"kafka-tls-enabled" env:"KAFKA_TLS_ENABLED" default:"false" group:"Kafka security" placeholder:"BOOL" help:"Encrypt connections; implied by the other TLS settings (${default})."`
	CAFile     string `name:"kafka-tls-ca-file" env:"KAFKA_TLS_CA_FILE" group:"Kafka security" placeholder:"FILE" help:"PEM certificates that brokers are trusted by (the system's)."`
	CertFile   string `name:"kafka-tls-cert-file" env:"KAFKA_TLS_CERT_FILE" group:"Kafka security" placeholder:"FILE" help:"PEM certificate of this client, for mutual TLS; read at each connection, so it may change."`
	KeyFile    string `name:"kafka-tls-key-file" env:"KAFKA_TLS_KEY_FILE" group:"Kafka security" placeholder:"FILE" help:"PEM key of that certificate."`
	ServerName string `name:"kafka-tls-server-name" env:"KAFKA_TLS_SERVER_NAME" group:"Kafka security" placeholder:"NAME" help:"Name that the brokers' certificates must have (the host's)."`

	Mechanism        string `name:"kafka-sasl-mechanism" env:"KAFKA_SASL_MECHANISM" group:"Kafka security" placeholder:"NAME" help:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."`
	Username         string `name:"kafka-sasl-username" env:"KAFKA_SASL_USERNAME" group:"Kafka security" placeholder:"USER" help:"User of PLAIN and SCRAM."`
	Password         Secret `name:"kafka-sasl-password" env:"KAFKA_SASL_PASSWORD" group:"Kafka security" placeholder:"SECRET" help:"Password of PLAIN and SCRAM; better is the file."`
	PasswordFile     string `name:"kafka-sasl-password-file" env:"KAFKA_SASL_PASSWORD_FILE" group:"Kafka security" placeholder:"FILE" help:"File that holds the password; read at each connection, so it may change."`
	TokenFile        string `name:"kafka-sasl-token-file" env:"KAFKA_SASL_TOKEN_FILE" group:"Kafka security" placeholder:"FILE" help:"File that holds the token of OAUTHBEARER; read at each connection."`
	TokenURL         string `name:"kafka-sasl-token-url" env:"KAFKA_SASL_TOKEN_URL" group:"Kafka security" placeholder:"URL" help:"Token endpoint that gives tokens of OAUTHBEARER for client credentials."`
	TokenCAFile      string `name:"kafka-sasl-token-ca-file" env:"KAFKA_SASL_TOKEN_CA_FILE" group:"Kafka security" placeholder:"FILE" help:"PEM certificates that the token endpoint is trusted by (the system's)."`
	ClientID         string `name:"kafka-sasl-client-id" env:"KAFKA_SASL_CLIENT_ID" group:"Kafka security" placeholder:"ID" help:"Client at the token endpoint."`
	ClientSecret     Secret `name:"kafka-sasl-client-secret" env:"KAFKA_SASL_CLIENT_SECRET" group:"Kafka security" placeholder:"SECRET" help:"Secret of that client; better is the file."`
	ClientSecretFile string `name:"kafka-sasl-client-secret-file" env:"KAFKA_SASL_CLIENT_SECRET_FILE" group:"Kafka security" placeholder:"FILE" help:"File that holds the client's secret; read for each token, so it may change."`
	Scopes           string `name:"kafka-sasl-scopes" env:"KAFKA_SASL_SCOPES" group:"Kafka security" placeholder:"SCOPE,…" help:"Scopes to ask the token endpoint for."`
}

// Secret is a text that does not show itself where it is printed, logged or
// marshalled.
type Secret string

const hiddenSecret = "(secret)"

// String hides the secret.
func (Secret) String() string { return hiddenSecret }

// GoString hides the secret.
func (Secret) GoString() string { return hiddenSecret }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(hiddenSecret), nil }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hiddenSecret) }

// Resolve gives what the settings ask for. The error joins every mistake.
func (s *Security) Resolve() (connection.Settings, error) {
	var p problems
	c := s.resolve(&p)
	return c, errors.Join(p...)
}

func (s *Security) resolve(p *problems) connection.Settings {
	var c connection.Settings
	if p.bool("KAFKA_TLS_ENABLED", s.TLS) || s.CAFile != "" || s.CertFile != "" || s.KeyFile != "" || s.ServerName != "" {
		c.TLS, c.CAFile = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName, RootCAs: p.authorities("KAFKA_TLS_CA_FILE", s.CAFile)}, s.CAFile
		c.Certificate = s.certificate(p, c.TLS)
	}
	s.sasl(p, &c)
	return c
}

// authorities reads the certificates that others are trusted by; nil stands for the
// system's.
func (p *problems) authorities(name, file string) *x509.CertPool {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		p.addf("%s: %w", name, err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		p.addf("%s: %s: want PEM certificates, found none", name, file)
	}
	return pool
}

// certificate makes clients show a certificate, and gives its subject. The files
// are read again for each connection: certificates that are good for hours only
// are replaced while the service runs.
func (s *Security) certificate(p *problems, c *tls.Config) (subject string) {
	switch {
	case s.CertFile == "" && s.KeyFile == "":
		return ""
	case s.CertFile == "":
		p.addf("KAFKA_TLS_CERT_FILE: missing; the key of KAFKA_TLS_KEY_FILE needs its certificate")
		return ""
	case s.KeyFile == "":
		p.addf("KAFKA_TLS_KEY_FILE: missing; the certificate of KAFKA_TLS_CERT_FILE needs its key")
		return ""
	}
	cert, err := s.keyPair()
	if err != nil {
		p.addf("%w", err)
		return ""
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := s.keyPair()
		return &cert, err
	}
	return cert.Leaf.Subject.String()
}

func (s *Security) keyPair() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err == nil {
		return cert, nil
	}
	text, keyErr := os.ReadFile(s.KeyFile)
	block, _ := pem.Decode(text)
	switch _, certErr := os.ReadFile(s.CertFile); {
	case certErr == nil && keyErr != nil:
		return cert, fmt.Errorf("KAFKA_TLS_KEY_FILE: %w", keyErr)
	case certErr == nil && block != nil && strings.HasPrefix(block.Type, "ENCRYPTED"):
		return cert, fmt.Errorf("KAFKA_TLS_KEY_FILE: %s: want a key without a password, got an encrypted one", s.KeyFile)
	default:
		return cert, fmt.Errorf("KAFKA_TLS_CERT_FILE: %w", err)
	}
}

// secret reads a file that holds one secret; a line end after it does not count.
func secret(path string) (string, error) {
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
