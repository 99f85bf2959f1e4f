// Package httpserver is what operators and orchestrators see of a running
// service: metrics, health and reload.
//
//	GET  /metrics    Prometheus text, or OpenMetrics where it is asked for
//	GET  /healthz    200 as long as the process answers; it never depends on Kafka
//	GET  /readyz     200 when records can be processed, else 503 with the reasons
//	GET  /health     the state of service, consumer, producer and executor
//	POST /-/reload   reads the plans again; the answer says what came of it
//	GET  /           the status page, and the JSON API below /api/
//
// /healthz is for liveness: restarting a process does not mend a broker.
package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	// Logger may be nil.
	Logger *slog.Logger
}

// Server is a listening HTTP server.
type Server struct {
	srv  *http.Server
	addr string
	log  *slog.Logger
	done chan struct{}
}

// Start listens and serves until Close. The error names the address.
func Start(opts Options) (*Server, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	ln, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("HTTP_ADDR: %w", err)
	}
	s := &Server{
		srv: &http.Server{
			Handler:           opts.handler(),
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			ErrorLog:          slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
		},
		addr: ln.Addr().String(),
		log:  opts.Logger,
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		if err := s.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("http server ended", "err", err)
		}
	}()
	s.log.Info("http server listening", "addr", s.addr)
	return s, nil
}

// Addr is where the server listens, as "host:port".
func (s *Server) Addr() string { return s.addr }

// Close ends the server: requests under way have until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.srv.Close())
	}
	<-s.done
	return err
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
