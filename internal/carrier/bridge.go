package carrier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Feed gives the records of one claim to one session.
type Feed interface {
	// Next blocks until there are records and returns them in order. It returns
	// none only when ctx has ended. One goroutine calls it.
	Next(ctx context.Context) []*kgo.Record
}

// Claim is one partition in a session.
type Claim struct {
	Partition int32
	// Open gives a feed that begins at the first record that no goka callback has
	// taken over yet. It is called each time the session is run.
	Open func() Feed
	// HighWater gives the offset after the partition's last record; nil allowed.
	HighWater func() int64
}

// Session is what goka processes between two changes of the assignment.
type Session struct {
	Topic      string
	MemberID   string
	Generation int32
	Claims     []Claim
	// Open is called before goka's Setup. From here on callbacks may come.
	Open func()
	// Release is called after the session's context was cancelled: it must release
	// every DeferCommit that is held, and see to it that callbacks under way
	// take no further ones.
	Release func()
}

// Bridge carries sessions to a goka processor. Sessions come one at a time. It is
// safe for concurrent use.
type Bridge struct {
	log *slog.Logger

	mu      sync.Mutex
	want    *Session      // what is to run; nil between sessions
	changed chan struct{} // closed and made anew when want changes
	running *Session      // what Consume has begun and not ended
	idle    chan struct{} // closed when running becomes nil
}

// NewBridge makes a bridge without a session. log may be nil.
func NewBridge(log *slog.Logger) *Bridge {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	idle := make(chan struct{})
	close(idle)
	return &Bridge{log: log, changed: make(chan struct{}), idle: idle}
}

// Begin sets the session to run and returns at once. It runs as soon as goka is
// in Consume, and again from its Setup on when goka's processor is built anew.
// A session that was begun before must have been ended.
func (b *Bridge) Begin(s *Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(s)
}

// End ends the session, if there is one, and waits until goka's Cleanup for it
// has returned or ctx has ended.
func (b *Bridge) End(ctx context.Context) error {
	b.mu.Lock()
	b.set(nil)
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end of goka session: %w", ctx.Err())
	}
}

func (b *Bridge) set(s *Session) {
	b.want = s
	close(b.changed)
	b.changed = make(chan struct{})
}

// ConsumerGroup is a goka.ConsumerGroupBuilder.
func (b *Bridge) ConsumerGroup(_ []string, _, _ string) (sarama.ConsumerGroup, error) {
	return &consumerGroup{bridge: b}, nil
}

// consumerGroup is one goka processor's view of the bridge.
type consumerGroup struct{ bridge *Bridge }

// ErrClaimEnded says that goka gave up a partition in the middle of a session,
// as after a panic in a callback.
var ErrClaimEnded = errors.New("carrier: goka ended a claim within a session")

// Consume runs session after session until ctx ends.
func (g *consumerGroup) Consume(ctx context.Context, _ []string, handler sarama.ConsumerGroupHandler) error {
	for {
		s, changed, ok := g.bridge.start()
		if ok {
			if err := g.bridge.run(ctx, s, changed, handler); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if !ok {
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// start takes the session to run, if there is one, and the channel that is closed
// when it is to end.
func (b *Bridge) start() (*Session, <-chan struct{}, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.want == nil {
		return nil, b.changed, false
	}
	b.running = b.want
	b.idle = make(chan struct{})
	return b.running, b.changed, true
}

func (b *Bridge) stopped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = nil
	close(b.idle)
}

// run is one session from Setup to Cleanup.
func (b *Bridge) run(ctx context.Context, s *Session, changed <-chan struct{}, handler sarama.ConsumerGroupHandler) error {
	defer b.stopped()
	sctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session := &groupSession{Session: s, ctx: sctx}
	s.Open()
	if err := handler.Setup(session); err != nil {
		cancel()
		s.Release()
		b.cleanup(session, handler)
		return fmt.Errorf("goka setup: %w", err)
	}

	var claims sync.WaitGroup
	ended := make(chan error, len(s.Claims))
	for _, c := range s.Claims {
		claims.Go(func() { ended <- runClaim(session, c, handler) })
	}

	var err error
	select {
	case <-changed:
	case <-ctx.Done():
	case err = <-ended:
		// With ctx claims end, too: that may be seen before ctx's end is.
		if err == nil && ctx.Err() == nil {
			err = ErrClaimEnded
		}
	}
	cancel()
	s.Release()
	claims.Wait()
	b.cleanup(session, handler)
	return err
}

// runClaim is one claim: a goroutine feeds it, goka drains it. It returns when
// goka does, also where that gives up a claim within a session.
func runClaim(session *groupSession, c Claim, handler sarama.ConsumerGroupHandler) error {
	claim := &groupClaim{topic: session.Topic, Claim: c, messages: make(chan *sarama.ConsumerMessage)}
	ctx, cancel := context.WithCancel(session.ctx)
	var feeding sync.WaitGroup
	feeding.Go(func() { claim.feed(ctx, c.Open()) })
	defer feeding.Wait()
	defer cancel()
	return handler.ConsumeClaim(session, claim)
}

// cleanup is for the log only: sarama does the same with an error of Cleanup.
func (b *Bridge) cleanup(session *groupSession, handler sarama.ConsumerGroupHandler) {
	if err := handler.Cleanup(session); err != nil {
		b.log.Warn("goka cleanup failed", "error", err)
	}
}

// Errors gives no errors: what goes wrong with the broker is the owner's.
func (g *consumerGroup) Errors() <-chan error { return nil }

// Close does nothing: sessions end with the context of Consume.
func (g *consumerGroup) Close() error { return nil }

// Pause does nothing; so do Resume, PauseAll and ResumeAll. goka calls none of them.
func (g *consumerGroup) Pause(map[string][]int32) {}

// Resume does nothing.
func (g *consumerGroup) Resume(map[string][]int32) {}

// PauseAll does nothing.
func (g *consumerGroup) PauseAll() {}

// ResumeAll does nothing.
func (g *consumerGroup) ResumeAll() {}

var _ goka.ConsumerGroupBuilder = (*Bridge)(nil).ConsumerGroup
