//go:build kafka

package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/kafkatest"
	"starplan/internal/testcert"
)

// The ways into the suite's broker that are not open to everybody. Behind the name
// of each that clients are told stands a proxy.
const (
	mutual   = "MUTUAL"   // a client certificate
	scram    = "SCRAM"    // SCRAM-SHA-512 over TLS
	changing = "CHANGING" // the same, for one test that changes password and certificate
	stranger = "STRANGER" // the same, with a certificate that another authority has signed
	bearer   = "BEARER"   // OAUTHBEARER over TLS
	plain    = "PLAIN"    // PLAIN in the clear
)

// password is that of every user; clientSecret is that of the client at the token
// endpoint.
const (
	password     = "pa55-of-starplan"
	clientSecret = "cl1ent-5ecret/+"
)

// secured is what is needed to enter the broker by its other ways. It is there
// where the suite's broker is Apache Kafka.
var secured struct {
	dir     string
	ca      *testcert.Authority // signed the broker's certificate
	otherCA *testcert.Authority // did not
	client  testcert.Certificate
	ports   map[string]int // of the listeners
	proxies map[string]*proxy
	tokens  *tokenServer
}

// secure prepares the broker's other ways in. Who comes by them has the rights that
// a test gives him; the open listener may do everything.
func secure(dir string, opts *kafkatest.Options) error {
	secured.dir, secured.ports, secured.proxies = dir, make(map[string]int), make(map[string]*proxy)
	var err error
	if secured.ca, err = testcert.New(dir, "ca"); err != nil {
		return err
	}
	if secured.otherCA, err = testcert.New(dir, "other-ca"); err != nil {
		return err
	}
	if secured.client, err = secured.ca.Sign("starplan"); err != nil {
		return err
	}
	if secured.tokens, err = newTokenServer(dir); err != nil {
		return err
	}
	known, err := keystore(dir, "broker", secured.ca)
	if err != nil {
		return err
	}
	unknown, err := keystore(dir, "stranger", secured.otherCA)
	if err != nil {
		return err
	}
	for name, config := range listeners(known, unknown) {
		l := kafkatest.Listener{Name: name, Protocol: config["protocol"], Config: config}
		delete(config, "protocol")
		if l.Port, err = kafkatest.FreePort(); err != nil {
			return err
		}
		secured.ports[name] = l.Port
		if secured.proxies[name], err = newProxy(l.Port); err != nil {
			return err
		}
		l.Advertised = secured.proxies[name].addr
		opts.Listeners = append(opts.Listeners, l)
	}
	opts.Config = map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":           "User:ANONYMOUS",
	}
	opts.Properties = map[string]string{"org.apache.kafka.sasl.oauthbearer.allowed.urls": secured.tokens.keys}
	return nil
}

// listeners gives the configuration of each way, and its protocol. known and unknown
// are files with the broker's key and a certificate for it.
func listeners(known, unknown string) map[string]map[string]string {
	const module = "org.apache.kafka.common.security."
	byPassword := map[string]string{
		"protocol": "SASL_SSL", "sasl.enabled.mechanisms": "SCRAM-SHA-512",
		"scram-sha-512.sasl.jaas.config": module + "scram.ScramLoginModule required;",
	}
	ways := map[string]map[string]string{
		mutual: {"protocol": "SSL", "ssl.client.auth": "required"},
		scram:  byPassword, changing: maps.Clone(byPassword), stranger: maps.Clone(byPassword),
		bearer: {
			"protocol": "SASL_SSL", "sasl.enabled.mechanisms": "OAUTHBEARER",
			"oauthbearer.sasl.jaas.config":                   module + "oauthbearer.OAuthBearerLoginModule required;",
			"oauthbearer.sasl.server.callback.handler.class": module + "oauthbearer.OAuthBearerValidatorCallbackHandler",
			// The validator that 4.1 takes by itself looks at no signature.
			"sasl.oauthbearer.jwt.validator.class":           module + "oauthbearer.BrokerJwtValidator",
			"oauthbearer.sasl.oauthbearer.jwks.endpoint.url": secured.tokens.keys,
			"oauthbearer.sasl.oauthbearer.expected.audience": "kafka",
			"oauthbearer.connections.max.reauth.ms":          "3600000",
		},
		plain: {
			"protocol": "SASL_PLAINTEXT", "sasl.enabled.mechanisms": "PLAIN",
			"plain.sasl.jaas.config": module + `plain.PlainLoginModule required user_starplan="` + password + `";`,
		},
	}
	for name, config := range ways {
		if config["protocol"] == "SASL_PLAINTEXT" {
			continue
		}
		config["ssl.keystore.type"], config["ssl.keystore.location"] = "PEM", known
		config["ssl.truststore.type"], config["ssl.truststore.location"] = "PEM", secured.ca.File
		if name == stranger {
			config["ssl.keystore.location"] = unknown
		}
	}
	return ways
}

// keystore writes certificate and key into one file, as Kafka wants them.
func keystore(dir, name string, ca *testcert.Authority) (string, error) {
	cert, err := ca.Sign(name)
	if err != nil {
		return "", err
	}
	var text []byte
	for _, file := range []string{cert.KeyFile, cert.CertFile} {
		part, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		text = append(text, part...)
	}
	path := filepath.Join(dir, name+"-store.pem")
	return path, os.WriteFile(path, text, 0o600)
}

// credentials are the settings that are right for a way into the broker.
func credentials(way string) map[string]string {
	env := map[string]string{"KAFKA_BOOTSTRAP_SERVERS": secured.proxies[way].addr, "LOG_LEVEL": "debug"}
	if way != plain {
		env["KAFKA_TLS_CA_FILE"] = secured.ca.File
	}
	switch way {
	case mutual:
		env["KAFKA_TLS_CERT_FILE"], env["KAFKA_TLS_KEY_FILE"] = secured.client.CertFile, secured.client.KeyFile
	case bearer:
		env["KAFKA_SASL_MECHANISM"], env["KAFKA_SASL_TOKEN_URL"] = "OAUTHBEARER", secured.tokens.url
		env["KAFKA_SASL_CLIENT_ID"], env["KAFKA_SASL_CLIENT_SECRET"] = "starplan", clientSecret
	case plain:
		env["KAFKA_SASL_MECHANISM"], env["KAFKA_SASL_USERNAME"], env["KAFKA_SASL_PASSWORD"] = "PLAIN", "starplan", password
	default:
		env["KAFKA_SASL_MECHANISM"], env["KAFKA_SASL_USERNAME"], env["KAFKA_SASL_PASSWORD"] = "SCRAM-SHA-512", "starplan", password
	}
	return env
}

// by gives the environment of a service that comes by a way, with changes in pairs;
// one to nothing takes a variable away.
func (s *scenario) by(way string, changes ...string) map[string]string {
	env := s.environment()
	maps.Copy(env, credentials(way))
	for i := 0; i < len(changes); i += 2 {
		env[changes[i]] = changes[i+1]
		if changes[i+1] == "" {
			delete(env, changes[i])
		}
	}
	return env
}

// principal is whom the broker knows those as who come by a way.
func principal(way string) string {
	if way == mutual {
		return "User:CN=starplan"
	}
	return "User:starplan"
}

// admin gives a client that may do everything.
func admin(t *testing.T) *kadm.Client {
	t.Helper()
	if secured.dir == "" {
		t.Fatalf("these tests are about Apache Kafka: set %s=%s", kafkatest.KindVariable, kafkatest.Kafka)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(suite.broker.Addr()))
	must(t, err)
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// enrol makes a user of SCRAM, or changes its password.
func enrol(ctx context.Context, t *testing.T, user, password string) {
	t.Helper()
	res, err := admin(t).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
	must(t, err)
	must(t, res[user].Err)
}

// right is one that a service needs: an operation, and on what.
type right struct {
	op             kadm.ACLOperation
	resource, name string
}

// rights lists what the service of this tenant needs, as docs/operating.md has it.
func (s *scenario) rights() []right {
	group := "executors-" + s.tenant
	return []right{
		{kadm.OpRead, "topic", s.inputTopic()},
		{kadm.OpWrite, "topic", s.outputTopic()},
		{kadm.OpWrite, "topic", s.deadLetters()},
		{kadm.OpRead, "group", group},
		{kadm.OpWrite, "transactional ids with the prefix", group + "/"},
	}
}

func (s *scenario) deadLetters() string { return "dlq-plan-inputs-" + s.tenant }

func (r right) acl(who string) *kadm.ACLBuilder {
	b := kadm.NewACLs().Operations(r.op).Allow(who).AllowHosts("*").ResourcePatternType(kadm.ACLPatternLiteral)
	switch r.resource {
	case "topic":
		return b.Topics(r.name)
	case "group":
		return b.Groups(r.name)
	default:
		return b.TransactionalIDs(r.name).ResourcePatternType(kadm.ACLPatternPrefixed)
	}
}

// grant gives rights, and deny takes them away.
func (s *scenario) grant(who string, rights ...right) {
	s.t.Helper()
	for _, r := range rights {
		res, err := admin(s.t).CreateACLs(s.ctx, r.acl(who))
		must(s.t, err)
		must(s.t, res[0].Err)
	}
}

func (s *scenario) deny(who string, rights ...right) {
	s.t.Helper()
	for _, r := range rights {
		res, err := admin(s.t).DeleteACLs(s.ctx, r.acl(who))
		must(s.t, err)
		must(s.t, res[0].Err)
		if len(res[0].Deleted) != 1 {
			s.t.Fatalf("%d rules were taken away, want 1", len(res[0].Deleted))
		}
	}
}

// proxy passes connections on to a port, and counts them.
type proxy struct {
	addr string

	mu       sync.Mutex
	port     int
	accepted []time.Time
	open     map[net.Conn]bool
}

func newProxy(port int) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: l.Addr().String(), port: port, open: make(map[net.Conn]bool)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p, nil
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	p.accepted = append(p.accepted, time.Now())
	p.open[client] = true
	port := p.port
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, client)
	}()
	broker, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return
	}
	defer broker.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(broker, client)
		_ = broker.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, broker)
	_ = client.(*net.TCPConn).CloseWrite()
	<-done
}

// lead sends connections to another port from now on, and cuts those that are open.
func (p *proxy) lead(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.port = port
	for conn := range p.open {
		_ = conn.Close()
	}
}

// count is the number of connections since begin.
func (p *proxy) count(begin time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, at := range p.accepted {
		if !at.Before(begin) {
			n++
		}
	}
	return n
}

// discreet fails the test where a process has shown one of the secrets in its
// environment, or in files that it names.
func discreet(t *testing.T, env map[string]string, shown ...string) {
	t.Helper()
	secrets := make(map[string]string)
	for name, value := range env {
		switch {
		case strings.HasSuffix(name, "_PASSWORD"), strings.HasSuffix(name, "_SECRET"):
			secrets[name] = value
		case strings.HasSuffix(name, "_PASSWORD_FILE"), strings.HasSuffix(name, "_SECRET_FILE"), strings.HasSuffix(name, "_TOKEN_FILE"), strings.HasSuffix(name, "_KEY_FILE"):
			if text, err := os.ReadFile(value); err == nil {
				secrets[name] = strings.Split(strings.TrimSpace(strings.TrimPrefix(string(text), "-----BEGIN PRIVATE KEY-----")), "\n")[0]
			}
		}
	}
	if env["KAFKA_SASL_TOKEN_URL"] != "" {
		// Every token begins in the same way.
		secrets["a token"] = secured.tokens.token("starplan", time.Hour)[:20]
	}
	for name, secret := range secrets {
		for _, text := range shown {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s is shown: …%.200s", name, text[max(0, at-100):])
			}
		}
	}
}
