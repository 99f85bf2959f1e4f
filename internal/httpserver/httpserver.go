// Package httpserver is what operators and orchestrators see of a running
// service: metrics, health and reload.
//
//	GET  /metrics    Prometheus text, or OpenMetrics where it is asked for
//	GET  /healthz    200 as long as the process answers; it never depends on Kafka
//	GET  /readyz     200 when records can be processed, else 503 with the reasons
//	GET  /health     the state of service, consumer, producer and executor
//	POST /-/reload   reads the plans again; the answer says what came of it
//	PUT  /-/log-level?level=debug
//	                 changes what is logged; GET shows it
//	GET  /           the status page, and the JSON API below /api/
//
// TLS and passwords, where a file asks for them, are for all of these. Profiles are
// served on an address of their own, see [StartDebug].
//
// /healthz is for liveness: restarting a process does not mend a broker.
package httpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
)

// Component is the state of one part of the service.
type Component struct {
	// State is "up", "starting" or "down".
	State string `json:"state"`
	// Detail is for people and programs alike; may be nil.
	Detail any `json:"detail,omitempty"`
}

// Health is the document behind /health.
type Health struct {
	Service  Component `json:"service"`
	Consumer Component `json:"consumer"`
	Producer Component `json:"producer"`
	Executor Component `json:"executor"`
}

// Options are what a Server is made of. All functions are called concurrently.
type Options struct {
	// Addr is where to listen, as "host:port"; port 0 takes a free one.
	Addr string
	// Gatherer is what /metrics shows.
	Gatherer prometheus.Gatherer
	// NotReady lists the reasons why records cannot be processed now; none means ready.
	NotReady func() []string
	// Health gives the document behind /health.
	Health func() Health
	// Reload reads the plans again. What it returns beside an error is shown as JSON.
	Reload func(context.Context) (any, error)
	// Page answers GET on /, /executions/, /events and /api/; nil for none.
	Page http.Handler
	// Hosts are the names, beside localhost and the machine's own, under which
	// browsers may reach the page.
	Hosts []string
	// ConfigFile names a file that says how the server is protected, by TLS and
	// passwords; empty for neither. Its form is that of prometheus/exporter-toolkit,
	// https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md.
	// It is read again whenever it is needed.
	ConfigFile string
	// Level is what /-/log-level shows and changes; nil for no such endpoint.
	Level *slog.LevelVar
	// Logger may be nil.
	Logger *slog.Logger
}

// Start listens and serves until Close. The error names the setting that is wrong.
func Start(opts Options) (*Server, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := web.Validate(opts.ConfigFile); err != nil {
		return nil, fmt.Errorf("HTTP_CONFIG_FILE: %s: %w", opts.ConfigFile, err)
	}
	ln, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("HTTP_ADDR: %w", err)
	}
	s := newServer(ln, opts.handler(), opts.Logger)
	s.serve(func() error {
		if opts.ConfigFile == "" {
			return s.srv.Serve(ln)
		}
		return web.Serve(ln, s.srv, &web.FlagConfig{WebConfigFile: &opts.ConfigFile}, opts.Logger)
	})
	s.log.Info("http server listening", "addr", s.addr)
	return s, nil
}

func (o Options) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		o.write(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		reasons := o.NotReady()
		if len(reasons) > 0 {
			o.write(w, http.StatusServiceUnavailable, readiness{Reasons: reasons})
			return
		}
		o.write(w, http.StatusOK, readiness{Ready: true})
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		o.write(w, http.StatusOK, o.Health())
	})
	mux.Handle("POST /-/reload", o.hostGuard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		report, err := o.Reload(r.Context())
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			// The button of the page: the page itself says what came of it.
			w.Header().Set("Location", "../")
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		if err != nil {
			o.write(w, http.StatusInternalServerError, reloadAnswer{Error: err.Error(), Plans: report})
			return
		}
		o.write(w, http.StatusOK, reloadAnswer{Plans: report})
	})))
	if o.Level != nil {
		mux.HandleFunc("GET /-/log-level", o.level)
		mux.Handle("PUT /-/log-level", o.hostGuard(http.HandlerFunc(o.level)))
	}
	if o.Page != nil {
		for _, path := range []string{"/{$}", "/executions/", "/events", "/api/"} {
			mux.Handle("GET "+path, o.hostGuard(o.Page))
		}
	}
	// Browsers send cross-site POSTs too; a page must not reload a service that
	// its reader can reach.
	return http.NewCrossOriginProtection().Handler(mux)
}

type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"`
}

type reloadAnswer struct {
	Error string `json:"error,omitempty"`
	Plans any    `json:"plans,omitempty"`
}

func (o Options) write(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		o.Logger.Debug("http answer not written", "err", err)
	}
}
