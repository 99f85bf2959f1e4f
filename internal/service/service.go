// Package service puts the parts of Starplan together: a pool of workers, the
// plans, the processor and the HTTP side. It owns their order of start and stop.
//
//	start   HTTP (alive, not ready) -> workers -> plans -> processor
//	stop    processor (finish, commit, leave) -> workers -> traces -> HTTP
//
// HTTP is first and last, so that an orchestrator sees a process that starts or
// drains as alive and not ready.
package service

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"

	"starplan/internal/config"
	"starplan/internal/history"
	"starplan/internal/httpserver"
	"starplan/internal/planwatch"
	"starplan/internal/statuspage"
	"starplan/internal/tracing"
	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/worker"
	"starplan/processor"
)

// closeTimeout bounds the end of workers and HTTP, flushTimeout that of traces which
// were not sent yet; the processor's own end is bounded by processor.Options.
const (
	closeTimeout = 3 * time.Second
	flushTimeout = 2 * time.Second
)

// ConfigError is an error of the configuration that shows only when plans,
// group or sandbox are looked at.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap gives the error itself.
func (e *ConfigError) Unwrap() error { return e.Err }

// Options are what a Service is made of.
type Options struct {
	Config config.Config
	// Reload delivers requests to read the plans again; may be nil.
	Reload <-chan os.Signal
	// Reloaded is told of every reload; may be nil. It must not block.
	Reloaded func(plan.Report)
	// Listening is told the HTTP address, as "host:port", before anything else
	// starts; may be nil.
	Listening func(addr string)
	// Logger may be nil.
	Logger *slog.Logger
	// Level is the level of Logger, for the HTTP side to change; may be nil.
	Level *slog.LevelVar
}

// Service is the running program.
type Service struct {
	opts Options
	log  *slog.Logger
	reg  *prometheus.Registry
	http *httpserver.Server
	// debug is nil unless the configuration asks for it.
	debug *httpserver.Server
	// history is what the status page shows of the past.
	history *history.History
	page    *statuspage.Page
	// tracer is nil unless the configuration asks for it.
	tracer *tracing.Tracer
	// lastReload is nil until the plans were read again.
	lastReload atomic.Pointer[statuspage.Reload]
	// These appear one after the other while HTTP answers already.
	pool  atomic.Pointer[worker.Pool]
	plans atomic.Pointer[plan.Catalog]
	proc  atomic.Pointer[processor.Processor]
}

// Run runs the service until ctx ends and everything in flight is settled. The
// error is a *ConfigError where the configuration is at fault.
func Run(ctx context.Context, opts Options) error {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{opts: opts, log: opts.Logger, reg: prometheus.NewRegistry()}
	s.reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.NewCollector("starplan"),
	)
	s.history = history.New(history.Options{Payloads: opts.Config.ShowPayloads, Lag: s.lag})
	s.page = s.newPage()
	defer s.page.Close()
	err := s.listen()
	if err != nil {
		return &ConfigError{err}
	}
	if opts.Listening != nil {
		opts.Listening(s.http.Addr())
	}
	if err = s.run(ctx); ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // It was told to stop while it started.
	}
	// ctx has ended by now, and the last part is to end all the same.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if plans := s.plans.Load(); plans != nil {
		plans.Close()
	}
	if pool := s.pool.Load(); pool != nil {
		err = errors.Join(err, pool.Close(stop))
	}
	flush, cancelFlush := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancelFlush()
	err = errors.Join(err, s.tracer.Close(flush))
	s.page.Close() // Its streams do not end by themselves.
	return errors.Join(err, s.closeHTTP(stop))
}

func (s *Service) run(ctx context.Context) error {
	c := s.opts.Config
	pool, err := worker.NewPool(ctx, worker.Options{
		Tenant: c.TenantID, Limits: c.Limits, Workers: c.Workers, RequireSandbox: c.RequireSandbox,
		Logger: s.log, Registerer: s.reg,
	})
	if err != nil {
		return &ConfigError{err}
	}
	s.pool.Store(pool)
	plans, err := plan.Open(ctx, plan.Options{
		Path: c.PlanPath, Names: c.PlanNames, Graph: c.GraphID, Tenant: c.TenantID, Strict: c.Strict,
		Limits: c.Limits, Engine: pool, Logger: s.log, Registerer: s.reg,
	})
	if err != nil {
		return &ConfigError{err}
	}
	s.plans.Store(plans)
	s.tracer, err = tracing.New(ctx, tracing.Options{Settings: c.Tracing, Group: c.GroupID, Version: programVersion(), Logger: s.log})
	if err != nil {
		return &ConfigError{err}
	}
	proc, err := processor.New(processor.Options{
		Brokers: c.Brokers, ClientOptions: c.Connection.Options(), Principal: c.Connection.Principal(),
		Explain: func(ctx context.Context, err error) error { return c.Connection.Explain(ctx, c.Brokers, err) },
		Tenant:  c.TenantID, Group: c.GroupID, Serving: c.Serving(),
		Start: c.Start, SessionTimeout: c.SessionTimeout, InstanceID: c.InstanceID, Compression: c.Compression, Delivery: c.Delivery,
		DeadLetterTopic: c.DeadLetterTopic, StepLimit: c.Limits.MaxSteps,
		Runner: s.tracer.Runner(plans), Observer: s.history.Observer(plans.Source), Logger: s.log, Registerer: s.reg,
	})
	if err != nil {
		return &ConfigError{err}
	}
	proc.SetPlans(loaded(plans))
	s.proc.Store(proc)
	return s.process(ctx)
}

// process runs the processor, and beside it everything that listens for reloads.
func (s *Service) process(ctx context.Context) error {
	side, cancel := context.WithCancel(ctx)
	done := make(chan struct{}, 3)
	go func() {
		s.history.Run(side)
		done <- struct{}{}
	}()
	go func() {
		s.listenReload(side)
		done <- struct{}{}
	}()
	go func() {
		if s.opts.Config.Watch {
			err := planwatch.Watch(side, s.opts.Config.PlanPath, s.log, func() { s.reloadLogged(side, "file") })
			if err != nil {
				s.log.Error("plan files are not watched", "err", err)
			}
		}
		done <- struct{}{}
	}()
	err := s.proc.Load().Run(ctx)
	cancel()
	for range cap(done) {
		<-done
	}
	var mismatch *processor.GroupMismatchError
	var taken *processor.InstanceTakenError
	if errors.As(err, &mismatch) || errors.As(err, &taken) {
		return &ConfigError{err}
	}
	return err
}

func (s *Service) listenReload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.opts.Reload:
			s.reloadLogged(ctx, "signal")
		}
	}
}

// reloadLogged reloads where nobody waits for the answer; the catalog logs what
// came of it.
func (s *Service) reloadLogged(ctx context.Context, trigger string) {
	s.log.Info("reload", "trigger", trigger)
	_, _ = s.reload(ctx, trigger)
}

// reloadHTTP reports a plan that does not load as an error too: whoever asked
// wants to know.
func (s *Service) reloadHTTP(ctx context.Context) (any, error) {
	// A client that goes away must not stop a reload half way.
	report, err := s.reload(context.WithoutCancel(ctx), "http")
	return report, errors.Join(err, report.Err())
}

func (s *Service) reload(ctx context.Context, trigger string) (plan.Report, error) {
	plans := s.plans.Load()
	if plans == nil {
		return nil, errors.New("reload: plans are still being loaded")
	}
	report, err := plans.Reload(ctx)
	s.lastReload.Store(&statuspage.Reload{At: time.Now(), Trigger: trigger, Report: report, Err: err})
	s.page.Changed()
	if proc := s.proc.Load(); proc != nil {
		proc.SetPlans(loaded(plans))
	}
	if s.opts.Reloaded != nil && err == nil {
		s.opts.Reloaded(report)
	}
	return report, err
}

// loaded lists the labels of plans that have a version to run.
func loaded(plans *plan.Catalog) []string {
	var labels []string
	for _, p := range plans.Plans() {
		if p.Digest != "" {
			labels = append(labels, execution.Key{Graph: p.Graph, Plan: p.Name}.String())
		}
	}
	return labels
}
