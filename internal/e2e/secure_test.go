//go:build kafka

package e2e

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/internal/connection"
	"starplan/internal/kafkatest"
	"starplan/internal/rights"
)

const (
	// errorWithin is how soon a mistake must be named, and stormWindow how long
	// connections are counted after that.
	errorWithin = 10 * time.Second
	stormWindow = 5 * time.Second
	// maxConnects is how many connections a second a mistake may cause.
	maxConnects = 5
)

// lastLine is what the program said last.
func (s *service) lastLine() string {
	lines := strings.Split(s.output(), "\n")
	return lines[len(lines)-1]
}

// reasons is the answer of /readyz, or empty where there is none.
func (s *service) reasons(ctx context.Context) string {
	code, body, err := s.do(ctx, http.MethodGet, "/readyz")
	if err != nil || code == http.StatusOK {
		return ""
	}
	return strings.NewReplacer(`\"`, `"`, `\u003c`, "<", `\u003e`, ">").Replace(body)
}

// secretly checks, when the test ends, that a service has shown no secret.
func secretly(t *testing.T, svc *service, env map[string]string) {
	t.Cleanup(func() { discreet(t, env, svc.output()) })
}

// calm waits for the window and checks how many connections came in it.
func calm(t *testing.T, p *proxy, what string) {
	t.Helper()
	begin := time.Now()
	<-time.After(stormWindow)
	n := p.count(begin)
	t.Logf("%s: %d connections in %v", what, n, stormWindow)
	if most := maxConnects * int(stormWindow.Seconds()); n > most {
		t.Errorf("%s: %d connections in %v, want %d at most", what, n, stormWindow, most)
	}
}

// TestWaysIn comes into the broker by its ways, with no right more than the
// documentation lists, and answers exactly once. TestTokensExpire comes in by the
// one that is missing here.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	enrol(t.Context(), t, "starplan", password)
	for name, way := range map[string]string{"mutual TLS": mutual, "SCRAM-SHA-512 over TLS": scram} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			must(t, kafkatest.CreateTopics(s.ctx, s.addr, 1, s.deadLetters()))
			s.grant(principal(way), s.rights()...)
			env := s.by(way, "DEAD_LETTER_TOPIC", "auto")
			svc := startService(s.ctx, t, env)
			secretly(t, svc, env)
			t.Logf("ready after %v", svc.awaitReady(s.ctx).Round(time.Millisecond))
			few := s.traffic()
			few.Count = 200
			s.produce(few).wait()
			s.settled()
			for _, path := range []string{"/", "/health", "/readyz", "/metrics", "/api/plans", "/api/executions"} {
				code, body, err := svc.do(s.ctx, http.MethodGet, path)
				must(t, err)
				if code != http.StatusOK {
					t.Errorf("%s = %d, want 200", path, code)
				}
				discreet(t, env, body)
			}
			svc.terminate(s.ctx)
			must(t, s.report().ExactlyOnce())
		})
	}
}

// file writes a secret to a file of its own.
func file(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	return path
}

// mistake is a setting that does not fit, and what is said of it.
type mistake struct {
	name    string
	way     string
	changes []string
	want    string
	// run: a service is started with it, too. ends: that ends by itself; else it
	// waits, and /readyz says why.
	run, ends bool
}

// withToken are the changes that replace client credentials by a file.
func withToken(file string) []string {
	return []string{
		"KAFKA_SASL_TOKEN_URL", "", "KAFKA_SASL_CLIENT_ID", "", "KAFKA_SASL_CLIENT_SECRET", "",
		"KAFKA_SASL_TOKEN_FILE", filepath.Join(secured.dir, file),
	}
}

func mistakes() []mistake {
	const mechanism = "KAFKA_SASL_MECHANISM"
	return []mistake{
		{"none, of PLAIN", plain, nil, "", false, false},
		{"none, of a token from a file", bearer, withToken("good"), "", false, false},
		{"wrong authority", scram, []string{"KAFKA_TLS_CA_FILE", secured.otherCA.File},
			`the broker's certificate is signed by "CN=ca", which is not in KAFKA_TLS_CA_FILE ` + secured.otherCA.File, true, false},
		{"the system's authorities", scram, []string{"KAFKA_TLS_CA_FILE", "", "KAFKA_TLS_ENABLED", "true"},
			`the broker's certificate is signed by "CN=ca", which this system does not trust; set KAFKA_TLS_CA_FILE`, false, false},
		{"wrong name", scram, []string{"KAFKA_TLS_SERVER_NAME", "kafka.example.com"},
			"the broker's certificate is for localhost, 127.0.0.1 and not for kafka.example.com; set KAFKA_TLS_SERVER_NAME", false, false},
		{"no client certificate", mutual, []string{"KAFKA_TLS_CERT_FILE", "", "KAFKA_TLS_KEY_FILE", ""},
			"the broker wants a client certificate (tls: bad certificate); set KAFKA_TLS_CERT_FILE and KAFKA_TLS_KEY_FILE", false, false},
		{"no TLS", scram, []string{"KAFKA_TLS_CA_FILE", ""}, "speaks TLS at this port and TLS is not set; set KAFKA_TLS_ENABLED=true", false, false},
		{"TLS in vain", plain, []string{"KAFKA_TLS_CA_FILE", secured.ca.File}, "does not speak TLS at this port", true, false},
		{"no SASL", scram, []string{mechanism, "", "KAFKA_SASL_USERNAME", "", "KAFKA_SASL_PASSWORD", ""},
			"wants SASL and none is set; set KAFKA_SASL_MECHANISM to one of SCRAM-SHA-512, and the credentials", false, false},
		{"no SASL in the clear", plain, []string{mechanism, "", "KAFKA_SASL_USERNAME", "", "KAFKA_SASL_PASSWORD", ""},
			"wants SASL and none is set; set KAFKA_SASL_MECHANISM to one of PLAIN, and the credentials", false, false},
		{"SASL in vain", mutual, []string{mechanism, "PLAIN", "KAFKA_SASL_USERNAME", "starplan", "KAFKA_SASL_PASSWORD", password},
			"the broker takes no SASL here; unset KAFKA_SASL_MECHANISM", false, true},
		{"wrong password", scram, []string{"KAFKA_SASL_PASSWORD", "gue55ed-password"},
			`the broker refuses user "starplan" with SCRAM-SHA-512: Authentication failed during authentication due to invalid credentials`, true, true},
		{"wrong password of PLAIN", plain, []string{"KAFKA_SASL_PASSWORD", "gue55ed-password"},
			`the broker refuses user "starplan" with PLAIN: Authentication failed: Invalid username or password; correct KAFKA_SASL_USERNAME or the password`, false, true},
		{"unknown user", scram, []string{"KAFKA_SASL_USERNAME", "nobody"}, `the broker refuses user "nobody" with SCRAM-SHA-512`, false, true},
		{"mechanism that is not enabled", scram, []string{mechanism, "PLAIN"}, "does not offer PLAIN, but SCRAM-SHA-512; set KAFKA_SASL_MECHANISM", true, true},
		{"wrong client secret", bearer, []string{"KAFKA_SASL_CLIENT_SECRET", "gue55ed-secret"},
			`refuses client "starplan": invalid_client: no such client, or wrong secret; correct KAFKA_SASL_CLIENT_ID or KAFKA_SASL_CLIENT_SECRET`, false, true},
		{"token endpoint away", bearer, []string{"KAFKA_SASL_TOKEN_URL", "http://127.0.0.1:1/token"},
			"token endpoint http://127.0.0.1:1/token: dial tcp 127.0.0.1:1: connect: connection refused", true, false},
		{"token that has expired", bearer, withToken("expired"), "the token of KAFKA_SASL_TOKEN_FILE expired at ", false, true},
		{"token that nobody signed", bearer, withToken("forged"), `the broker refuses the token of KAFKA_SASL_TOKEN_FILE: {"status":"invalid_token"}`, false, true},
	}
}

// settings gives what the program makes of an environment.
func settings(t *testing.T, env map[string]string) connection.Settings {
	t.Helper()
	var args []string
	for name, value := range env {
		if strings.HasPrefix(name, "KAFKA_TLS_") || strings.HasPrefix(name, "KAFKA_SASL_") {
			args = append(args, "--"+strings.ToLower(strings.ReplaceAll(name, "_", "-"))+"="+value)
		}
	}
	var security config.Security
	parser, err := kong.New(&security)
	must(t, err)
	_, err = parser.Parse(args)
	must(t, err)
	s, err := security.Resolve()
	must(t, err)
	return s
}

// TestMistakes: each is named within ten seconds, and without a storm of connections.
func TestMistakes(t *testing.T) {
	t.Parallel()
	enrol(t.Context(), t, "starplan", password)
	for name, token := range map[string]string{
		"good": secured.tokens.token("starplan", time.Hour), "expired": secured.tokens.token("starplan", -time.Hour), "forged": secured.tokens.token("starplan", time.Hour) + "x",
	} {
		must(t, os.WriteFile(filepath.Join(secured.dir, name), []byte(token), 0o600))
	}
	for _, m := range mistakes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			own, err := newProxy(secured.ports[m.way]) // So that the connections are this test's.
			must(t, err)
			s := prepare(t, suite.broker.Addr())
			env := s.by(m.way, append(m.changes, "KAFKA_BOOTSTRAP_SERVERS", own.addr)...)
			m.explained(s.ctx, t, settings(t, env), own.addr)
			switch {
			case m.run && m.ends:
				m.ending(s.ctx, t, env, own)
			case m.run:
				m.waiting(s.ctx, t, env, own)
			}
		})
	}
}

// explained checks what is made of the error that a client meets.
func (m mistake) explained(ctx context.Context, t *testing.T, s connection.Settings, broker string) {
	t.Helper()
	cl, err := kgo.NewClient(append(s.Options(), kgo.SeedBrokers(broker), kgo.RequestRetries(0))...)
	must(t, err)
	defer cl.Close()
	met := cl.Ping(ctx)
	if (met == nil) != (m.want == "") {
		t.Fatalf("a client that connects meets %v, want %q", met, m.want)
	}
	if met == nil {
		return
	}
	err = s.Explain(ctx, []string{broker}, met)
	if !strings.Contains(err.Error(), m.want) {
		t.Errorf("a client meets %v\nwhich is explained as %v\nwant %q", met, err, m.want)
	}
	if refused := errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism) || errors.Is(err, kerr.IllegalSaslState); refused != m.ends {
		t.Errorf("a client meets %v; is it refused for good: %v, want %v", met, refused, m.ends)
	}
}

// ending starts a service that ends by itself.
func (m mistake) ending(ctx context.Context, t *testing.T, env map[string]string, own *proxy) {
	t.Helper()
	before := own.count(time.Time{})
	svc := launch(t, env)
	secretly(t, svc, env)
	ctx, cancel := context.WithTimeout(ctx, errorWithin)
	defer cancel()
	code, n := svc.awaitEnd(ctx), own.count(time.Time{})-before
	t.Logf("the service ended after %v with %d connections", time.Since(svc.started).Round(time.Millisecond), n)
	if code != 1 || !strings.Contains(svc.lastLine(), m.want) {
		t.Errorf("the service ended with %d and said\n%s\nwant 1 and %q", code, svc.lastLine(), m.want)
	}
	if n > maxConnects {
		t.Errorf("%d connections, want %d at most", n, maxConnects)
	}
}

// waiting starts a service that does not end.
func (m mistake) waiting(ctx context.Context, t *testing.T, env map[string]string, own *proxy) {
	t.Helper()
	named, cancel := context.WithTimeout(ctx, errorWithin)
	defer cancel()
	svc := startService(named, t, env)
	secretly(t, svc, env)
	svc.await(named, "/readyz to say "+m.want, func() bool { return strings.Contains(svc.reasons(named), m.want) })
	t.Logf("the service named it after %v", time.Since(svc.started).Round(time.Millisecond))
	if line, _ := svc.awaitLine(named, "waiting for kafka")["reason"].(string); !strings.Contains(line, m.want) {
		t.Errorf("the log says %q, want %q", line, m.want)
	}
	calm(t, own, "since it was named")
}

// TestMissingRights: a right that is missing is found out on a broker with access
// control as people have it. A service ends before it has done anything, and names
// all that are missing.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	enrol(t.Context(), t, "starplan", password)
	s := newScenario(t)
	must(t, kafkatest.CreateTopics(s.ctx, s.addr, 1, s.deadLetters()))
	env := s.by(scram, "DEAD_LETTER_TOPIC", "auto")
	needs := rights.Needs{Input: s.inputTopic(), Output: s.outputTopic(), DeadLetters: s.deadLetters(), Group: "executors-" + s.tenant, Transactions: true}
	cl, err := kgo.NewClient(append(settings(t, env).Options(), kgo.SeedBrokers(secured.proxies[scram].addr))...)
	must(t, err)
	defer cl.Close()
	find := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		// A broker hears of a change of rights a little later than who made it.
		for begin := time.Now(); ; <-again.C {
			missing, err := rights.Missing(s.ctx, cl, needs.Rights())
			must(t, err)
			got := make([]string, len(missing))
			for i, r := range missing {
				got[i] = r.String()
			}
			if slices.Sort(got); slices.Equal(got, want) {
				return
			}
			if time.Since(begin) > errorWithin {
				t.Fatalf("missing are %q, want %q", got, want)
			}
		}
	}

	svc := launch(t, env)
	secretly(t, svc, env)
	ctx, cancel := context.WithTimeout(s.ctx, errorWithin)
	defer cancel()
	code := svc.awaitEnd(ctx)
	t.Logf("without any right the service ended after %v", time.Since(svc.started).Round(time.Millisecond))
	var all []string
	for _, r := range s.rights() {
		all = append(all, r.text())
		command := "kafka-acls --bootstrap-server HOST:PORT --add --allow-principal User:starplan --operation " + strings.Fields(r.text())[0]
		if last := svc.lastLine(); code != 1 || !strings.Contains(last, r.text()) || !strings.Contains(last, command) {
			t.Errorf("the service ended with %d and said\n%s\nwant 1, %q and %q", code, last, r.text(), command)
		}
	}
	find(all...)
	s.grant("User:starplan", s.rights()...)
	find()
	for _, r := range s.rights() {
		s.deny("User:starplan", r)
		find(r.text())
		// To see a thing is not to use it.
		seen := r
		seen.op = kadm.OpDescribe
		s.grant("User:starplan", seen)
		find(r.text())
		s.grant("User:starplan", r)
	}
}

// text is the right in the service's words.
func (r right) text() string {
	op := map[bool]string{true: "Write", false: "Read"}[strings.EqualFold(r.op.String(), "write")]
	if strings.HasPrefix(r.resource, "transactional") {
		return op + " on " + r.resource + ` "` + r.name + `"`
	}
	return op + " on " + r.resource + " " + r.name
}

// TestRightIsTakenAway takes rights away from a service that runs, one after the
// other. It ends each time, and names the right; when that is given back, another
// start answers what is left. In the end all is answered exactly once.
func TestRightIsTakenAway(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	enrol(s.ctx, t, "starplan", password)
	needed := s.rights()
	s.grant("User:starplan", needed...)
	// A member that may not leave its group is missed after this time.
	env := s.by(scram, "KAFKA_SESSION_TIMEOUT", "3s")
	few := s.traffic()
	few.Count = 100
	for _, r := range needed {
		if r.name == s.deadLetters() || r.name == s.inputTopic() {
			continue // The one is not there. The other is as the group is, but for the words.
		}
		svc := startService(s.ctx, t, env)
		secretly(t, svc, env)
		svc.awaitReady(s.ctx)
		s.produce(few).wait()
		s.settled()
		s.deny("User:starplan", r)
		denied := time.Now()
		slow := few // So that the right is used again and again.
		slow.Count, slow.Rate = 60, 20
		traffic := s.produce(slow)
		ctx, cancel := context.WithTimeout(s.ctx, errorWithin)
		code := svc.awaitEnd(ctx)
		cancel()
		t.Logf("%s: the service ended %v after it was taken away", r.text(), time.Since(denied).Round(time.Millisecond))
		if want := "grant " + r.text() + ": kafka-acls"; code != 1 || !strings.Contains(svc.lastLine(), want) {
			t.Errorf("the service ended with %d and said\n%s\nwant 1 and %q", code, svc.lastLine(), want)
		}
		s.grant("User:starplan", r)
		traffic.wait()
	}
	svc := startService(s.ctx, t, env)
	secretly(t, svc, env)
	s.settled()
	svc.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

// TestCredentialsChange changes, under a service that runs, first the password and
// then the broker's certificate. It waits without a storm of connections, says why,
// and goes on when they fit again.
func TestCredentialsChange(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	enrol(s.ctx, t, "changing", password)
	s.grant("User:changing", s.rights()...)
	way := secured.proxies[changing]
	secret := file(t, password)
	env := s.by(changing, "KAFKA_SASL_USERNAME", "changing", "KAFKA_SASL_PASSWORD", "", "KAFKA_SASL_PASSWORD_FILE", secret, "KAFKA_SESSION_TIMEOUT", "3s")
	svc := startService(s.ctx, t, env)
	secretly(t, svc, env)
	svc.awaitReady(s.ctx)
	few := s.traffic()
	few.Count = 200
	s.produce(few).wait()
	s.settled()

	for _, step := range []struct {
		name        string
		upset, mend func()
		want        string
	}{
		{"password", func() {
			enrol(s.ctx, t, "changing", "an0ther-password")
			way.lead(secured.ports[changing])
		}, func() { must(t, os.WriteFile(secret, []byte("an0ther-password"), 0o600)) }, "SASL_AUTHENTICATION_FAILED"},
		{"certificate", func() { way.lead(secured.ports[stranger]) }, func() { way.lead(secured.ports[changing]) }, "certificate signed by unknown authority"},
	} {
		broken := time.Now()
		step.upset()
		svc.await(s.ctx, "/readyz to name the "+step.name, func() bool { return strings.Contains(svc.reasons(s.ctx), step.want) })
		t.Logf("%s named after %v", step.name, time.Since(broken).Round(time.Millisecond))
		calm(t, way, "wrong "+step.name)
		step.mend()
		mended := time.Now()
		s.produce(few).wait()
		s.settled()
		svc.awaitReady(s.ctx)
		t.Logf("%s mended: all answered after %v", step.name, time.Since(mended).Round(time.Millisecond))
	}
	svc.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
}

// TestTokensExpire runs on tokens that are good for five seconds, at a broker that
// holds a connection to them.
func TestTokensExpire(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.grant(principal(bearer), s.rights()...)
	env := s.by(bearer, "KAFKA_SASL_TOKEN_URL", strings.Replace(secured.tokens.url, "/token", "/short", 1))
	svc := startService(s.ctx, t, env)
	secretly(t, svc, env)
	svc.awaitReady(s.ctx)
	long := s.traffic()
	long.Count, long.Rate = 800, 100
	s.produce(long).wait()
	s.settled()
	svc.terminate(s.ctx)
	must(t, s.report().ExactlyOnce())
	n := secured.tokens.short.Load()
	ran := time.Since(svc.started)
	t.Logf("%d tokens of %v in %v", n, shortLife, ran.Round(time.Second))
	if most := int64(ran/(shortLife*4/5)) + 1; n < 2 || n > most {
		t.Errorf("%d tokens of %v were asked for in %v, want 2 to %d: another one before the last expires, and no more", n, shortLife, ran, most)
	}
	if strings.Contains(svc.output(), "SASL_AUTHENTICATION_FAILED") {
		t.Error("the broker was shown a token that had expired")
	}
}
