package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"starplan/internal/config"
)

type healthCmd struct {
	Addr    string `name:"http-addr" env:"HTTP_ADDR" default:":8080" placeholder:"ADDR" help:"Address of the service's HTTP side (${default})."`
	Live    bool   `help:"Ask only whether the process lives (/healthz), not whether it is ready (/readyz)."`
	Timeout string `default:"3s" placeholder:"DURATION" help:"Give up after this long (${default})."`
}

// Help is shown below the flags.
func (healthCmd) Help() string {
	return `For containers without curl. The answer is printed; exit code 1 where it is not good.

Examples:

  starplan health
  starplan health --live --http-addr 127.0.0.1:8080`
}

// Run asks the service that listens on HTTP_ADDR.
func (c *healthCmd) Run(ctx context.Context, p Process) error {
	timeout, err := config.ParseDuration(c.Timeout)
	if err != nil {
		return usagef("--timeout: %w", err)
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return usagef("HTTP_ADDR: want HOST:PORT or :PORT, got %q", c.Addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	path := "/readyz"
	if c.Live {
		path = "/healthz"
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return usagef("HTTP_ADDR: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // It was only read.
	if _, err := io.Copy(p.Stdout, io.LimitReader(res.Body, 1<<20)); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errFailed
	}
	return nil
}
