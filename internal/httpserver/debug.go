package httpserver

import (
	"errors"
	"expvar"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
)

// CheckDebugAddr reports why an address cannot be one for [StartDebug]: its host
// must be "localhost" or a loopback address. What profiles show of a process, its
// command line and memory, is nobody's business but of who can log in there.
func CheckDebugAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("DEBUG_ADDR: want HOST:PORT, such as localhost:6060, got %q", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("DEBUG_ADDR: want localhost or a loopback address as host, got %q", addr)
	}
	return nil
}

// StartDebug serves net/http/pprof below /debug/pprof/ and expvar's variables at
// /debug/vars, on an address of its own, until Close. The address must be as
// [CheckDebugAddr] wants it. logger may be nil.
func StartDebug(addr string, logger *slog.Logger) (*Server, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if err := CheckDebugAddr(addr); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("DEBUG_ADDR: %w", err)
	}
	if at, ok := ln.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		// Somebody has given localhost another meaning.
		return nil, errors.Join(fmt.Errorf("DEBUG_ADDR: %s is %v here, which is no loopback address", addr, ln.Addr()), ln.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /debug/vars", expvar.Handler())
	s := newServer(ln, Options{Logger: logger}.hostGuard(mux), logger)
	s.serve(func() error { return s.srv.Serve(ln) })
	logger.Info("debug server listening", "addr", s.addr)
	return s, nil
}
