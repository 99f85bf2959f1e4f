package kafkatest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/kafkatest"
)

// kind is what the environment asks for: these tests run on either.
func kind(t *testing.T) kafkatest.Kind {
	t.Helper()
	k, err := kafkatest.KindFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(addr, ",")...), kgo.DialTimeout(time.Second),
		kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(ctx context.Context, c *kgo.Client, topic, value string) error {
	return c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
}

// read gives the first n values of a topic.
func read(ctx context.Context, t *testing.T, addr, topic string, n int) []string {
	t.Helper()
	c := client(t, addr, kgo.ConsumeTopics(topic))
	var got []string
	for len(got) < n {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %s: got %q, want %d values", topic, got, n)
		}
		for _, r := range fetches.Records() {
			got = append(got, string(r.Value))
		}
	}
	return got
}

// TestBroker breaks a broker in every way there is, and finds all that was
// acknowledged before and after.
func TestBroker(t *testing.T) {
	ctx := deadline(t)
	b := kafkatest.New(t, kafkatest.Options{Kind: kind(t)})
	addr := b.Addr()
	must(t, kafkatest.CreateTopics(ctx, addr, 1, "topic"))
	if err := kafkatest.CreateTopics(ctx, addr, 1, "topic"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("CreateTopics of a topic that exists = %v, want TOPIC_ALREADY_EXISTS", err)
	}
	c := client(t, addr)
	must(t, write(ctx, c, "topic", "first"))

	must(t, b.Stop(ctx))
	must(t, b.Stop(ctx))
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("a stopped broker accepts a connection")
	}
	must(t, b.Start(ctx))
	must(t, b.Start(ctx))
	must(t, write(ctx, c, "topic", "after stop"))

	must(t, b.Kill())
	must(t, b.Start(ctx))
	if b.Addr() != addr {
		t.Errorf("Addr() = %s after a restart, want %s", b.Addr(), addr)
	}
	must(t, write(ctx, c, "topic", "after kill"))

	// A frozen broker answers nothing, and takes up what was asked when it thaws.
	must(t, b.Freeze())
	wrote := make(chan error, 1)
	go func() { wrote <- write(ctx, c, "topic", "while frozen") }()
	if conn, err := net.DialTimeout("tcp", addr, time.Second); err != nil {
		t.Errorf("connect to a frozen broker = %v, want a connection that is not answered", err)
	} else {
		conn.Close()
	}
	select {
	case err := <-wrote:
		t.Fatalf("a frozen broker answered: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	must(t, b.Thaw())
	must(t, <-wrote)

	want := []string{"first", "after stop", "after kill", "while frozen"}
	if got := read(ctx, t, addr, "topic", len(want)); strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("values = %q, want %q", got, want)
	}
	must(t, b.Close())
	must(t, b.Close())
}

// TestKillFrozen: a frozen broker can be killed, which is how a test that failed
// in the middle is cleaned up.
func TestKillFrozen(t *testing.T) {
	ctx := deadline(t)
	b := kafkatest.New(t, kafkatest.Options{Kind: kind(t)})
	must(t, kafkatest.CreateTopics(ctx, b.Addr(), 1, "topic"))
	c := client(t, b.Addr())
	must(t, write(ctx, c, "topic", "before"))
	must(t, b.Freeze())
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := c.Ping(short); err == nil {
		t.Error("a frozen broker answered")
	}
	must(t, b.Kill())
	must(t, b.Start(ctx))
	must(t, write(ctx, c, "topic", "after"))
}

// TestCluster rolls over three nodes while a client writes.
func TestCluster(t *testing.T) {
	if kind(t) != kafkatest.Kafka {
		_, err := kafkatest.Start(deadline(t), kafkatest.Options{Nodes: 3})
		if err == nil || !strings.Contains(err.Error(), "kfake has 1 node, want 3") {
			t.Errorf("Start(3 nodes of kfake) = %v, want a refusal", err)
		}
		return
	}
	ctx := deadline(t)
	b := kafkatest.New(t, kafkatest.Options{Kind: kafkatest.Kafka, Nodes: 3}).(*kafkatest.Cluster)
	must(t, kafkatest.CreateTopics(ctx, b.Addr(), 3, "topic"))
	c := client(t, b.Addr())
	want := 0
	for i, n := range b.Nodes() {
		must(t, n.Kill())
		must(t, write(ctx, c, "topic", "without node "+strconv.Itoa(i)))
		want++
		must(t, n.Start(ctx))
		must(t, b.Ready(ctx))
	}
	if got := read(ctx, t, b.Addr(), "topic", want); len(got) != want {
		t.Errorf("values = %q, want %d", got, want)
	}
}

func TestListenersOfKFake(t *testing.T) {
	_, err := kafkatest.Start(deadline(t), kafkatest.Options{Listeners: make([]kafkatest.Listener, 2)})
	if err == nil || !strings.Contains(err.Error(), "kfake has 1 listener, want 2 more; use kind kafka") {
		t.Errorf("Start(more listeners of kfake) = %v, want a refusal", err)
	}
}

func TestKindFromEnv(t *testing.T) {
	tests := []struct {
		env  string
		want kafkatest.Kind
		err  string
	}{
		{"", kafkatest.KFake, ""},
		{"kfake", kafkatest.KFake, ""},
		{"kafka", kafkatest.Kafka, ""},
		{"redis", "", `kafkatest: STARPLAN_E2E_BROKER: got "redis", want "kfake" or "kafka"`},
	}
	for _, test := range tests {
		t.Setenv(kafkatest.KindVariable, test.env)
		got, err := kafkatest.KindFromEnv()
		if text := errorText(err); got != test.want || text != test.err {
			t.Errorf("KindFromEnv() with %q = %q, %q, want %q, %q", test.env, got, text, test.want, test.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestStartKafkaFails checks what is said where Apache Kafka cannot be started.
// Scripts take the places of java and mvn.
func TestStartKafkaFails(t *testing.T) {
	const fine = "#!/bin/sh\nexit 0\n"
	// The last argument that begins with -DoutputDirectory= says where the jars go.
	const mvn = "#!/bin/sh\nfor a in \"$@\"; do case $a in -DoutputDirectory=*) mkdir \"${a#*=}\";; esac; done\n"
	tests := []struct {
		name      string
		java, mvn string
		opts      kafkatest.Options
		want      []string
	}{
		{"no java", "", mvn, kafkatest.Options{}, []string{"kafkatest: no Java to run Apache Kafka with", "install version 17", "openjdk-17"}},
		{"no maven", fine, "", kafkatest.Options{}, []string{"the jars of Apache Kafka 4.1.1 are not in", "there is no Maven", "apt-get install maven"}},
		{"no network", fine, "#!/bin/sh\necho unknown host\nexit 1\n", kafkatest.Options{Version: "3.9.1"},
			[]string{"download the jars of Apache Kafka 3.9.1: mvn: exit status 1", "Maven Central", "unknown host"}},
		{"format fails", "#!/bin/sh\necho no such class\nexit 3\n", mvn, kafkatest.Options{}, []string{"node 1: format", "exit status 3", "no such class"}},
		{"ends at once", "#!/bin/sh\necho port is taken\n", mvn, kafkatest.Options{}, []string{"is not ready: kafkatest: node 1 ended: exit status 0", "port is taken"}},
		{"too many", fine, mvn, kafkatest.Options{Nodes: 4}, []string{"kafkatest: nodes: got 4, want 1 to 3"}},
		{"listeners of many", fine, mvn, kafkatest.Options{Nodes: 2, Listeners: make([]kafkatest.Listener, 1)}, []string{"kafkatest: listeners: got 2 nodes, want 1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bin := t.TempDir()
			t.Setenv("PATH", bin+":/bin")
			t.Setenv("JAVA_HOME", "")
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			for name, script := range map[string]string{"java": test.java, "mvn": test.mvn} {
				if script != "" {
					must(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
				}
			}
			if test.java == "" || test.mvn == "" {
				t.Setenv("PATH", bin)
			}
			test.opts.Kind = kafkatest.Kafka
			b, err := kafkatest.Start(deadline(t), test.opts)
			if err == nil {
				b.Close()
				t.Fatal("Start() = nil, want an error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Start() = %q, want it to contain %q", err, want)
				}
			}
		})
	}
}
