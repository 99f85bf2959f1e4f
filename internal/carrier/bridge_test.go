package carrier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 10 * time.Second

// script is a handler that writes down what happens to it.
type script struct {
	mu     sync.Mutex
	events []string
	got    chan int64
	setup  error
	// quit, when closed, makes ConsumeClaim return within the session.
	quit chan struct{}
}

func newScript() *script { return &script{got: make(chan int64, 100), quit: make(chan struct{})} }

func (s *script) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *script) Setup(session sarama.ConsumerGroupSession) error {
	s.note("setup %v of generation %d", session.Claims(), session.GenerationID())
	return s.setup
}

func (s *script) Cleanup(session sarama.ConsumerGroupSession) error {
	s.note("cleanup, session over: %v", session.Context().Err() != nil)
	return errors.New("for the log only")
}

func (s *script) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	s.note("claim %s/%d", claim.Topic(), claim.Partition())
	defer s.note("claim over")
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			session.MarkMessage(m, "")
			s.got <- m.Offset
		case <-session.Context().Done():
			return nil
		case <-s.quit:
			return nil
		}
	}
}

// numbers feeds the offsets from 0 on, and then waits.
type numbers struct{ next, end int64 }

func (n *numbers) Next(ctx context.Context) []*kgo.Record {
	if n.next == n.end {
		<-ctx.Done()
		return nil
	}
	n.next++
	return []*kgo.Record{{Topic: "in", Offset: n.next - 1}}
}

func session(s *script, generation int32, partitions ...int32) *Session {
	out := &Session{
		Topic:      "in",
		Generation: generation,
		Open:       func() { s.note("open") },
		Release:    func() { s.note("release") },
	}
	for _, p := range partitions {
		out.Claims = append(out.Claims, Claim{Partition: p, Open: func() Feed { return &numbers{end: 3} }})
	}
	return out
}

// consuming runs Consume and gives the channel of its error.
func consuming(t *testing.T, ctx context.Context, b *Bridge, s *script) <-chan error {
	t.Helper()
	group, err := b.ConsumerGroup(nil, "", "")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- group.Consume(ctx, []string{"in"}, s) }()
	return done
}

func (s *script) expect(t *testing.T, offsets ...int64) {
	t.Helper()
	for _, want := range offsets {
		select {
		case got := <-s.got:
			if got != want {
				t.Errorf("got record %d, want %d", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("no record, want %d", want)
		}
	}
}

func TestSessionsTurnInsideOfConsume(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, s := NewBridge(nil), newScript()
	b.Begin(session(s, 1, 0)) // before goka consumes: it waits
	running, stop := context.WithCancel(ctx)
	done := consuming(t, running, b, s)
	s.expect(t, 0, 1, 2)
	if err := b.End(ctx); err != nil {
		t.Fatal(err)
	}
	s.note("ended")
	b.Begin(session(s, 2, 1))
	s.expect(t, 0, 1, 2)
	stop()
	if err := <-done; err != nil {
		t.Errorf("Consume() = %v, want nil at the end of its context", err)
	}
	want := []string{
		"open", "setup map[in:[0]] of generation 1", "claim in/0", "release", "claim over", "cleanup, session over: true", "ended",
		"open", "setup map[in:[1]] of generation 2", "claim in/1", "release", "claim over", "cleanup, session over: true",
	}
	if diff := cmp.Diff(want, ordered(s.events)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// ordered puts release before the end of a claim: both follow from the end of the
// session, and only what comes after them has an order.
func ordered(events []string) []string {
	for i := 1; i < len(events); i++ {
		if events[i-1] == "claim over" && events[i] == "release" {
			events[i-1], events[i] = events[i], events[i-1]
		}
	}
	return events
}

func TestClaimThatEndsEarlyEndsConsume(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, s := NewBridge(nil), newScript()
	b.Begin(session(s, 1, 0, 1))
	done := consuming(t, ctx, b, s)
	<-s.got
	close(s.quit)
	if err := <-done; !errors.Is(err, ErrClaimEnded) {
		t.Errorf("Consume() = %v, want %v", err, ErrClaimEnded)
	}
	// A processor that is built anew gets the same session, from the start.
	s = newScript()
	again := consuming(t, ctx, b, s)
	<-s.got
	cancel()
	if err := <-again; err != nil {
		t.Errorf("second Consume() = %v, want nil", err)
	}
}

func TestSetupError(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, s := NewBridge(nil), newScript()
	s.setup = errors.New("no")
	b.Begin(session(s, 1, 0))
	if err := <-consuming(t, ctx, b, s); !errors.Is(err, s.setup) {
		t.Errorf("Consume() = %v, want %v", err, s.setup)
	}
	want := []string{"open", "setup map[in:[0]] of generation 1", "release", "cleanup, session over: true"}
	if diff := cmp.Diff(want, s.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestEndWithoutSession(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b := NewBridge(nil)
	if err := b.End(ctx); err != nil {
		t.Errorf("End() = %v", err)
	}
	b.Begin(session(newScript(), 1, 0))
	if err := b.End(ctx); err != nil {
		t.Errorf("End() of a session that nobody runs = %v", err)
	}
}
