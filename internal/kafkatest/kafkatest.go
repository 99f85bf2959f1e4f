// Package kafkatest gives tests a Kafka broker, fake or real, and lets them
// break it.
//
// There are two kinds. KFake is the embedded broker of package devbroker: it
// starts in milliseconds and needs nothing but Go. Kafka is an Apache Kafka of
// one to three nodes in KRaft mode, started from the jars that Maven Central
// has; it needs Java 17 or later and, the first time, Maven and the network. The
// first start of a version also writes an archive of its loaded classes beside
// the jars, with which all later ones are faster by a third. The same test runs on
// either:
//
//	broker := kafkatest.New(t, kafkatest.Options{Kind: kafkatest.KFake})
//	kafkatest.CreateTopics(ctx, broker.Addr(), 4, "plan-inputs-acme", "plan-executions-acme")
//
// A broker keeps its port and its data until it is closed, so that a test can
// stop, kill, freeze and start it under load. Ports lie below the range from
// which the system hands out ports to clients: a client that dials a dead port
// of that range over and over can be given the very same port as its own, is
// then connected to itself, and the broker cannot come back.
//
// Apache Kafka runs in child processes. They are killed when the test process
// ends, also when that is killed itself (on Linux).
package kafkatest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"
)

// Kind is a kind of broker.
type Kind string

// The kinds.
const (
	// KFake is the embedded broker, in this process.
	KFake Kind = "kfake"
	// Kafka is Apache Kafka, in child processes.
	Kafka Kind = "kafka"
)

// KindVariable is the environment variable that chooses the kind for suites that
// run on both.
const KindVariable = "STARPLAN_E2E_BROKER"

// KindFromEnv reads KindVariable: "kfake", "kafka", or nothing, which is kfake.
func KindFromEnv() (Kind, error) {
	switch kind := Kind(os.Getenv(KindVariable)); kind {
	case "":
		return KFake, nil
	case KFake, Kafka:
		return kind, nil
	default:
		return "", fmt.Errorf("kafkatest: %s: got %q, want %q or %q", KindVariable, kind, KFake, Kafka)
	}
}

// DefaultVersion of Apache Kafka. Other versions of the 3.9 and 4 series can be
// asked for in Options.
const DefaultVersion = "4.1.1"

// Options say which broker to start. The zero value is an embedded one.
type Options struct {
	// Kind is KFake where empty.
	Kind Kind
	// Port of the first node on 127.0.0.1; 0 means one that is free.
	Port int
	// Nodes is the number of brokers, 1 to 3; 0 means 1. With three of them topics
	// have three replicas and two must be in sync. KFake has one.
	Nodes int
	// Version of Apache Kafka; empty means DefaultVersion.
	Version string
	// Config is added to the configuration of each Apache Kafka node, or to the
	// broker's configuration of kfake, and wins over what is set here.
	Config map[string]string
	// Listeners are further ways into a single node of Apache Kafka. Addr stays what
	// it is: a listener without encryption, whose clients are all User:ANONYMOUS.
	Listeners []Listener
	// Properties are system properties of Apache Kafka's virtual machine.
	Properties map[string]string
	// Heap gives each Apache Kafka node a heap of this size, such as "6g", and the
	// collector that Apache Kafka's own start script chooses. The script's heap is 1g;
	// its manual says that 6g is typical. Where it is empty a node takes little memory
	// and starts quickly, and stops for its collector more often and for longer.
	Heap string
	// DataDir keeps the data after Close; empty means a temporary directory that
	// Close removes.
	DataDir string
	// Logger hears of starts and stops; nil discards that.
	Logger *slog.Logger
}

// Listener is one more listener of a node of Apache Kafka.
type Listener struct {
	// Name in the node's configuration, in capitals.
	Name string
	// Protocol is how it is secured, in Kafka's words: SSL, SASL_PLAINTEXT or SASL_SSL.
	Protocol string
	// Port on 127.0.0.1; see FreePort.
	Port int
	// Advertised is where clients are told to connect, as "host:port": a proxy, say.
	// Empty means the listener itself.
	Advertised string
	// Config configures this listener; keys come without the prefix listener.name.
	Config map[string]string
}

// Broker is a broker, or a cluster of them, under test. Its methods are called
// by one goroutine at a time. Start, Stop, Kill, Freeze and Thaw concern every
// node; those of a cluster can be had one by one, see [Cluster].
type Broker interface {
	// Addr is the bootstrap address, "host:port", comma-separated for a cluster.
	// It stays the same over restarts.
	Addr() string
	// Start starts a stopped or killed broker again, on the same ports and data,
	// and returns when it answers. On a running one it does nothing.
	Start(ctx context.Context) error
	// Stop ends the broker in its own time, as SIGTERM does; it is killed when
	// ctx ends before that.
	Stop(ctx context.Context) error
	// Kill ends it at once, as kill -9 does. KFake cannot crash: there it is Stop.
	Kill() error
	// Freeze holds the broker: connections stay open and nothing is answered, as
	// after SIGSTOP. Thaw lets it go on.
	Freeze() error
	Thaw() error
	// Close ends the broker and removes its data. It may be called twice.
	Close() error
}

// minSessionTimeout is the shortest session timeout that a member may ask for.
const minSessionTimeout = time.Second

// startTimeout bounds a start where the caller's context does not.
const startTimeout = 2 * time.Minute

// Start starts a broker and returns when it answers. The caller closes it.
func Start(ctx context.Context, opts Options) (Broker, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Version == "" {
		opts.Version = DefaultVersion
	}
	if opts.Nodes == 0 {
		opts.Nodes = 1
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	switch opts.Kind {
	case KFake, "":
		return startFake(opts)
	case Kafka:
		return startCluster(ctx, opts)
	default:
		return nil, fmt.Errorf("kafkatest: kind: got %q, want %q or %q", opts.Kind, KFake, Kafka)
	}
}

// New is Start for a test: the test ends where the broker does not start, and
// the broker ends with the test.
func New(tb testing.TB, opts Options) Broker {
	tb.Helper()
	b, err := Start(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("close the broker: %v", err)
		}
	})
	return b
}
