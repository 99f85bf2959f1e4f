package cli

import (
	"context"
	"errors"

	"starplan/internal/config"
	"starplan/internal/service"
)

type runCmd struct {
	Flags config.Flags `embed:""`
}

// Help is shown below the flags.
func (runCmd) Help() string {
	return `Every setting is a flag or an environment variable; flags win. SIGHUP, or POST /-/reload,
reads the plans again without losing a record. SIGTERM finishes what is in flight, commits and
leaves the group. The variables OTEL_* of OpenTelemetry, which are no flags, say where traces go.

Examples:

  TENANT_ID=acme PLAN_PATH=/plans starplan run
  starplan run --tenant-id acme --plan-name route --plan-path route.star --kafka-bootstrap-servers kafka:9092`
}

// Run runs the service until it is told to stop.
func (c *runCmd) Run(ctx context.Context, p Process) error {
	cfg, err := c.Flags.Resolve()
	log, level, logErr := c.Flags.Log.Logger(p.Stderr)
	if err := errors.Join(err, logErr); err != nil {
		return usageError{err}
	}
	err = service.Run(ctx, service.Options{Config: cfg, Reload: p.Reload, Logger: log, Level: level})
	var wrong *service.ConfigError
	if errors.As(err, &wrong) {
		return usageError{err}
	}
	return err
}
