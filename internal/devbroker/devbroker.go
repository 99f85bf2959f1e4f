// Package devbroker is a Kafka broker inside this process, for trying plans and
// for tests where no Kafka is at hand.
//
// It wraps kfake, franz-go's fake cluster, and adds what Starplan expects to
// find: the two topics of a tenant, one broker on loopback, and errors that say
// what to do. It speaks the real protocol over TCP, groups and transactions
// included, so that any Kafka client can connect to it. It is no place for data
// that matters: without a DataDir everything is gone when it is closed, there is
// one replica, and retention and compaction are not run.
//
// A group's first rebalance is not delayed, as it is for three seconds by a
// Kafka broker with default settings.
package devbroker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// DefaultPartitions is the number of partitions of each topic where Options
// names none.
const DefaultPartitions = 4

// Options say what the broker is to be. The zero value is a broker on a free
// port without any topic.
type Options struct {
	// Tenant has plan-inputs-{tenant} and plan-executions-{tenant} created; where
	// it is empty they are not.
	Tenant string
	// Topics are created besides.
	Topics []string
	// Partitions of each topic; 0 means DefaultPartitions.
	Partitions int
	// Port on 127.0.0.1; 0 means one that is free.
	Port int
	// DataDir keeps records, groups and transactions over a restart of the broker.
	// Empty means memory. The topics above are created in an empty one only.
	DataDir string
	// Logger hears what the broker does, at debug level, and what goes wrong
	// inside it, as warnings and errors; nil discards it.
	Logger *slog.Logger
	// Kfake are further options of the fake cluster: TLS, SASL, access control.
	Kfake []kfake.Opt
}

// Broker is a running broker. It is safe for concurrent use.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// InputTopic and OutputTopic name the topics of a tenant.
func InputTopic(tenant string) string { return "plan-inputs-" + tenant }

// OutputTopic names the topic that a tenant's executions go to.
func OutputTopic(tenant string) string { return "plan-executions-" + tenant }

// Start starts a broker. It accepts connections when Start returns.
func Start(opts Options) (*Broker, error) {
	topics := opts.Topics
	if opts.Tenant != "" {
		topics = append([]string{InputTopic(opts.Tenant), OutputTopic(opts.Tenant)}, topics...)
	}
	if err := opts.validate(topics); err != nil {
		return nil, fmt.Errorf("devbroker: %w", err)
	}
	if opts.Partitions == 0 {
		opts.Partitions = DefaultPartitions
	}
	kopts := []kfake.Opt{
		kfake.Ports(opts.Port),
		kfake.ClusterID("starplan-dev"),
		kfake.DefaultNumPartitions(opts.Partitions),
		kfake.SeedTopics(int32(opts.Partitions), topics...),
	}
	if opts.DataDir != "" {
		kopts = append(kopts, kfake.DataDir(opts.DataDir))
	}
	if opts.Logger != nil {
		kopts = append(kopts, kfake.WithLogger(logger{opts.Logger}))
	}
	cluster, err := kfake.NewCluster(append(kopts, opts.Kfake...)...)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("devbroker: port %d is in use; choose another, or 0 for one that is free: %w", opts.Port, err)
	case err != nil:
		return nil, fmt.Errorf("devbroker: %w", err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// topicName is what Kafka takes as the name of a topic.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func (o Options) validate(topics []string) error {
	if o.Partitions < 0 {
		return fmt.Errorf("partitions: got %d, want at least 1", o.Partitions)
	}
	if o.Port < 0 || o.Port > 65535 {
		return fmt.Errorf("port: got %d, want 0 to 65535", o.Port)
	}
	for _, t := range topics {
		if !topicName.MatchString(t) {
			return fmt.Errorf("topic: got %q, want 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'", t)
		}
	}
	return nil
}

// Addr is where the broker listens, as "127.0.0.1:9092": the value for
// KAFKA_BOOTSTRAP_SERVERS.
func (b *Broker) Addr() string { return b.addr }

// Port is the port that the broker listens on.
func (b *Broker) Port() int {
	_, port, _ := net.SplitHostPort(b.addr)
	n, _ := strconv.Atoi(port)
	return n
}

// Cluster is the fake cluster behind the broker, for tests that inject faults.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// Close stops the broker and ends its connections. It may be called twice.
func (b *Broker) Close() { b.cluster.Close() }

// logger hands kfake's log to slog. What it calls information is the traffic of
// single clients: that is debug level for us.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	}
	ctx := context.Background()
	if !l.log.Enabled(ctx, to) {
		return
	}
	l.log.Log(ctx, to, "embedded broker", "detail", fmt.Sprintf(format, args...))
}
