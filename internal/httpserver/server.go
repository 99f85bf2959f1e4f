package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server is a listening HTTP server.
type Server struct {
	srv  *http.Server
	addr string
	log  *slog.Logger
	done chan struct{}
}

// newServer makes a server that does not serve yet.
func newServer(ln net.Listener, handler http.Handler, logger *slog.Logger) *Server {
	return &Server{
		srv: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		},
		addr: ln.Addr().String(),
		log:  logger,
		done: make(chan struct{}),
	}
}

// serve runs listen, which serves until Close, in a goroutine.
func (s *Server) serve(listen func() error) {
	go func() {
		defer close(s.done)
		if err := listen(); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("http server ended", "err", err)
		}
	}()
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
