package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/internal/devbroker"
	"starplan/internal/follow"
	"starplan/internal/service"
	"starplan/internal/tracing"
	"starplan/plan"
	"starplan/processor"
	"starplan/scripts"
)

const devTenant = "dev"

type devCmd struct {
	Path string `arg:"" optional:"" help:"A directory of plans, each in a folder with its *.input.json (./scripts, or the samples that are built in)."`

	Once     bool   `help:"End when every sample input was answered; print the executions as JSON lines."`
	Port     int    `default:"9092" placeholder:"PORT" help:"Port of the embedded broker on 127.0.0.1; a free one is taken where it is in use (${default})."`
	HTTPAddr string `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address of the status page, metrics and health; a free port is taken where it is in use (${default})."`
	LogLevel string `enum:"debug,info,warn,error,off" default:"off" placeholder:"LEVEL" help:"Log at debug, info, warn or error level (${default})."`
	Timeout  string `default:"30s" placeholder:"DURATION" help:"With --once: give up after this long (${default})."`

	Limits config.Limits `embed:""`
}

// Help is shown below the flags.
func (devCmd) Help() string {
	return `It starts a broker inside this process, runs the service on it as tenant "dev", sends the
sample inputs that lie beside the plans, and prints a line for each execution. Save a plan and it
is loaded again, and its samples are sent once more. Other commands reach the broker as well:

  starplan dev
  starplan dev ./my-plans
  starplan dev --once | jq .header.status
  starplan send --tenant dev input.json     (while dev runs)`
}

// Run tries plans until it is interrupted, or with --once until all samples were
// answered.
func (c *devCmd) Run(ctx context.Context, p Process) error {
	dir, cleanup, err := c.plans(p)
	if err != nil {
		return err
	}
	defer cleanup()
	samples, err := scripts.Read(os.DirFS(dir))
	if err != nil {
		return usageError{err}
	}
	cfg, err := c.config(dir)
	if err != nil {
		return usageError{err}
	}
	broker, err := devbroker.Start(devbroker.Options{Tenant: devTenant, Port: freePort(c.brokerPort())})
	if err != nil {
		return err
	}
	defer broker.Close()
	cfg.Brokers = []string{broker.Addr()}
	d := &devSession{p: p, dir: dir, broker: broker.Addr(), samples: samples, reloads: make(chan plan.Report, 16), http: make(chan string, 1)}
	if c.Once {
		timeout, err := config.ParseDuration(c.Timeout)
		if err != nil {
			return usagef("--timeout: %w", err)
		}
		return d.once(ctx, cfg, c.logger(p), timeout)
	}
	return d.watch(ctx, cfg, c.logger(p))
}

func (c *devCmd) brokerPort() int {
	if c.Once {
		return 0
	}
	return c.Port
}

// plans gives the directory of plans, and a function that removes what was made
// for this run.
func (c *devCmd) plans(p Process) (dir string, cleanup func(), err error) {
	if c.Path != "" {
		return c.Path, func() {}, nil
	}
	if found, _ := filepath.Glob("scripts/*/plan.star"); len(found) > 0 {
		return "scripts", func() {}, nil
	}
	tmp, err := os.MkdirTemp("", "starplan-dev-")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { _ = os.RemoveAll(tmp) } // A leftover in the temporary directory harms nobody.
	dir = filepath.Join(tmp, "plans")
	if err := scripts.Unpack(dir); err != nil {
		cleanup()
		return "", nil, err
	}
	fmt.Fprintf(p.Stderr, "no ./scripts here: the built-in samples are in %s while this runs\n", dir)
	return dir, cleanup, nil
}

func (c *devCmd) config(dir string) (config.Config, error) {
	e, err := c.Limits.Resolve()
	if err != nil {
		return config.Config{}, err
	}
	addr := "127.0.0.1:0"
	if !c.Once {
		host, port, err := net.SplitHostPort(c.HTTPAddr)
		if err != nil {
			return config.Config{}, fmt.Errorf("HTTP_ADDR: want HOST:PORT or :PORT, got %q", c.HTTPAddr)
		}
		if n, err := strconv.Atoi(port); err == nil {
			addr = net.JoinHostPort(host, strconv.Itoa(freePort(n)))
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return config.Config{}, err
	}
	traces, err := tracing.FromEnv(os.Getenv)
	if err != nil {
		return config.Config{}, err
	}
	return config.Config{
		TenantID: devTenant, PlanPath: dir, Watch: !c.Once, Execution: e,
		GroupID: "executors-" + devTenant, SessionTimeout: processor.DefaultSessionTimeout,
		HTTPAddr: addr, ShowPayloads: true, Tracing: traces,
	}, nil
}

func (c *devCmd) logger(p Process) *slog.Logger {
	if c.LogLevel == "off" {
		return slog.New(slog.DiscardHandler)
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // The flag's enum allows levels only.
	return slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: level}))
}

// freePort gives port where nobody listens on it, else 0, which takes any.
func freePort(port int) int {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0
	}
	_ = ln.Close() // Nothing was accepted.
	return port
}

// devSession is one run of the command.
type devSession struct {
	p       Process
	dir     string
	broker  string
	samples []scripts.Sample
	http    chan string
	reloads chan plan.Report
}

// serve runs the service until ctx ends; the error arrives on the channel.
func (d *devSession) serve(ctx context.Context, cfg config.Config, log *slog.Logger) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: cfg, Reload: d.p.Reload, Logger: log,
			Listening: func(addr string) { d.http <- addr },
			Reloaded: func(r plan.Report) {
				select {
				case d.reloads <- r:
				default: // Nobody reads them with --once.
				}
			},
		})
	}()
	return ended
}

func (d *devSession) follow(ctx context.Context) (*follow.Reader, error) {
	return follow.Open(ctx, follow.Options{Client: []kgo.Opt{kgo.SeedBrokers(d.broker)}, Topic: processor.OutputTopic(devTenant), From: "oldest"})
}

// once answers every sample and ends.
func (d *devSession) once(ctx context.Context, cfg config.Config, log *slog.Logger, timeout time.Duration) error {
	if len(d.samples) == 0 {
		return usagef("%s: no sample inputs; want files such as PLAN/CASE.input.json", d.dir)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ended := d.serve(ctx, cfg, log)
	result := make(chan error, 1)
	go func() { result <- d.answerAll(ctx) }()
	select {
	case err := <-ended:
		cancel()
		return errors.Join(err, <-result)
	case err := <-result:
		cancel()
		if err := errors.Join(err, <-ended); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.p.Stderr, "%d inputs answered in %v\n", len(d.samples), time.Since(begin).Round(time.Millisecond))
	return nil
}

func (d *devSession) answerAll(ctx context.Context) error {
	reader, err := d.follow(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	ids, err := d.send(ctx, nil)
	if err != nil {
		return err
	}
	return awaitExecutions(ctx, reader, ids, newPrinter(d.p, "json", "never").execution)
}

// watch shows executions until ctx ends, and sends the samples of plans that
// were loaded again.
func (d *devSession) watch(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := d.serve(ctx, cfg, log)
	select {
	case err := <-ended:
		return err
	case addr := <-d.http:
		d.banner(addr)
	}
	shown := make(chan error, 1)
	go func() { shown <- d.show(ctx) }()
	if _, err := d.send(ctx, nil); err != nil {
		fmt.Fprintf(d.p.Stderr, "samples were not sent: %v\n", err)
	}
	for {
		select {
		case report := <-d.reloads:
			d.reloaded(ctx, report)
		case err := <-shown:
			cancel()
			return errors.Join(ignoreCanceled(err), <-ended)
		case err := <-ended:
			cancel()
			return errors.Join(err, ignoreCanceled(<-shown))
		}
	}
}

func (d *devSession) banner(addr string) {
	w := d.p.Stderr
	fmt.Fprintf(w, "plans     %s (save one and it is loaded again)\n", d.dir)
	fmt.Fprintf(w, "broker    %s, topics %s and %s\n", d.broker, processor.InputTopic(devTenant), processor.OutputTopic(devTenant))
	fmt.Fprintf(w, "status    http://%s/ (metrics at /metrics)\n", addr)
	fmt.Fprintf(w, "try       starplan send --tenant %s --kafka-bootstrap-servers %s INPUT.json\n\n", devTenant, d.broker)
}

func (d *devSession) show(ctx context.Context) error {
	reader, err := d.follow(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	show := newPrinter(d.p, "text", "auto")
	for {
		e, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if err := show.execution(e); err != nil {
			return err
		}
	}
}

// reloaded tells what a reload did, and sends the samples of the plans that are new.
func (d *devSession) reloaded(ctx context.Context, report plan.Report) {
	changed := make(map[string]bool)
	for _, change := range report {
		switch {
		case change.Error != "":
			fmt.Fprintf(d.p.Stderr, "%s: %s: %s\n", printable(change.Plan), change.Result, printable(change.Error))
		case change.Result == plan.ResultLoaded:
			changed[change.Plan] = true
			fmt.Fprintf(d.p.Stderr, "%s: loaded again\n", printable(change.Plan))
		}
	}
	samples, err := scripts.Read(os.DirFS(d.dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(d.p.Stderr, "samples: %v\n", err)
		return
	}
	d.samples = samples
	if len(changed) == 0 {
		return
	}
	if _, err := d.send(ctx, changed); err != nil && ctx.Err() == nil {
		fmt.Fprintf(d.p.Stderr, "samples were not sent: %v\n", err)
	}
}

// send puts the samples of the named plans, all when nil, on the input topic and
// gives the exec_ids of their executions.
func (d *devSession) send(ctx context.Context, plans map[string]bool) ([]string, error) {
	var records []*kgo.Record
	for _, s := range d.samples {
		if plans != nil && !plans[s.Plan] {
			continue
		}
		rec, err := s.Record()
		if err != nil {
			return nil, err
		}
		records = append(records, &kgo.Record{Topic: processor.InputTopic(devTenant), Key: rec.Key, Value: rec.Value})
	}
	if len(records) == 0 {
		return nil, nil
	}
	return produce(ctx, []kgo.Opt{kgo.SeedBrokers(d.broker)}, records)
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
