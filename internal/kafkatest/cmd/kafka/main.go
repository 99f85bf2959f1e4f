// Command kafka runs an Apache Kafka broker in the foreground, for trying things
// against the real one: make kafka. It needs Java and, the first time, Maven.
//
// When it answers it prints its bootstrap address on stdout; what else it has to
// say goes to stderr. SIGINT or SIGTERM stops it. Data is gone afterwards unless
// -data names a directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"starplan/internal/devbroker"
	"starplan/internal/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New("see -help")

// stopTimeout is what the broker is given to end in its own time.
const stopTimeout = 10 * time.Second

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("kafka", flag.ContinueOnError)
	opts := kafkatest.Options{Kind: kafkatest.Kafka, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flags.IntVar(&opts.Port, "port", 9092, "port of the first broker on 127.0.0.1; 0 for one that is free")
	flags.IntVar(&opts.Nodes, "nodes", 1, "number of brokers, 1 to 3")
	flags.StringVar(&opts.Version, "version", kafkatest.DefaultVersion, "version of Apache Kafka")
	flags.StringVar(&opts.DataDir, "data", "", "directory that keeps the data; empty for a temporary one")
	tenants := flags.String("tenant", "", "tenants, comma-separated, whose topics are created")
	partitions := flags.Int("partitions", devbroker.DefaultPartitions, "partitions of these topics")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return errUsage
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("kafka: unexpected argument %q: %w", flags.Arg(0), errUsage)
	}
	b, err := kafkatest.Start(ctx, opts)
	if err != nil {
		return err
	}
	err = serve(ctx, b, *tenants, *partitions)
	// ctx is done by now; the broker stops in a time of its own.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(err, b.Stop(last), b.Close())
}

// serve creates topics, prints the address and waits for a signal.
func serve(ctx context.Context, b kafkatest.Broker, tenants string, partitions int) error {
	for tenant := range strings.SplitSeq(tenants, ",") {
		if tenant == "" {
			continue
		}
		for _, topic := range []string{devbroker.InputTopic(tenant), devbroker.OutputTopic(tenant)} {
			err := kafkatest.CreateTopics(ctx, b.Addr(), partitions, topic)
			if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
				return err
			}
		}
	}
	fmt.Println(b.Addr())
	<-ctx.Done()
	return nil
}
