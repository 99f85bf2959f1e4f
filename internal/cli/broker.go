package cli

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
)

// broker are the flags of commands that talk to a Kafka.
type broker struct {
	Bootstrap []string `name:"kafka-bootstrap-servers" env:"KAFKA_BOOTSTRAP_SERVERS" default:"localhost:9092" placeholder:"HOST:PORT,…" help:"Brokers to begin with (${default})."`

	Security config.Security `embed:""`
}

// client gives the options of a Kafka client. A broker was reached with them: what
// is in the way is told at once, and why.
func (b *broker) client(ctx context.Context) ([]kgo.Opt, error) {
	settings, err := b.Security.Resolve()
	if err != nil {
		return nil, usageError{err}
	}
	opts := append([]kgo.Opt{kgo.SeedBrokers(b.Bootstrap...)}, settings.Options()...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, usageError{err}
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return nil, settings.Explain(ctx, b.Bootstrap, err)
	}
	return opts, nil
}
