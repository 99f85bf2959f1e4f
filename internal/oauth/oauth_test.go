package oauth

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/testcert"
)

const secret = "t0p-s3cret/+&"

// endpoint is a token endpoint. Its answers are numbered.
type endpoint struct {
	url   string
	asked atomic.Int64
	// answer writes what is answered to request n; nil gives a token of 100 s.
	answer atomic.Pointer[func(w http.ResponseWriter, r *http.Request, n int64)]
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := new(endpoint)
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	e.url = server.URL + "/token"
	return e
}

func (e *endpoint) set(answer func(w http.ResponseWriter, r *http.Request, n int64)) {
	e.answer.Store(&answer)
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := e.asked.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if answer := e.answer.Load(); answer != nil {
		(*answer)(w, r, n)
		return
	}
	fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":100}`, n)
}

func answer(code int, body string) func(http.ResponseWriter, *http.Request, int64) {
	return func(w http.ResponseWriter, _ *http.Request, _ int64) {
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// clock is a time that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newSource(e *endpoint, change func(*Options)) (*Source, *clock) {
	opts := Options{URL: e.url, ClientID: "starplan", Secret: func() (string, error) { return secret, nil }}
	if change != nil {
		change(&opts)
	}
	s, c := New(opts), &clock{at: time.Now()}
	s.now = c.now
	return s, c
}

func TestRequest(t *testing.T) {
	e := newEndpoint(t)
	e.set(func(w http.ResponseWriter, r *http.Request, _ int64) {
		id, password, _ := r.BasicAuth()
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		// RFC 6749, section 2.3.1, wants both form-encoded within the header.
		if got, want := fmt.Sprintf("%s %s %s %v", r.Method, id, password, r.PostForm), "POST starplan t0p-s3cret%2F%2B%26 map[grant_type:[client_credentials] scope:[read write]]"; got != want {
			t.Errorf("the endpoint is asked %s\nwant %s", got, want)
		}
		fmt.Fprint(w, `{"access_token":"x","token_type":"bearer","expires_in":100}`)
	})
	s, _ := newSource(e, func(o *Options) { o.Scopes = []string{"read", "write"} })
	if got, err := s.Token(t.Context()); err != nil || got.Value != "x" {
		t.Errorf("Token = %v, %v, want x", got, err)
	}
}

// TestLife follows a source through the life of its tokens.
func TestLife(t *testing.T) {
	e := newEndpoint(t)
	s, c := newSource(e, nil)
	away := answer(http.StatusServiceUnavailable, "")
	for i, step := range []struct {
		after time.Duration
		away  bool
		want  string
		asked int64
	}{
		{after: 0, want: "token-1", asked: 1},
		{after: 79 * time.Second, want: "token-1", asked: 1},
		// The endpoint is away when it is time for another token.
		{after: 2 * time.Second, away: true, want: "token-1", asked: 2},
		{after: 100 * time.Millisecond, away: true, want: "token-1", asked: 2},
		{after: time.Second, away: true, want: "token-1", asked: 3},
		{after: 20 * time.Second, away: true, want: "", asked: 4},
		{after: 100 * time.Millisecond, away: true, want: "", asked: 4},
		{after: time.Second, want: "token-5", asked: 5},
		{after: 79 * time.Second, want: "token-5", asked: 5},
		{after: 2 * time.Second, want: "token-6", asked: 6},
	} {
		c.move(step.after)
		e.answer.Store(nil)
		if step.away {
			e.set(away)
		}
		got, err := s.Token(t.Context())
		if got.Value != step.want || (err == nil) != (step.want != "") || e.asked.Load() != step.asked {
			t.Fatalf("step %d: Token = %q, %v after %d requests, want %q after %d", i, got.Value, err, e.asked.Load(), step.want, step.asked)
		}
	}
}

// TestTogether: many connections at once ask for one token.
func TestTogether(t *testing.T) {
	e := newEndpoint(t)
	s, _ := newSource(e, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := s.Token(t.Context()); err != nil || got.Value != "token-1" {
				t.Errorf("Token = %v, %v, want token-1", got, err)
			}
		})
	}
	wg.Wait()
	if n := e.asked.Load(); n != 1 {
		t.Errorf("the endpoint was asked %d times, want once", n)
	}
}

// TestNoExpiry: a token that does not say when it expires is used for a minute.
func TestNoExpiry(t *testing.T) {
	e := newEndpoint(t)
	e.set(func(w http.ResponseWriter, _ *http.Request, n int64) {
		fmt.Fprintf(w, `{"access_token":"token-%d"}`, n)
	})
	s, c := newSource(e, nil)
	for _, want := range []string{"token-1", "token-1", "token-2"} {
		if got, err := s.Token(t.Context()); err != nil || got.Value != want {
			t.Errorf("Token = %v, %v, want %s", got, err, want)
		}
		c.move(30 * time.Second)
	}
}

func TestParse(t *testing.T) {
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
	}
	at := time.Unix(1_800_000_000, 0)
	for text, want := range map[string]Token{
		token(`{"sub":"s","exp":1800000000}`): {Subject: "s", Expires: at},
		token(`{"exp":1800000000.5}`):         {Expires: at.Add(500 * time.Millisecond)},
		token(`{"exp":1.8e9}`):                {Expires: at},
		token(`{"sub":"s","exp":"soon"}`):     {},
		token(`{"sub":"s","exp":-5}`):         {Subject: "s"},
		token(`{"exp":1e300}`):                {},
		token(`{}`):                           {}, token(`[`): {}, "opaque": {}, "a.b": {}, "a.%.c": {}, "": {},
	} {
		got := Parse(text)
		if got.Value != text || got.Subject != want.Subject || !got.Expires.Equal(want.Expires) {
			t.Errorf("Parse(%q) = %+v, want %+v", text, got, want)
		}
	}
	// Where the endpoint does not say it, the token does.
	e := newEndpoint(t)
	expires := time.Now().Add(1000 * time.Second)
	e.set(func(w http.ResponseWriter, _ *http.Request, _ int64) {
		fmt.Fprintf(w, `{"access_token":%q}`, token(fmt.Sprintf(`{"exp":%d}`, expires.Unix())))
	})
	s, c := newSource(e, nil)
	for _, want := range []int64{1, 1, 2} {
		if _, err := s.Token(t.Context()); err != nil || e.asked.Load() != want {
			t.Errorf("Token = %v, after %d requests, want %d", err, e.asked.Load(), want)
		}
		c.move(500 * time.Second)
	}
}

// TestSecretChanges: the secret is asked for at each request.
func TestSecretChanges(t *testing.T) {
	e := newEndpoint(t)
	var got []string
	e.set(func(w http.ResponseWriter, r *http.Request, _ int64) {
		_, password, _ := r.BasicAuth()
		got = append(got, password)
		fmt.Fprint(w, `{"access_token":"x","expires_in":10}`)
	})
	n := 0
	s, c := newSource(e, func(o *Options) { o.Secret = func() (string, error) { n++; return fmt.Sprint("s", n), nil } })
	for range 2 {
		if _, err := s.Token(t.Context()); err != nil {
			t.Error(err)
		}
		c.move(time.Minute)
	}
	if fmt.Sprint(got) != "[s1 s2]" {
		t.Errorf("secrets %v, want s1 and s2", got)
	}
}

func TestErrors(t *testing.T) {
	e := newEndpoint(t)
	where := "token endpoint " + e.url
	for _, test := range []struct {
		name    string
		answer  func(http.ResponseWriter, *http.Request, int64)
		want    string
		refused bool
	}{
		{"secret", answer(401, `{"error":"invalid_client","error_description":"no"}`),
			where + ` refuses client "starplan": invalid_client: no; correct KAFKA_SASL_CLIENT_ID or KAFKA_SASL_CLIENT_SECRET`, true},
		{"secret repeated", answer(401, `{"error":"invalid_client","error_description":"what is `+secret+`?"}`),
			where + ` refuses client "starplan": invalid_client: what is (secret)?; correct KAFKA_SASL_CLIENT_ID or KAFKA_SASL_CLIENT_SECRET`, true},
		{"scope", answer(400, `{"error":"invalid_scope"}`), where + ` refuses client "starplan": invalid_scope; correct KAFKA_SASL_SCOPES`, true},
		{"grant", answer(400, `{"error":"unauthorized_client"}`),
			where + ` refuses client "starplan": unauthorized_client; allow this client the grant client_credentials, or correct KAFKA_SASL_CLIENT_ID`, true},
		{"another error", answer(400, `{"error":"temporarily_unavailable"}`),
			where + " answered 400 Bad Request temporarily_unavailable; see whether KAFKA_SASL_TOKEN_URL is right", false},
		{"no JSON", answer(502, "<html>"+secret), where + " answered 502 Bad Gateway; see whether KAFKA_SASL_TOKEN_URL is right", false},
		{"no token", answer(200, "{}"), where + ": oauth2: server response missing access_token", false},
		{"led away", func(w http.ResponseWriter, r *http.Request, _ int64) {
			http.Redirect(w, r, "http://evil.example/", http.StatusTemporaryRedirect)
		}, where + " answered 307 Temporary Redirect; see whether KAFKA_SASL_TOKEN_URL is right", false},
		{"silent", func(_ http.ResponseWriter, r *http.Request, _ int64) {
			_ = r.ParseForm() // A server hears of a client's end when it has read all that was sent.
			<-r.Context().Done()
		}, where + " did not answer within 50ms", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e.set(test.answer)
			s, _ := newSource(e, nil)
			if test.name == "silent" {
				s.within = 50 * time.Millisecond
			}
			_, err := s.Token(t.Context())
			var own *Error
			if err == nil || err.Error() != test.want || !errors.As(err, &own) {
				t.Fatalf("Token = %v\nwant %s", err, test.want)
			}
			if own.Refused != test.refused || errors.Is(err, kerr.SaslAuthenticationFailed) != test.refused || kgo.IsRetryableBrokerErr(err) {
				t.Errorf("refused %v, as by the broker %v, franz-go tries again at once %v; want refused %v, and no try at once",
					own.Refused, errors.Is(err, kerr.SaslAuthenticationFailed), kgo.IsRetryableBrokerErr(err), test.refused)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		s := New(Options{URL: "http://" + l.Addr().String() + "/token?key=hidden", Secret: func() (string, error) { return secret, nil }})
		_, err = s.Token(t.Context())
		if err == nil || !strings.HasSuffix(err.Error(), "connect: connection refused") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("Token = %v, want that the connection was refused, without the query", err)
		}
	})
	t.Run("no secret", func(t *testing.T) {
		s, _ := newSource(e, func(o *Options) { o.Secret = func() (string, error) { return "", errors.New("file is gone") } })
		if _, err := s.Token(t.Context()); err == nil || err.Error() != "client secret: file is gone" {
			t.Errorf("Token = %v, want that the file is gone", err)
		}
	})
	t.Run("told to stop", func(t *testing.T) {
		e.answer.Store(nil)
		s, _ := newSource(e, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Token(ctx); err == nil {
			t.Error("Token with a context that has ended = nil, want an error")
		}
		if _, err := s.Token(t.Context()); err != nil {
			t.Errorf("Token after another's was stopped = %v, want a token", err)
		}
	})
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	ca, err := testcert.New(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign("idp")
	if err != nil {
		t.Fatal(err)
	}
	e := new(endpoint)
	server := httptest.NewUnstartedServer(e)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert.TLS}}
	server.StartTLS()
	t.Cleanup(server.Close)
	e.url = server.URL
	s, _ := newSource(e, func(o *Options) { o.CAs = ca.Pool })
	if got, err := s.Token(t.Context()); err != nil || got.Value != "token-1" {
		t.Errorf("Token = %v, %v, want token-1", got, err)
	}
	s, _ = newSource(e, nil)
	want := "token endpoint " + e.url + " has a certificate that is not trusted: x509: certificate signed by unknown authority; set KAFKA_SASL_TOKEN_CA_FILE to the authority that signed it"
	if _, err := s.Token(t.Context()); err == nil || err.Error() != want {
		t.Errorf("Token = %v\nwant %s", err, want)
	}
}
