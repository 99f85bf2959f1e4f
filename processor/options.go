package processor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics are named by tenant. The platform subscribes to everything that begins
// with one of the two prefixes, so no other topic of ours may.
const (
	inputPrefix  = "plan-inputs-"
	outputPrefix = "plan-executions-"
)

// InputTopic is the topic of a tenant's PlanInputs.
func InputTopic(tenant string) string { return inputPrefix + tenant }

// OutputTopic is the topic of a tenant's PlanExecutions.
func OutputTopic(tenant string) string { return outputPrefix + tenant }

// Delivery says how often an answer may appear on the output topic.
type Delivery string

// The forms of delivery.
const (
	// AtLeastOnce: every record is answered. After a failure some answers appear
	// again, byte for byte the same.
	AtLeastOnce Delivery = "at-least-once"
	// ExactlyOnce: answers and offsets are committed in one transaction.
	ExactlyOnce Delivery = "exactly-once"
)

// Compression is how batches of executions are compressed on their way, and kept
// by the broker.
type Compression string

// The compressions. Readers need no setting for them.
const (
	LZ4           Compression = "lz4"
	Zstd          Compression = "zstd"
	NoCompression Compression = "none"
)

// Compressions lists them, the default first.
func Compressions() []Compression { return []Compression{LZ4, Zstd, NoCompression} }

// codecs gives what franz-go may use, in order of preference: a broker before
// Kafka 2.1 takes no zstd.
func (c Compression) codecs() []kgo.CompressionCodec {
	switch c {
	case NoCompression:
		return []kgo.CompressionCodec{kgo.NoCompression()}
	case Zstd:
		return []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.Lz4Compression(), kgo.NoCompression()}
	}
	return []kgo.CompressionCodec{kgo.Lz4Compression(), kgo.NoCompression()}
}

// Defaults of Options.
const (
	DefaultSessionTimeout  = 10 * time.Second
	DefaultStopTimeout     = 10 * time.Second
	DefaultMaxAheadRecords = 10_000
	DefaultMaxAheadBytes   = 64 << 20
)

// ServingAll is the text of Options.Serving for a process that serves the whole tenant.
const ServingAll = "all"

// Options configure a Processor.
type Options struct {
	// Brokers are host:port of at least one broker.
	Brokers []string
	// ClientOptions go to every client, before the processor's own: TLS, SASL,
	// dialer. Nil is fine.
	ClientOptions []kgo.Opt
	// Explain says why brokers cannot be reached, where err is what a client met; it
	// gives err itself where it knows nothing more. Nil for nobody who does.
	Explain func(ctx context.Context, err error) error
	// Principal is whom the brokers' access control knows this process as, for
	// messages about rights, such as "User:starplan"; empty for unknown.
	Principal string
	// Tenant names the topics. Required.
	Tenant string
	// Group is the consumer group. Required.
	Group string
	// Serving is the canonical text of what this process serves: [ServingAll], or
	// anything that is the same for two processes exactly if they answer the same
	// keys. Members of one group must agree on it. Required.
	Serving string
	// InstanceID makes this process a static member of the group (KIP-345): one that
	// comes back under it within the session timeout gets its partitions back without
	// a rebalance. Each member needs its own. Empty means none.
	InstanceID string
	// Start is where a group without a committed offset begins; the zero value is
	// [Oldest].
	Start Start
	// SessionTimeout is how long the group waits for a member that is silent; 0
	// means [DefaultSessionTimeout]. Brokers refuse less than 6 s by default.
	SessionTimeout time.Duration
	// Delivery is [AtLeastOnce] or [ExactlyOnce]; empty means ExactlyOnce.
	Delivery Delivery
	// Compression of what is produced; empty means LZ4.
	Compression Compression
	// DeadLetterTopic takes the records that are no PlanInput; empty means none.
	DeadLetterTopic string
	// Runner executes plans. Required.
	Runner Runner
	// Observer is told of answers; may be nil.
	Observer Observer
	// MaxAheadRecords and MaxAheadBytes bound how far execution runs ahead of the
	// committed offsets in this process; 0 means the defaults. When one is
	// reached, a partition that holds its share is not fetched for the time being.
	MaxAheadRecords int
	MaxAheadBytes   int64
	// StepLimit is the most steps that an execution may take; 0 for unknown. It is
	// for the bounds of the histogram of steps only.
	StepLimit uint64
	// StopTimeout bounds how long Run waits for records in flight when its context
	// ends; 0 means [DefaultStopTimeout], below 0 not to wait.
	StopTimeout time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means that nobody does, and executions are not
	// counted then.
	Registerer prometheus.Registerer

	// lookPause is the longest time between two looks at topics and ends of
	// partitions, for tests; 0 means the constants.
	lookPause time.Duration
	// stallAfter replaces the constant, for tests; 0 means the constant.
	stallAfter time.Duration
}

// withDefaults fills in what was left out. It does not check.
func (o Options) withDefaults() Options {
	if o.Explain == nil {
		o.Explain = func(_ context.Context, err error) error { return err }
	}
	if o.Principal == "" {
		o.Principal = "User:NAME"
	}
	if o.Start.kind == "" {
		o.Start = Oldest()
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = DefaultSessionTimeout
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = DefaultStopTimeout
	}
	if o.Delivery == "" {
		o.Delivery = ExactlyOnce
	}
	if o.Compression == "" {
		o.Compression = LZ4
	}
	if o.MaxAheadRecords == 0 {
		o.MaxAheadRecords = DefaultMaxAheadRecords
	}
	if o.MaxAheadBytes == 0 {
		o.MaxAheadBytes = DefaultMaxAheadBytes
	}
	if o.stallAfter == 0 {
		o.stallAfter = stallAfter
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports everything that is wrong with o, joined. It contacts nobody.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("processor: "+format, args...)) }
	if len(o.Brokers) == 0 {
		wrong("no brokers")
	}
	switch {
	case o.Tenant == "":
		wrong("no tenant")
	case !validTopic(InputTopic(o.Tenant)) || !validTopic(OutputTopic(o.Tenant)):
		wrong("tenant %q cannot name a topic: want letters, digits, dot, underscore and hyphen, %d at most", o.Tenant, maxTopic-len(outputPrefix))
	}
	if o.Group == "" {
		wrong("no consumer group")
	}
	if o.InstanceID != "" && !validTopic(o.InstanceID) {
		wrong("instance id %q: want letters, digits, dot, underscore and hyphen, %d at most", o.InstanceID, maxTopic)
	}
	if o.Serving == "" {
		wrong("nothing said about what is served")
	}
	if o.Runner == nil {
		wrong("no runner")
	}
	if o.SessionTimeout < time.Second {
		wrong("session timeout is %v, want 1s or more", o.SessionTimeout)
	}
	if o.MaxAheadRecords < 0 || o.MaxAheadBytes < 0 {
		wrong("bounds of execution ahead are %d records and %d bytes, want neither below 0", o.MaxAheadRecords, o.MaxAheadBytes)
	}
	switch o.Delivery {
	case AtLeastOnce, ExactlyOnce:
	default:
		wrong("delivery %q: want %s or %s", o.Delivery, AtLeastOnce, ExactlyOnce)
	}
	if !slices.Contains(Compressions(), o.Compression) {
		wrong("compression %q: want one of %v", o.Compression, Compressions())
	}
	if t := o.DeadLetterTopic; t != "" {
		switch {
		case strings.HasPrefix(t, inputPrefix), strings.HasPrefix(t, outputPrefix):
			wrong("dead-letter topic %q begins with %s or %s, which the platform subscribes to; choose another name, such as dlq-%s", t, inputPrefix, outputPrefix, InputTopic(o.Tenant))
		case !validTopic(t):
			wrong("dead-letter topic %q is no name of a topic", t)
		}
	}
	return errors.Join(errs...)
}

// maxTopic is the longest name of a topic.
const maxTopic = 249

// validTopic follows Kafka's own check of a topic's name, which is also that of an
// instance id.
func validTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxTopic {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// assignorPrefix begins the names of our assignors, and of nobody else's.
const assignorPrefix = "starplan/"

// IsAssignor reports whether a group's assignor is that of some starplan.
func IsAssignor(name string) bool { return strings.HasPrefix(name, assignorPrefix) }

// Assignor is the name of the group's assignor under which members that serve the
// same find each other; serving is as in [Options.Serving].
func Assignor(serving string) string {
	if serving == ServingAll {
		return assignorPrefix + "all"
	}
	sum := sha256.Sum256([]byte(serving))
	return assignorPrefix + hex.EncodeToString(sum[:8])
}
