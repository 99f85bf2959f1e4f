package connection

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAnswer bounds the answer to a probe, which is a list of a few names.
const maxAnswer = 64 << 10

// wants is what a broker wants of those who connect.
type wants struct {
	// kafka: it answered as a broker does.
	kafka bool
	// sasl: clients must say who they are, by one of these mechanisms.
	sasl       bool
	mechanisms []string
}

// ask asks brokers, one after the other, what they want, until one of them gives a
// reason why a client with these settings met err. known is what is known without.
func (s Settings) ask(ctx context.Context, brokers []string, err error, known string) string {
	for _, broker := range brokers {
		if reason := s.askOne(ctx, broker, err); reason != "" {
			return reason
		}
	}
	return known
}

func (s Settings) askOne(ctx context.Context, broker string, err error) string {
	asked, speaksTLS, dialErr := s.probe(ctx, broker, s.TLS != nil)
	switch {
	case dialErr != nil:
		return unreachable(dialErr)
	case asked.kafka && offers(err) && s.SASL != nil:
		return fmt.Sprintf("broker %s does not offer %s, but %s; set KAFKA_SASL_MECHANISM to one of these, or use the port of another listener",
			broker, s.SASL.Name(), strings.Join(asked.mechanisms, ", "))
	case asked.sasl && s.SASL == nil:
		return fmt.Sprintf("broker %s wants SASL and none is set; set KAFKA_SASL_MECHANISM to one of %s, and the credentials", broker, strings.Join(asked.mechanisms, ", "))
	case asked.kafka:
		return "" // It wants what it gets: this is not why.
	case s.TLS != nil && !speaksTLS:
		if other, _, _ := s.probe(ctx, broker, false); other.kafka {
			return fmt.Sprintf("broker %s does not speak TLS at this port; use the port of its TLS listener, or unset the variables KAFKA_TLS_", broker)
		}
	case s.TLS == nil:
		if _, speaksTLS, _ := s.probe(ctx, broker, true); speaksTLS {
			return fmt.Sprintf("broker %s speaks TLS at this port and TLS is not set; set KAFKA_TLS_ENABLED=true, or KAFKA_TLS_CA_FILE to the authority that signed its certificate", broker)
		}
	}
	return ""
}

// probe connects to a broker and asks which SASL mechanisms it offers. err is that
// of the dialling alone: what comes after it may fail for what is to be found out.
func (s Settings) probe(ctx context.Context, broker string, encrypted bool) (w wants, speaksTLS bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", broker)
	if err != nil {
		return w, false, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return w, false, err
	}
	if encrypted {
		secure := tls.Client(conn, &tls.Config{
			MinVersion: tls.VersionTLS12,
			// Nothing secret is said, and whose certificate it is does not matter here.
			InsecureSkipVerify: true, //nolint:gosec // See above.
		})
		err := secure.HandshakeContext(ctx)
		_, alerted := alertOf(err)
		if speaksTLS = err == nil || alerted; err != nil {
			return w, speaksTLS, nil
		}
		conn = secure
	}
	resp, err := handshake(conn, s.mechanism())
	if err != nil {
		return w, speaksTLS, nil
	}
	w.kafka = true
	w.sasl = resp.ErrorCode != kerr.IllegalSaslState.Code
	w.mechanisms = resp.SupportedMechanisms
	return w, speaksTLS, nil
}

func (s Settings) mechanism() string {
	if s.SASL == nil {
		return "none"
	}
	return s.SASL.Name()
}

// handshake sends a SaslHandshake as the first request of a connection, which a
// broker answers whether or not it wants SASL.
func handshake(conn net.Conn, mechanism string) (*kmsg.SASLHandshakeResponse, error) {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Mechanism, req.Version = mechanism, 1
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("starplan")).AppendRequest(nil, req, 1)); err != nil {
		return nil, err
	}
	var head [8]byte // size and correlation id
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:4])) - 4
	if size < 0 || size > maxAnswer || binary.BigEndian.Uint32(head[4:]) != 1 {
		return nil, errors.New("probe: this is no answer of a broker")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return resp, nil
}
