// Package connection is how clients connect to brokers: encryption, and who they
// say they are. And it finds out why they cannot.
//
// A connection that fails often says nothing but that it was closed: a broker that
// is spoken to without TLS where it wants some, or the other way round, or without
// SASL, hangs up. [Settings.Explain] then asks the broker by connections of its own
// what it wants, and names the setting to change. These never carry credentials.
package connection

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"starplan/internal/oauth"
)

// Settings are what clients connect with. The zero value is a connection in the
// clear that gives no name.
type Settings struct {
	// TLS is nil for connections in the clear.
	TLS *tls.Config
	// CAFile is where TLS.RootCAs come from; empty for those of the system.
	CAFile string
	// Certificate is the subject of the client's certificate; empty for none.
	Certificate string
	// SASL is nil where the client gives no name.
	SASL sasl.Mechanism
	// User is who SASL says that the client is; empty where only a token knows.
	User string
	// Token is nil but for OAUTHBEARER: it gives the token that SASL would use, and
	// when that expires as far as is known.
	Token func(context.Context) (oauth.Token, error)
	// TokenEndpoint is where tokens come from, or empty for a file.
	TokenEndpoint string
}

// Options are those of a client with these settings.
func (s Settings) Options() []kgo.Opt {
	var opts []kgo.Opt
	if s.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(s.TLS))
	}
	if s.SASL != nil {
		opts = append(opts, kgo.SASL(s.SASL))
	}
	return opts
}

// Principal is the name that the broker's access control most likely knows the
// client by, such as "User:starplan"; "User:NAME" where that cannot be told.
func (s Settings) Principal() string {
	switch {
	case s.User != "":
		return "User:" + s.User
	case s.SASL != nil:
		return "User:NAME"
	case s.Certificate != "":
		return "User:" + s.Certificate
	default:
		return "User:ANONYMOUS"
	}
}

// String says how the client connects, without any secret.
func (s Settings) String() string {
	text := "no TLS"
	if s.TLS != nil {
		text = "TLS, brokers trusted by the system's authorities"
		if s.CAFile != "" {
			text = "TLS, brokers trusted by " + s.CAFile
		}
		if s.Certificate != "" {
			text += ", client certificate " + s.Certificate
		}
	}
	switch {
	case s.SASL == nil:
		return text + ", no SASL"
	case s.TokenEndpoint != "":
		return text + ", " + s.SASL.Name() + " with tokens of " + s.TokenEndpoint
	case s.User != "":
		return text + ", " + s.SASL.Name() + " as " + s.User
	default:
		return text + ", " + s.SASL.Name()
	}
}

// Clear says which secrets these settings send unencrypted; empty for none.
func (s Settings) Clear() string {
	switch {
	case s.TLS != nil || s.SASL == nil:
		return ""
	case s.SASL.Name() == "PLAIN":
		return "the password"
	case s.SASL.Name() == "OAUTHBEARER":
		return "the token"
	default:
		return "" // SCRAM proves the password without sending it.
	}
}

// Error is an error of a connection with its reason.
type Error struct {
	// Reason says what is wrong and what to do.
	Reason string
	// Err is what the client met.
	Err error
}

// Error gives the reason.
func (e *Error) Error() string { return e.Reason }

// Unwrap gives what the client met.
func (e *Error) Unwrap() error { return e.Err }

// probeTimeout bounds one connection that asks a broker what it wants.
const probeTimeout = 2 * time.Second

// maxProbed is the number of brokers that are asked.
const maxProbed = 3

// Explain says why brokers, as "host:port", cannot be reached, where err is what a
// client met that tried. The error is an *[Error] that wraps err; where nothing
// more is known than err says, it is err. It may open a few connections, two
// seconds each at most.
func (s Settings) Explain(ctx context.Context, brokers []string, err error) error {
	if err == nil {
		return nil
	}
	var reason string
	if closed(err) || errors.Is(err, kerr.SaslAuthenticationFailed) {
		reason = s.expired(ctx)
	}
	if reason == "" {
		reason = s.read(err)
	}
	if reason == "" && closed(err) || offers(err) && s.SASL != nil {
		reason = s.ask(ctx, brokers[:min(len(brokers), maxProbed)], err, reason)
	}
	if reason == "" {
		return err
	}
	return &Error{Reason: reason, Err: err}
}

func quote(name string) string { return fmt.Sprintf("%q", name) }
