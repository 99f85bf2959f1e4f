package service

import (
	"context"
	"errors"

	"starplan/internal/httpserver"
)

// listen starts the HTTP side, and the listener for profiles where one is asked for.
func (s *Service) listen() error {
	c := s.opts.Config
	var err error
	if c.DebugAddr != "" {
		if s.debug, err = httpserver.StartDebug(c.DebugAddr, s.log); err != nil {
			return err
		}
	}
	s.http, err = httpserver.Start(httpserver.Options{
		Addr: c.HTTPAddr, ConfigFile: c.HTTPConfigFile, Gatherer: s.reg, Level: s.opts.Level, Logger: s.log,
		NotReady: s.notReady, Health: s.health, Reload: s.reloadHTTP, Page: s.page, Hosts: c.HTTPHosts,
	})
	if err != nil {
		stop, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return errors.Join(err, s.closeHTTP(stop))
	}
	return nil
}

// closeHTTP ends what listen started.
func (s *Service) closeHTTP(ctx context.Context) error {
	var err error
	for _, server := range []*httpserver.Server{s.http, s.debug} {
		if server != nil {
			err = errors.Join(err, server.Close(ctx))
		}
	}
	return err
}
