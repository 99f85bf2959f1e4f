package httpserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/internal/httpserver"
	"starplan/internal/testcert"
)

// serve starts a server that knows nothing but how it is protected.
func serve(t *testing.T, opts httpserver.Options) *httpserver.Server {
	t.Helper()
	opts.Addr, opts.Gatherer = "127.0.0.1:0", prometheus.NewRegistry()
	opts.NotReady = func() []string { return nil }
	srv, err := httpserver.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// ask gives the status and the body of an answer.
func ask(t *testing.T, client *http.Client, method, url string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	return res.StatusCode, string(body)
}

func TestLogLevel(t *testing.T) {
	var log bytes.Buffer
	level := new(slog.LevelVar)
	srv := serve(t, httpserver.Options{Level: level, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))})
	url := "http://" + srv.Addr() + "/-/log-level"
	for _, test := range []struct {
		name, method, query string
		change              func(*http.Request)
		want                int
		wantBody            string
		wantLevel           slog.Level
	}{
		{name: "shown", method: "GET", want: 200, wantBody: `"level": "info"`},
		{name: "changed", method: "PUT", query: "?level=debug", want: 200, wantBody: `"level": "debug"`, wantLevel: slog.LevelDebug},
		{name: "shown again", method: "GET", want: 200, wantBody: `"level": "debug"`, wantLevel: slog.LevelDebug},
		{name: "no level", method: "PUT", query: "?level=loud", want: 400, wantBody: `want debug, info, warn or error, got \"loud\"`, wantLevel: slog.LevelDebug},
		{name: "nothing", method: "PUT", want: 400, wantBody: "level: want", wantLevel: slog.LevelDebug},
		{name: "quieter", method: "PUT", query: "?level=ERROR", want: 200, wantBody: `"level": "error"`, wantLevel: slog.LevelError},
		{
			name: "by another site", method: "PUT", query: "?level=debug", want: 403, wantLevel: slog.LevelError,
			change: func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		},
		{
			name: "under another name", method: "PUT", query: "?level=debug", want: 403, wantLevel: slog.LevelError,
			change: func(r *http.Request) { r.Host = "evil.example" },
		},
		{name: "by POST", method: "POST", query: "?level=debug", want: 405, wantLevel: slog.LevelError},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, body := ask(t, http.DefaultClient, test.method, url+test.query, test.change)
			if code != test.want || !strings.Contains(body, test.wantBody) {
				t.Errorf("%s %s = %d %s, want %d with %s", test.method, test.query, code, body, test.want, test.wantBody)
			}
			if got := level.Level(); got != test.wantLevel {
				t.Errorf("level = %v, want %v", got, test.wantLevel)
			}
		})
	}
	for _, want := range []string{"from=info to=debug", "from=debug to=error"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log = %s, want it to tell %s", log.String(), want)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The password is "secret".
const webConfig = `tls_server_config:
  cert_file: server.crt
  key_file: server.key
basic_auth_users:
  ops: $2a$04$7x.M3pLSCVWJr95kN.0tD.L8q7XVttw2czMyMIQ0qhejUZjNnyUWe
`

func TestWebConfig(t *testing.T) {
	dir := t.TempDir()
	ca, err := testcert.New(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Sign("server"); err != nil {
		t.Fatal(err)
	}
	srv := serve(t, httpserver.Options{ConfigFile: write(t, dir, "web.yml", webConfig)})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool}}}
	as := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	for _, test := range []struct {
		name, scheme string
		change       func(*http.Request)
		want         int
	}{
		{"nobody", "https", nil, 401},
		{"wrong password", "https", as("ops", "guess"), 401},
		{"wrong user", "https", as("root", "secret"), 401},
		{"right", "https", as("ops", "secret"), 200},
		{"in the clear", "http", as("ops", "secret"), 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/metrics", "/readyz"} {
				if code, body := ask(t, client, "GET", test.scheme+"://"+srv.Addr()+path, test.change); code != test.want {
					t.Errorf("%s = %d %s, want %d", path, code, body, test.want)
				}
			}
		})
	}
}

func TestWebConfigMistakes(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":        "{",
		"unknown field":  "basic_auth: {}",
		"no certificate": "tls_server_config: {cert_file: none.pem, key_file: none.pem}",
		"no hash":        "basic_auth_users: {ops: secret}",
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, t.TempDir(), "web.yml", text)
			_, err := httpserver.Start(httpserver.Options{Addr: "127.0.0.1:0", Gatherer: prometheus.NewRegistry(), ConfigFile: file})
			if err == nil || !strings.Contains(err.Error(), "HTTP_CONFIG_FILE: "+file) {
				t.Errorf("Start = %v, want an error that names HTTP_CONFIG_FILE and the file", err)
			}
		})
	}
}

func TestDebug(t *testing.T) {
	srv, err := httpserver.StartDebug("localhost:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	for path, want := range map[string]string{
		"/debug/vars":                    `"memstats"`,
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
		"/debug/pprof/cmdline":           "httpserver.test",
	} {
		if code, body := ask(t, http.DefaultClient, "GET", "http://"+srv.Addr()+path, nil); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s = %d %.200s, want 200 with %q", path, code, body, want)
		}
	}
	rebound := func(r *http.Request) { r.Host = "evil.example" }
	if code, _ := ask(t, http.DefaultClient, "GET", "http://"+srv.Addr()+"/debug/vars", rebound); code != 403 {
		t.Errorf("under another name: %d, want 403", code)
	}
}

// TestDebugStaysApart: the public address shows no profiles.
func TestDebugStaysApart(t *testing.T) {
	srv := serve(t, httpserver.Options{})
	for _, path := range []string{"/debug/vars", "/debug/pprof/", "/-/log-level"} {
		if code, _ := ask(t, http.DefaultClient, "GET", "http://"+srv.Addr()+path, nil); code != 404 {
			t.Errorf("%s = %d, want 404", path, code)
		}
	}
}

func TestDebugAddr(t *testing.T) {
	for addr, want := range map[string]bool{
		"localhost:6060": true, "127.0.0.1:6060": true, "127.8.8.8:0": true, "[::1]:6060": true,
		":6060": false, "0.0.0.0:6060": false, "[::]:6060": false, "192.168.1.2:6060": false, "example.com:6060": false,
		"localhost.example.com:6060": false, "6060": false, "localhost": false,
	} {
		if err := httpserver.CheckDebugAddr(addr); (err == nil) != want {
			t.Errorf("CheckDebugAddr(%q) = %v, want it allowed: %v", addr, err, want)
		}
		if !want {
			if srv, err := httpserver.StartDebug(addr, nil); err == nil {
				t.Errorf("StartDebug(%q) listens on %s, want an error", addr, srv.Addr())
				_ = srv.Close(context.Background())
			}
		}
	}
}
