package httpserver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/internal/httpserver"
)

func TestEndpoints(t *testing.T) {
	var notReady []string
	var reloadErr error
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "starplan_probe_total", Help: "A probe."}))
	srv, err := httpserver.Start(httpserver.Options{
		Addr:     "127.0.0.1:0",
		Gatherer: reg,
		NotReady: func() []string { return notReady },
		Health: func() httpserver.Health {
			return httpserver.Health{Service: httpserver.Component{State: "up"}, Executor: httpserver.Component{State: "down", Detail: "no worker"}}
		},
		Reload: func(context.Context) (any, error) { return map[string]string{"route": "loaded"}, reloadErr },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close(context.Background()) })

	for _, test := range []struct {
		name         string
		method, path string
		header       map[string]string
		notReady     []string
		reloadErr    error
		want         int
		wantBody     []string
	}{
		{name: "metrics", method: "GET", path: "/metrics", want: 200, wantBody: []string{"starplan_probe_total 0"}},
		{name: "alive", method: "GET", path: "/healthz", notReady: []string{"no broker"}, want: 200, wantBody: []string{`"status": "ok"`}},
		{name: "ready", method: "GET", path: "/readyz", want: 200, wantBody: []string{`"ready": true`}},
		{name: "not ready", method: "GET", path: "/readyz", notReady: []string{"no broker"}, want: 503, wantBody: []string{`"ready": false`, `"no broker"`}},
		{name: "health", method: "GET", path: "/health", want: 200, wantBody: []string{`"executor": {`, `"down"`, `"no worker"`}},
		{name: "reload", method: "POST", path: "/-/reload", want: 200, wantBody: []string{`"route": "loaded"`}},
		{name: "reload fails", method: "POST", path: "/-/reload", reloadErr: errors.New("plan.star:3:1: undefined: x"), want: 500, wantBody: []string{"plan.star:3:1: undefined: x", `"route"`}},
		{name: "reload by GET", method: "GET", path: "/-/reload", want: 405},
		{name: "reload from another site", method: "POST", path: "/-/reload", header: map[string]string{"Origin": "http://evil.example"}, want: 403},
		{name: "nothing here", method: "GET", path: "/nothing", want: 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			notReady, reloadErr = test.notReady, test.reloadErr
			req, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+srv.Addr()+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range test.header {
				req.Header.Set(k, v)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if err := res.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.want {
				t.Errorf("%s %s = %d, want %d: %s", test.method, test.path, res.StatusCode, test.want, body)
			}
			for _, want := range test.wantBody {
				if !strings.Contains(string(body), want) {
					t.Errorf("%s %s = %s, want it to hold %q", test.method, test.path, body, want)
				}
			}
		})
	}
}

func TestAddressTaken(t *testing.T) {
	first, err := httpserver.Start(httpserver.Options{Addr: "127.0.0.1:0", Gatherer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close(context.Background()) }()
	_, err = httpserver.Start(httpserver.Options{Addr: first.Addr(), Gatherer: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "HTTP_ADDR: listen tcp "+first.Addr()) {
		t.Errorf("Start on a taken address = %v, want an error that names HTTP_ADDR and the address", err)
	}
}
