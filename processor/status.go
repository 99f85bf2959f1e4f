package processor

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Status is how a Processor stands. It is for /readyz and /health.
type Status struct {
	// Ready: records are taken on and answered. Reasons says why not.
	Ready   bool
	Reasons []string
	// Consumer and Producer are the two clients.
	Consumer ClientStatus
	Producer ClientStatus
	// Joined: the group has given this member an assignment, be it empty.
	Joined bool
	// MemberID and Generation are those of the last assignment.
	MemberID   string
	Generation int32
	// Partitions are those assigned, in order.
	Partitions []int32
	// InFlight is the number of records taken on and not answered.
	InFlight int
}

// ClientStatus is how one client of the broker stands.
type ClientStatus struct {
	// State is "starting", "up", "down" or "stopped".
	State string
	// Detail says more, such as the last error; may be empty.
	Detail string
	// LastContact is when a broker last answered; zero for never.
	LastContact time.Time
	// Age is the time since then; 0 for never.
	Age time.Duration
}

// The states of a client.
const (
	StateStarting = "starting"
	StateUp       = "up"
	StateDown     = "down"
	StateStopped  = "stopped"
)

// contact keeps when a broker last answered a client and when it last failed to.
// It is a hook of the client.
type contact struct {
	failed func()

	mu      sync.Mutex
	good    time.Time
	bad     time.Time
	badErr  error
	stopped bool
}

var (
	_ kgo.HookBrokerRead    = (*contact)(nil)
	_ kgo.HookBrokerConnect = (*contact)(nil)
)

// OnBrokerRead notes an answer.
func (c *contact) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err != nil {
		return // The connection is made anew; if that fails OnBrokerConnect hears of it.
	}
	switch kmsg.Key(key) {
	case kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate:
		return // Those are answered also to a client that is not let in.
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good = time.Now()
}

// OnBrokerConnect notes a broker that cannot be reached.
func (c *contact) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	stopped := c.stopped
	if !stopped {
		c.bad, c.badErr = time.Now(), err
	}
	c.mu.Unlock()
	if !stopped && c.failed != nil {
		c.failed()
	}
}

// begin is for another client in the place of the one before.
func (c *contact) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good, c.bad, c.badErr, c.stopped = time.Time{}, time.Time{}, nil, false
}

func (c *contact) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
}

// grace is how long a failure to reach one broker may stand beside the silence of
// the others, before all count as gone.
const grace = 2 * time.Second

// status says how the client stands at now. Brokers that have been silent for
// longer than patience count as gone.
func (c *contact) status(now time.Time, patience time.Duration) ClientStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := ClientStatus{LastContact: c.good}
	if !c.good.IsZero() {
		s.Age = now.Sub(c.good)
	}
	switch {
	case c.stopped:
		s.State = StateStopped
	case c.bad.After(c.good) && (c.good.IsZero() || s.Age > grace):
		s.State, s.Detail = StateDown, "broker cannot be reached: "+c.badErr.Error()
	case c.good.IsZero():
		s.State = StateStarting
	case s.Age > patience:
		s.State, s.Detail = StateDown, fmt.Sprintf("no broker has answered for %v", s.Age.Round(time.Second))
	default:
		s.State = StateUp
	}
	return s
}

// membership is what the group's callbacks and the start say about us.
type membership struct {
	mu         sync.Mutex
	waiting    string // what the start waits for
	goka       string // why goka's processor does not run
	stalled    string // what stands still, and for how long
	joined     bool
	member     string
	generation int32
	stopping   bool
}

func (m *membership) set(change func(*membership)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// Status says how the processor stands. It is safe for concurrent use, before,
// during and after Run.
func (p *Processor) Status() Status {
	now := time.Now()
	st := p.core.stats(now)
	s := Status{
		Consumer: p.consumerContact.status(now, p.opts.SessionTimeout),
		// An idle producer speaks to nobody: only a failure counts.
		Producer: p.producerContact.status(now, 1<<62),
		InFlight: st.inFlight,
	}
	unplaced := 0
	for _, ps := range st.partitions {
		s.Partitions = append(s.Partitions, ps.number)
		if !ps.placed {
			unplaced++
		}
	}
	m := &p.membership
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Joined, s.MemberID, s.Generation = m.joined, m.member, m.generation
	why := func(reason string) { s.Reasons = append(s.Reasons, reason) }
	if m.stopping {
		why("stopping")
	}
	if m.waiting != "" {
		why(m.waiting)
	}
	if s.Consumer.State == StateDown {
		why("consumer: " + s.Consumer.Detail)
	}
	if s.Producer.State == StateDown {
		why("producer: " + s.Producer.Detail)
	}
	if m.goka != "" {
		why(m.goka)
	}
	if m.stalled != "" {
		why(m.stalled)
	}
	if unplaced > 0 {
		// A record that is produced now may still be passed over by a start at the end.
		why(fmt.Sprintf("committed offsets of %d partitions are not known yet", unplaced))
	}
	if !m.joined && len(s.Reasons) == 0 {
		why("group " + p.opts.Group + " is not joined yet")
	}
	s.Ready = len(s.Reasons) == 0
	return s
}
