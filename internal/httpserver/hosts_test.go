package httpserver_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/internal/httpserver"
)

// TestHosts asks as browsers do that were led here by all kinds of names.
func TestHosts(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	reloads := 0
	srv, err := httpserver.Start(httpserver.Options{
		Addr: ":0", Gatherer: prometheus.NewRegistry(), Hosts: []string{"starplan.example.com"},
		Page:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
		Reload: func(context.Context) (any, error) { reloads++; return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })
	_, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	loopback, outer := "127.0.0.1:"+port, outerAddr(t)+":"+port

	for _, test := range []struct {
		name, addr, method, path, host string
		header                         map[string]string
		want                           int
	}{
		{name: "page by address", addr: loopback, method: "GET", path: "/", host: loopback, want: 418},
		{name: "page by localhost", addr: loopback, method: "GET", path: "/", host: "localhost:" + port, want: 418},
		{name: "page below localhost", addr: loopback, method: "GET", path: "/events", host: "dev.localhost", want: 418},
		{name: "page by IPv6", addr: loopback, method: "GET", path: "/api/plans", host: "[::1]:" + port, want: 418},
		{name: "page by IPv6 without port", addr: loopback, method: "GET", path: "/api/plans", host: "[::1]", want: 418},
		{name: "page by the machine's name", addr: loopback, method: "GET", path: "/", host: machine, want: 418},
		{name: "page by a name that is set", addr: loopback, method: "GET", path: "/executions/x", host: "STARPLAN.example.com.:80", want: 418},
		{name: "page by a rebound name", addr: loopback, method: "GET", path: "/", host: "evil.example:" + port, want: 403},
		{name: "stream by a rebound name", addr: loopback, method: "GET", path: "/events", host: "evil.example", want: 403},
		{name: "API by a rebound name", addr: loopback, method: "GET", path: "/api/executions", host: "localhost.evil.example", want: 403},
		{name: "no host", addr: loopback, method: "GET", path: "/", host: ":" + port, want: 403},
		{name: "health needs no name", addr: loopback, method: "GET", path: "/healthz", host: "evil.example", want: 200},
		{name: "page from outside by any name", addr: outer, method: "GET", path: "/", host: "starplan.svc", want: 418},

		{name: "reload by a program", addr: outer, method: "POST", path: "/-/reload", host: "starplan.svc", want: 200},
		{name: "reload by a program on loopback", addr: loopback, method: "POST", path: "/-/reload", host: "localhost", want: 200},
		{name: "reload from the page", addr: outer, method: "POST", path: "/-/reload", host: outer, header: map[string]string{"Origin": "http://" + outer, "Accept": "text/html,*/*"}, want: 303},
		{name: "reload from a rebound page", addr: outer, method: "POST", path: "/-/reload", host: "evil.example", header: map[string]string{"Origin": "http://evil.example"}, want: 403},
		{name: "reload from a rebound page, by metadata", addr: outer, method: "POST", path: "/-/reload", host: "evil.example", header: map[string]string{"Sec-Fetch-Site": "same-origin"}, want: 403},
		{name: "reload from a rebound page on loopback", addr: loopback, method: "POST", path: "/-/reload", host: "evil.example", want: 403},
		{name: "reload from another site", addr: outer, method: "POST", path: "/-/reload", host: outer, header: map[string]string{"Origin": "http://evil.example"}, want: 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strings.HasPrefix(test.addr, ":") {
				t.Skip("this machine has loopback addresses only")
			}
			before := reloads
			code, answer := askHost(t, test.method, test.addr, test.path, test.host, test.header)
			if code != test.want {
				t.Errorf("%s %s with Host %s = %d, want %d", test.method, test.path, test.host, code, test.want)
			}
			if done := reloads > before; done != (test.method == "POST" && test.want < 400) {
				t.Errorf("reloaded: %v", done)
			}
			if test.want == 303 && answer.Get("Location") != "../" {
				t.Errorf("Location = %q, want ../", answer.Get("Location"))
			}
		})
	}
}

// askHost asks once and follows no redirects.
func askHost(t *testing.T, method, addr, path, host string, header map[string]string) (code int, answer http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header
}

// outerAddr is an address of this machine that is not a loopback one; empty
// where it has none.
func outerAddr(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	return ""
}
