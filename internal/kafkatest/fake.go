package kafkatest

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"

	"starplan/internal/devbroker"
)

// Fake is the Broker of kind KFake.
type Fake struct {
	opts    devbroker.Options
	addr    string
	gate    *gate
	running *devbroker.Broker // nil while stopped
	remove  string            // temporary directory, or empty
}

func startFake(opts Options) (*Fake, error) {
	if opts.Nodes != 1 {
		return nil, fmt.Errorf("kafkatest: %s has 1 node, want %d; use kind %s", KFake, opts.Nodes, Kafka)
	}
	if len(opts.Listeners) > 0 {
		return nil, fmt.Errorf("kafkatest: %s has 1 listener, want %d more; use kind %s", KFake, len(opts.Listeners), Kafka)
	}
	f := &Fake{gate: newGate()}
	f.opts = devbroker.Options{
		Port:    opts.Port,
		DataDir: opts.DataDir,
		Logger:  opts.Logger,
		Kfake: []kfake.Opt{
			kfake.ListenFn(f.gate.listen), kfake.GroupMinSessionTimeout(minSessionTimeout), kfake.BrokerConfigs(opts.Config),
		},
	}
	var err error
	if f.opts.Port == 0 {
		if f.opts.Port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if f.opts.DataDir == "" {
		if f.remove, err = os.MkdirTemp("", "starplan-kfake-"); err != nil {
			return nil, fmt.Errorf("kafkatest: %w", err)
		}
		f.opts.DataDir = f.remove
	}
	if err := f.Start(context.Background()); err != nil {
		return nil, fmt.Errorf("%w%s", err, removal(f.remove))
	}
	f.addr = f.running.Addr()
	return f, nil
}

// Cluster is kfake's own handle, for faults in single requests; nil while stopped.
func (f *Fake) Cluster() *kfake.Cluster {
	if f.running == nil {
		return nil
	}
	return f.running.Cluster()
}

// Addr implements Broker.
func (f *Fake) Addr() string { return f.addr }

// Start implements Broker.
func (f *Fake) Start(context.Context) error {
	if f.running != nil {
		return nil
	}
	b, err := devbroker.Start(f.opts)
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	f.running = b
	return nil
}

// Stop implements Broker.
func (f *Fake) Stop(context.Context) error { return f.Kill() }

// Kill implements Broker. What a frozen broker had already read from its
// connections is lost, as with a process.
func (f *Fake) Kill() error {
	if f.running == nil {
		return nil
	}
	f.gate.hangUp()
	f.running.Close()
	f.running = nil
	return nil
}

// Freeze implements Broker.
func (f *Fake) Freeze() error { f.gate.close(); return nil }

// Thaw implements Broker.
func (f *Fake) Thaw() error { f.gate.open(); return nil }

// Close implements Broker.
func (f *Fake) Close() error {
	err := f.Kill()
	if f.remove != "" {
		err = os.RemoveAll(f.remove)
		f.remove = ""
	}
	return err
}

// removal removes a directory, if it is named, in the course of another error.
func removal(dir string) string {
	if dir == "" {
		return ""
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Sprintf(" (and %v)", err)
	}
	return ""
}

// gate is a listener's door: while it is closed, connections hold back what they
// have read and what they are to write.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
	conns  map[*gatedConn]struct{}
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{}), conns: make(map[*gatedConn]struct{})}
	close(g.opened)
	return g
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
		g.opened = make(chan struct{})
	default:
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.openLocked()
}

func (g *gate) openLocked() {
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

// hangUp closes all connections and then opens the gate, so that what was held
// back is lost.
func (g *gate) hangUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.dead.Store(true)
		_ = c.Conn.Close()
	}
	g.openLocked()
}

// wait returns when the gate is open.
func (g *gate) wait() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	<-opened
}

func (g *gate) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return gatedListener{l, g}, nil
}

type gatedListener struct {
	net.Listener
	gate *gate
}

func (l gatedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &gatedConn{Conn: conn, gate: l.gate}
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	l.gate.conns[c] = struct{}{}
	return c, nil
}

type gatedConn struct {
	net.Conn
	gate *gate
	dead atomic.Bool // hung up
}

// Read waits after the read, not before: a read that was under way when the gate
// closed must not give its request to a frozen broker.
func (c *gatedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.gate.wait()
	if c.dead.Load() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *gatedConn) Write(p []byte) (int, error) {
	c.gate.wait()
	return c.Conn.Write(p)
}

func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
