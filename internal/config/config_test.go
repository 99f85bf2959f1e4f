package config_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"starplan/internal/config"
	"starplan/internal/tracing"
	"starplan/plan"
	"starplan/processor"
)

// parse gives the flags as the run command would see them.
func parse(t *testing.T, env map[string]string, args ...string) *config.Flags {
	t.Helper()
	for _, name := range []string{
		"TENANT_ID", "PLAN_PATH", "EXECUTOR_PATH", "PLAN_NAME", "EXECUTOR_NAME", "GRAPH_ID", "AGENT_GRAPH_ID", "PLAN_TIMEOUT",
		"EXECUTOR_TIMEOUT", "PLAN_MAX_STEPS", "PLAN_MAX_MEMORY", "PLAN_WORKERS", "PLAN_WATCH", "REQUIRE_SANDBOX", "DELIVERY",
		"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_GROUP_ID", "KAFKA_START", "KAFKA_SESSION_TIMEOUT", "KAFKA_INSTANCE_ID", "KAFKA_COMPRESSION", "DEAD_LETTER_TOPIC", "HTTP_ADDR",
		"HTTP_HOSTS", "SHOW_PAYLOADS",
		"LOG_LEVEL", "LOG_FORMAT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER",
	} {
		t.Setenv(name, "") // Restores it at the end of the test.
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	flags := new(config.Flags)
	parser, err := kong.New(flags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func planFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "route.star")
	if err := os.WriteFile(path, []byte("def plan(plan_input):\n    return PlanResult()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResolve(t *testing.T) {
	file := planFile(t)
	dir := filepath.Dir(file)
	base := config.Config{
		TenantID: "acme", PlanPath: dir, GroupID: "executors-acme",
		Execution: config.Execution{
			Limits:  plan.Limits{Timeout: 300 * time.Second, MaxSteps: 6_000_000_000, MaxMemory: 256 << 20},
			Workers: runtime.GOMAXPROCS(0),
		},
		Brokers: []string{"localhost:9092"}, Start: processor.Oldest(), SessionTimeout: 10 * time.Second,
		Compression: processor.LZ4, Delivery: processor.ExactlyOnce, HTTPAddr: ":8080",
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		want func(c *config.Config)
	}{
		{name: "defaults", env: map[string]string{"TENANT_ID": "acme", "PLAN_PATH": dir}, want: func(*config.Config) {}},
		{
			name: "traces", env: map[string]string{"TENANT_ID": "acme", "PLAN_PATH": dir, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			want: func(c *config.Config) { c.Tracing = tracing.Settings{Enabled: true, Protocol: tracing.ProtocolGRPC} },
		},
		{
			name: "one plan of one graph has a group of its own",
			env:  map[string]string{"TENANT_ID": "acme", "PLAN_PATH": file, "PLAN_NAME": "route", "AGENT_GRAPH_ID": "g1"},
			want: func(c *config.Config) {
				c.PlanPath, c.PlanNames, c.GraphID, c.GroupID = file, []string{"route"}, "g1", "g1-route"
			},
		},
		{
			name: "names of the successor",
			env:  map[string]string{"TENANT_ID": "acme", "EXECUTOR_PATH": file, "EXECUTOR_NAME": "route", "EXECUTOR_TIMEOUT": "60"},
			want: func(c *config.Config) {
				c.PlanPath, c.PlanNames = file, []string{"route"}
				c.Limits.Timeout, c.Limits.MaxSteps = time.Minute, 1_200_000_000
			},
		},
		{
			name: "flags win",
			env:  map[string]string{"TENANT_ID": "other", "PLAN_PATH": dir, "PLAN_TIMEOUT": "1"},
			args: []string{"--tenant-id=acme", "--plan-timeout=5m", "--plan-name=b, a,b"},
			want: func(c *config.Config) { c.PlanNames = []string{"a", "b"} },
		},
		{
			name: "everything",
			env: map[string]string{
				"TENANT_ID": "acme", "PLAN_PATH": dir, "PLAN_TIMEOUT": "0.5", "PLAN_MAX_STEPS": "1000", "PLAN_MAX_MEMORY": "1GiB",
				"PLAN_WORKERS": "3", "PLAN_WATCH": "true", "REQUIRE_SANDBOX": "1", "KAFKA_BOOTSTRAP_SERVERS": "a:1, b:2",
				"KAFKA_GROUP_ID": "g", "KAFKA_START": "latest", "KAFKA_SESSION_TIMEOUT": "30s", "KAFKA_INSTANCE_ID": "plans-0", "KAFKA_COMPRESSION": "zstd", "DEAD_LETTER_TOPIC": "auto",
				"HTTP_ADDR": "127.0.0.1:0", "HTTP_CONFIG_FILE": "web.yml", "DEBUG_ADDR": "[::1]:6060",
				"HTTP_HOSTS": "status.example.com, starplan", "SHOW_PAYLOADS": "true",
			},
			want: func(c *config.Config) {
				c.Limits = plan.Limits{Timeout: 500 * time.Millisecond, MaxSteps: 1000, MaxMemory: 1 << 30}
				c.Workers, c.Watch, c.RequireSandbox = 3, true, true
				c.Brokers, c.GroupID, c.Start, c.SessionTimeout = []string{"a:1", "b:2"}, "g", processor.Latest(), 30*time.Second
				c.InstanceID, c.Compression = "plans-0", processor.Zstd
				c.DeadLetterTopic, c.HTTPAddr = "dlq-plan-inputs-acme", "127.0.0.1:0"
				c.HTTPConfigFile, c.DebugAddr = "web.yml", "[::1]:6060"
				c.HTTPHosts, c.ShowPayloads = []string{"starplan", "status.example.com"}, true
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(t, test.env, test.args...).Resolve()
			if err != nil {
				t.Fatal(err)
			}
			want := base
			test.want(&want)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b processor.Start) bool { return a.String() == b.String() })); diff != "" {
				t.Errorf("Resolve differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	file := planFile(t)
	dir := filepath.Dir(file)
	good := map[string]string{"TENANT_ID": "acme", "PLAN_PATH": dir}
	for _, test := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"no tenant", map[string]string{"TENANT_ID": ""}, "TENANT_ID: missing; set it, or --tenant-id, to the tenant whose plan-inputs-{tenant} is to be read"},
		{"bad tenant", map[string]string{"TENANT_ID": "a b"}, `TENANT_ID: want letters, digits, '.', '_' and '-' only, 200 at most, got "a b"`},
		{"no path", map[string]string{"PLAN_PATH": ""}, "PLAN_PATH: missing; set it, or --plan-path, to a plan's file or a directory of plans"},
		{"path not there", map[string]string{"PLAN_PATH": dir + "/none"}, "PLAN_PATH: stat " + dir + "/none: no such file or directory"},
		{"file without name", map[string]string{"PLAN_PATH": file}, "PLAN_NAME: missing; PLAN_PATH " + file + " is a file, so set PLAN_NAME, or --plan-name, to its plan's name"},
		{"file with names", map[string]string{"PLAN_PATH": file, "PLAN_NAME": "a,b"}, "PLAN_NAME: want one name for the file " + file + ", got 2: a, b"},
		{"protocol of traces", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "thrift"}, `OTEL_EXPORTER_OTLP_PROTOCOL: want grpc, http/protobuf or http/json, got "thrift"`},
		{"timeout", map[string]string{"PLAN_TIMEOUT": "soon"}, `PLAN_TIMEOUT: want seconds, or a duration such as 90s or 5m, above 0, got "soon"`},
		{"timeout below 0", map[string]string{"PLAN_TIMEOUT": "-1"}, `PLAN_TIMEOUT: want seconds, or a duration such as 90s or 5m, above 0, got "-1"`},
		{"timeout not a number", map[string]string{"PLAN_TIMEOUT": "NaN"}, `PLAN_TIMEOUT: want seconds, or a duration such as 90s or 5m, above 0, got "NaN"`},
		{"steps", map[string]string{"PLAN_MAX_STEPS": "0"}, `PLAN_MAX_STEPS: want a whole number from 1 to 9223372036854775807, got "0"`},
		{"memory", map[string]string{"PLAN_MAX_MEMORY": "much"}, `PLAN_MAX_MEMORY: want a size of at least 16MiB, such as 256MiB or 1GiB, got "much"`},
		{"little memory", map[string]string{"PLAN_MAX_MEMORY": "1MiB"}, `PLAN_MAX_MEMORY: want a size of at least 16MiB, such as 256MiB or 1GiB, got "1MiB"`},
		{"workers", map[string]string{"PLAN_WORKERS": "many"}, `PLAN_WORKERS: want a whole number from 1 to 1024, got "many"`},
		{"watch", map[string]string{"PLAN_WATCH": "maybe"}, `PLAN_WATCH: want true or false, got "maybe"`},
		{"payloads", map[string]string{"SHOW_PAYLOADS": "maybe"}, `SHOW_PAYLOADS: want true or false, got "maybe"`},
		{"sandbox", map[string]string{"REQUIRE_SANDBOX": "maybe"}, `REQUIRE_SANDBOX: want true or false, got "maybe"`},
		{"brokers", map[string]string{"KAFKA_BOOTSTRAP_SERVERS": "kafka"}, `KAFKA_BOOTSTRAP_SERVERS: want HOST:PORT, several separated by commas, got "kafka"`},
		{"no brokers", map[string]string{"KAFKA_BOOTSTRAP_SERVERS": ","}, `KAFKA_BOOTSTRAP_SERVERS: want at least one HOST:PORT, got ","`},
		{"start", map[string]string{"KAFKA_START": "yesterday"}, `KAFKA_START: want oldest, latest, an RFC 3339 time such as 2026-01-02T03:04:05Z, or group:NAME, got "yesterday"`},
		{"session", map[string]string{"KAFKA_SESSION_TIMEOUT": "x"}, `KAFKA_SESSION_TIMEOUT: want seconds, or a duration such as 90s or 5m, above 0, got "x"`},
		{"instance", map[string]string{"KAFKA_INSTANCE_ID": "pod/0"}, `KAFKA_INSTANCE_ID: want letters, digits, '.', '_' and '-' only, 200 at most, got "pod/0"`},
		{"compression", map[string]string{"KAFKA_COMPRESSION": "gzip"}, `KAFKA_COMPRESSION: want lz4, zstd or none, got "gzip"`},
		{"delivery", map[string]string{"DELIVERY": "never"}, `DELIVERY: want exactly-once or at-least-once, got "never"`},
		{"dead letters", map[string]string{"DEAD_LETTER_TOPIC": "plan-inputs-dlq"}, `DEAD_LETTER_TOPIC: want a name that starts with neither plan-inputs- nor plan-executions-, which the platform subscribes to by pattern, got "plan-inputs-dlq"`},
		{"debug address", map[string]string{"DEBUG_ADDR": ":6060"}, `DEBUG_ADDR: want localhost or a loopback address as host, got ":6060"`},
		{"address", map[string]string{"HTTP_ADDR": "8080"}, `HTTP_ADDR: want HOST:PORT or :PORT, got "8080"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := make(map[string]string)
			for _, m := range []map[string]string{good, test.env} {
				for k, v := range m {
					env[k] = v
				}
			}
			_, err := parse(t, env).Resolve()
			if err == nil || err.Error() != test.want {
				t.Errorf("Resolve = %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestMistakesAreReportedAtOnce(t *testing.T) {
	_, err := parse(t, map[string]string{"PLAN_TIMEOUT": "soon", "PLAN_WORKERS": "many", "HTTP_ADDR": "8080"}).Resolve()
	if err == nil {
		t.Fatal("Resolve = nil, want errors")
	}
	for _, want := range []string{"TENANT_ID:", "PLAN_PATH:", "PLAN_TIMEOUT:", "PLAN_WORKERS:", "HTTP_ADDR:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve = %v\nwant it to report %s too", err, want)
		}
	}
}

func TestServing(t *testing.T) {
	for _, test := range []struct {
		config config.Config
		want   string
	}{
		{config.Config{}, processor.ServingAll},
		{config.Config{PlanNames: []string{"a", "b"}}, "plans=a,b graph="},
		{config.Config{GraphID: "g"}, "plans= graph=g"},
	} {
		if got := test.config.Serving(); got != test.want {
			t.Errorf("Serving of %v, graph %q = %q, want %q", test.config.PlanNames, test.config.GraphID, got, test.want)
		}
	}
}
