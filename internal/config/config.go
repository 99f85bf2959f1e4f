// Package config reads the configuration of the service from flags and
// environment variables.
//
// Each setting is one field of [Flags]: its flag, its variables and its help
// stand in the tags. Flags win over the environment. Every value arrives as
// text, so that [Flags.Resolve] can look at all of them and report every mistake
// at once, before anything starts.
package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	units "github.com/docker/go-units"

	"starplan/internal/connection"
	"starplan/internal/httpserver"
	"starplan/internal/tracing"
	"starplan/plan"
	"starplan/processor"
)

// StepsPerSecond derives the step limit from PLAN_TIMEOUT: it is 0.05 to 0.3
// seconds of work, so that the limit strikes before the clock, also on a machine
// three times slower.
const StepsPerSecond = 20_000_000

// Flags are the settings as given, before they are understood.
type Flags struct {
	Tenant   Tenant   `embed:""`
	Plans    Plans    `embed:""`
	Limits   Limits   `embed:""`
	Kafka    Kafka    `embed:""`
	Security Security `embed:""`
	HTTP     HTTP     `embed:""`
	Log      Log      `embed:""`
}

// Tenant names whose topics are served.
type Tenant struct {
	TenantID string `name:"tenant-id" env:"TENANT_ID" group:"Plans" placeholder:"ID" help:"Tenant: plan-inputs-ID is read, plan-executions-ID is written. Required."`
}

// Plans says which plans are served.
type Plans struct {
	PlanPath string `name:"plan-path" env:"PLAN_PATH,EXECUTOR_PATH" group:"Plans" placeholder:"PATH" help:"A plan's file, or a directory with NAME.star, NAME/plan.star or GRAPH/NAME/plan.star. Required."`
	PlanName string `name:"plan-name" env:"PLAN_NAME,EXECUTOR_NAME" group:"Plans" placeholder:"NAME,…" help:"The plan's name; for a directory the names to serve, all when left out."`
	GraphID  string `name:"graph-id" env:"GRAPH_ID,AGENT_GRAPH_ID" group:"Plans" placeholder:"ID" help:"Serve this graph's records only."`
	Watch    string `name:"plan-watch" env:"PLAN_WATCH" default:"false" group:"Plans" placeholder:"BOOL" help:"Reload when plan files change (${default})."`
	Strict   bool   `name:"strict" group:"Plans" help:"Refuse to start where a plan does not load."`
}

// Limits bound one execution.
type Limits struct {
	Timeout        string `name:"plan-timeout" env:"PLAN_TIMEOUT,EXECUTOR_TIMEOUT" default:"300" group:"Limits" placeholder:"SECONDS" help:"Wall clock of one execution, in seconds or as 5m (${default})."`
	MaxSteps       string `name:"plan-max-steps" env:"PLAN_MAX_STEPS" group:"Limits" placeholder:"N" help:"Starlark steps of one execution (20,000,000 for each second of PLAN_TIMEOUT)."`
	MaxMemory      string `name:"plan-max-memory" env:"PLAN_MAX_MEMORY" default:"256MiB" group:"Limits" placeholder:"SIZE" help:"Memory of one worker beyond what it needs itself (${default})."`
	Workers        string `name:"plan-workers" env:"PLAN_WORKERS" group:"Limits" placeholder:"N" help:"Worker processes (the number of CPUs)."`
	RequireSandbox string `name:"require-sandbox" env:"REQUIRE_SANDBOX" default:"false" group:"Limits" placeholder:"BOOL" help:"Refuse to run without every protection (${default})."`
}

// Kafka says how records are read and written.
type Kafka struct {
	Bootstrap      string `name:"kafka-bootstrap-servers" env:"KAFKA_BOOTSTRAP_SERVERS" default:"localhost:9092" group:"Kafka" placeholder:"HOST:PORT,…" help:"Brokers to begin with (${default})."`
	GroupID        string `name:"kafka-group-id" env:"KAFKA_GROUP_ID" group:"Kafka" placeholder:"GROUP" help:"Consumer group (GRAPH_ID-PLAN where both are set, else executors-TENANT)."`
	Start          string `name:"kafka-start" env:"KAFKA_START" default:"oldest" group:"Kafka" placeholder:"WHERE" help:"Where a group without offsets begins: oldest, latest, an RFC 3339 time, or group:NAME (${default})."`
	SessionTimeout string `name:"kafka-session-timeout" env:"KAFKA_SESSION_TIMEOUT" default:"10s" group:"Kafka" placeholder:"DURATION" help:"After this long without a heartbeat the broker gives a member's partitions to others (${default})."`
	InstanceID     string `name:"kafka-instance-id" env:"KAFKA_INSTANCE_ID" group:"Kafka" placeholder:"ID" help:"Static member of the group under this id, which each process needs for itself: a restart within the session timeout moves no partitions."`
	Compression    string `name:"kafka-compression" env:"KAFKA_COMPRESSION" default:"lz4" group:"Kafka" placeholder:"NAME" help:"Compression of executions: lz4, zstd or none (${default})."`
	Delivery       string `name:"delivery" env:"DELIVERY" default:"exactly-once" group:"Kafka" placeholder:"MODE" help:"exactly-once or at-least-once (${default})."`
	DeadLetters    string `name:"dead-letter-topic" env:"DEAD_LETTER_TOPIC" default:"none" group:"Kafka" placeholder:"TOPIC" help:"Topic for values that are no PlanInput; auto is dlq-plan-inputs-TENANT (${default})."`
}

// HTTP says where the status page, metrics and health are served.
type HTTP struct {
	Addr         string `name:"http-addr" env:"HTTP_ADDR" default:":8080" group:"HTTP and logs" placeholder:"ADDR" help:"Address of the status page, /metrics, /healthz, /readyz, /health and /-/reload (${default})."`
	Hosts        string `name:"http-hosts" env:"HTTP_HOSTS" group:"HTTP and logs" placeholder:"NAME,…" help:"Names, beside localhost and the machine's own, under which browsers may use the status page."`
	ConfigFile   string `name:"http-config-file" env:"HTTP_CONFIG_FILE" group:"HTTP and logs" placeholder:"FILE" help:"YAML file with TLS and passwords for the HTTP side, in the form of Prometheus' web configuration."`
	DebugAddr    string `name:"debug-addr" env:"DEBUG_ADDR" group:"HTTP and logs" placeholder:"ADDR" help:"Loopback address of profiles (/debug/pprof/) and variables (/debug/vars), such as localhost:6060."`
	ShowPayloads string `name:"show-payloads" env:"SHOW_PAYLOADS" default:"false" group:"HTTP and logs" placeholder:"BOOL" help:"Keep inputs and outputs of the last executions and show them on the status page (${default})."`
}

// Log says what is logged.
type Log struct {
	Level  string `name:"log-level" env:"LOG_LEVEL" default:"info" group:"HTTP and logs" placeholder:"LEVEL" help:"debug, info, warn or error (${default})."`
	Format string `name:"log-format" env:"LOG_FORMAT" default:"json" group:"HTTP and logs" placeholder:"FORMAT" help:"json or text (${default})."`
}

// Config is the configuration, understood and checked.
type Config struct {
	TenantID string
	PlanPath string
	// PlanNames are the plans to serve, sorted; empty means all that are there.
	PlanNames []string
	GraphID   string
	Watch     bool
	Strict    bool

	Execution

	Brokers []string
	// Connection is how every Kafka client connects: encryption and authentication.
	Connection     connection.Settings
	GroupID        string
	Start          processor.Start
	SessionTimeout time.Duration
	// InstanceID makes the process a static member; empty for none.
	InstanceID  string
	Compression processor.Compression
	Delivery    processor.Delivery
	// DeadLetterTopic is empty for none.
	DeadLetterTopic string

	HTTPAddr string
	// HTTPHosts are names under which browsers may use the status page.
	HTTPHosts []string
	// HTTPConfigFile names the web configuration of the HTTP side; empty for none.
	HTTPConfigFile string
	// DebugAddr is where profiles are served; empty for nowhere.
	DebugAddr string
	// ShowPayloads keeps inputs and outputs and shows them on the status page.
	ShowPayloads bool
	// Tracing is what the variables OTEL_* say.
	Tracing tracing.Settings
}

// Serving is the canonical text of what a process with this configuration
// serves. Members of one group must agree on it.
func (c Config) Serving() string {
	if len(c.PlanNames) == 0 && c.GraphID == "" {
		return processor.ServingAll
	}
	return "plans=" + strings.Join(c.PlanNames, ",") + " graph=" + c.GraphID
}

// Execution says how plans are run.
type Execution struct {
	Limits plan.Limits
	// Workers is the number of worker processes.
	Workers int
	// RequireSandbox refuses to run without every protection.
	RequireSandbox bool
}

// tenantForm is what Kafka allows in a topic's name.
var tenantForm = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

// Resolve understands all settings. The error joins every mistake, one a line,
// each naming variable, value and what is wanted.
func (f *Flags) Resolve() (Config, error) {
	var p problems
	c := Config{
		TenantID:       p.tenant(f.Tenant.TenantID),
		PlanPath:       f.Plans.PlanPath,
		PlanNames:      names(f.Plans.PlanName),
		GraphID:        f.Plans.GraphID,
		Watch:          p.bool("PLAN_WATCH", f.Plans.Watch),
		Strict:         f.Plans.Strict,
		Execution:      f.Limits.resolve(&p),
		Brokers:        p.brokers(f.Kafka.Bootstrap),
		Connection:     f.Security.resolve(&p),
		SessionTimeout: p.duration("KAFKA_SESSION_TIMEOUT", f.Kafka.SessionTimeout),
		InstanceID:     p.instanceID(f.Kafka.InstanceID),
		Compression:    p.compression(f.Kafka.Compression),
		HTTPAddr:       p.addr("HTTP_ADDR", f.HTTP.Addr),
		HTTPHosts:      names(f.HTTP.Hosts),
		HTTPConfigFile: f.HTTP.ConfigFile,
		DebugAddr:      p.debugAddr(f.HTTP.DebugAddr),
		ShowPayloads:   p.bool("SHOW_PAYLOADS", f.HTTP.ShowPayloads),
	}
	p.plans(&c)
	c.GroupID = groupID(f.Kafka.GroupID, c)
	var err error
	if c.Start, err = processor.ParseStart(f.Kafka.Start); err != nil {
		p.add("KAFKA_START", f.Kafka.Start, "oldest, latest, an RFC 3339 time such as 2026-01-02T03:04:05Z, or group:NAME")
	}
	switch c.Delivery = processor.Delivery(f.Kafka.Delivery); c.Delivery {
	case processor.AtLeastOnce, processor.ExactlyOnce:
	default:
		p.add("DELIVERY", f.Kafka.Delivery, "exactly-once or at-least-once")
	}
	c.DeadLetterTopic = p.deadLetters(f.Kafka.DeadLetters, c.TenantID)
	// These are the variables of a standard, and no settings of ours: they have no flags.
	if c.Tracing, err = tracing.FromEnv(os.Getenv); err != nil {
		p = append(p, err)
	}
	return c, errors.Join(p...)
}

// Resolve understands the limits alone, for commands that run plans without Kafka.
func (l *Limits) Resolve() (Execution, error) {
	var p problems
	e := l.resolve(&p)
	return e, errors.Join(p...)
}

func (l *Limits) resolve(p *problems) Execution {
	e := Execution{
		Limits:         plan.Limits{Timeout: p.duration("PLAN_TIMEOUT", l.Timeout)},
		Workers:        runtime.GOMAXPROCS(0),
		RequireSandbox: p.bool("REQUIRE_SANDBOX", l.RequireSandbox),
	}
	e.Limits.MaxSteps = uint64(math.Ceil(e.Limits.Timeout.Seconds() * StepsPerSecond))
	if l.MaxSteps != "" {
		e.Limits.MaxSteps = uint64(p.positive("PLAN_MAX_STEPS", l.MaxSteps, math.MaxInt64))
	}
	size, err := units.RAMInBytes(l.MaxMemory)
	if err != nil || size < 16<<20 {
		p.add("PLAN_MAX_MEMORY", l.MaxMemory, "a size of at least 16MiB, such as 256MiB or 1GiB")
	}
	e.Limits.MaxMemory = size
	if l.Workers != "" {
		e.Workers = int(p.positive("PLAN_WORKERS", l.Workers, 1024))
	}
	return e
}

func groupID(given string, c Config) string {
	switch {
	case given != "":
		return given
	case c.GraphID != "" && len(c.PlanNames) == 1:
		return c.GraphID + "-" + c.PlanNames[0]
	default:
		return "executors-" + c.TenantID
	}
}

// names reads a list separated by commas.
func names(list string) []string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// problems collects what is wrong with the settings.
type problems []error

func (p *problems) addf(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

func (p *problems) add(name, got, want string) { p.addf("%s: want %s, got %q", name, want, got) }

func (p *problems) tenant(id string) string {
	switch {
	case id == "":
		p.addf("TENANT_ID: missing; set it, or --tenant-id, to the tenant whose plan-inputs-{tenant} is to be read")
	case !tenantForm.MatchString(id):
		p.add("TENANT_ID", id, "letters, digits, '.', '_' and '-' only, 200 at most")
	}
	return id
}

// plans checks what only PLAN_PATH itself can tell.
func (p *problems) plans(c *Config) {
	if c.PlanPath == "" {
		p.addf("PLAN_PATH: missing; set it, or --plan-path, to a plan's file or a directory of plans")
		return
	}
	info, err := os.Stat(c.PlanPath)
	switch {
	case err != nil:
		p.addf("PLAN_PATH: %w", err)
	case !info.IsDir() && len(c.PlanNames) == 0:
		p.addf("PLAN_NAME: missing; PLAN_PATH %s is a file, so set PLAN_NAME, or --plan-name, to its plan's name", c.PlanPath)
	case !info.IsDir() && len(c.PlanNames) > 1:
		p.addf("PLAN_NAME: want one name for the file %s, got %d: %s", c.PlanPath, len(c.PlanNames), strings.Join(c.PlanNames, ", "))
	}
}

func (p *problems) bool(name, text string) bool {
	v, err := strconv.ParseBool(text)
	if err != nil {
		p.add(name, text, "true or false")
	}
	return v
}

func (p *problems) positive(name, text string, limit int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > limit {
		p.add(name, text, fmt.Sprintf("a whole number from 1 to %d", limit))
		return 1
	}
	return n
}

// duration reads seconds, as "300" or "0.5", or a Go duration, as "5m".
func (p *problems) duration(name, text string) time.Duration {
	d, err := ParseDuration(text)
	if err != nil {
		p.add(name, text, "seconds, or a duration such as 90s or 5m, above 0")
		return time.Second
	}
	return d
}

// ParseDuration reads seconds, as "300" or "0.5", or a Go duration, as "5m". It
// refuses what is not above 0, or over ten years.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		seconds, ferr := strconv.ParseFloat(text, 64)
		if ferr != nil || math.IsNaN(seconds) || math.Abs(seconds) > 10*366*24*3600 {
			return 0, fmt.Errorf("duration: want seconds or a duration such as 5m, got %q", text)
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	if d <= 0 {
		return 0, fmt.Errorf("duration: want more than 0, got %q", text)
	}
	return d, nil
}

func (p *problems) brokers(list string) []string {
	var brokers []string
	for b := range strings.SplitSeq(list, ",") {
		b = strings.TrimSpace(b)
		if b == "" {
			continue
		}
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			p.add("KAFKA_BOOTSTRAP_SERVERS", b, "HOST:PORT, several separated by commas")
		}
		brokers = append(brokers, b)
	}
	if len(brokers) == 0 {
		p.add("KAFKA_BOOTSTRAP_SERVERS", list, "at least one HOST:PORT")
	}
	return brokers
}

func (p *problems) addr(name, text string) string {
	if _, _, err := net.SplitHostPort(text); err != nil {
		p.add(name, text, "HOST:PORT or :PORT")
	}
	return text
}

func (p *problems) debugAddr(text string) string {
	if text != "" {
		if err := httpserver.CheckDebugAddr(text); err != nil {
			*p = append(*p, err)
		}
	}
	return text
}

func (p *problems) instanceID(id string) string {
	if id != "" && !tenantForm.MatchString(id) {
		p.add("KAFKA_INSTANCE_ID", id, "letters, digits, '.', '_' and '-' only, 200 at most")
	}
	return id
}

func (p *problems) compression(name string) processor.Compression {
	c := processor.Compression(name)
	if !slices.Contains(processor.Compressions(), c) {
		p.add("KAFKA_COMPRESSION", name, "lz4, zstd or none")
	}
	return c
}

// DeadLetterTopic is the topic that DEAD_LETTER_TOPIC=auto means.
func DeadLetterTopic(tenant string) string { return "dlq-plan-inputs-" + tenant }

func (p *problems) deadLetters(topic, tenant string) string {
	switch {
	case topic == "" || topic == "none":
		return ""
	case topic == "auto":
		return DeadLetterTopic(tenant)
	case strings.HasPrefix(topic, "plan-inputs-"), strings.HasPrefix(topic, "plan-executions-"):
		p.add("DEAD_LETTER_TOPIC", topic, "a name that starts with neither plan-inputs- nor plan-executions-, which the platform subscribes to by pattern")
	case !tenantForm.MatchString(topic):
		p.add("DEAD_LETTER_TOPIC", topic, "letters, digits, '.', '_' and '-' only, 200 at most")
	}
	return topic
}
