package cli

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
)

// broker are the flags of commands that talk to a Kafka.
type broker struct {
	Bootstrap []string `name:"kafka-bootstrap-servers" env:"KAFKA_BOOTSTRAP_SERVERS" default:"localhost:9092" placeholder:"HOST:PORT,…" help:"Brokers to begin with (${default})."`

	Security config.Security `embed:""`
}

// client gives the options of a Kafka client.
func (b *broker) client() ([]kgo.Opt, error) {
	opts, err := b.Security.Resolve()
	if err != nil {
		return nil, usageError{err}
	}
	return append([]kgo.Opt{kgo.SeedBrokers(b.Bootstrap...)}, opts...), nil
}
