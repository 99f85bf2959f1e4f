package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Cluster is the Broker of kind Kafka: one to three nodes of Apache Kafka, each
// of them broker and controller in one.
type Cluster struct {
	nodes  []*Node
	remove string // temporary directory, or empty
	log    *slog.Logger
}

// maxNodes is what one machine is asked to bear.
const maxNodes = 3

func startCluster(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Nodes < 1 || opts.Nodes > maxNodes {
		return nil, fmt.Errorf("kafkatest: nodes: got %d, want 1 to %d", opts.Nodes, maxNodes)
	}
	if opts.Nodes > 1 && len(opts.Listeners) > 0 {
		return nil, fmt.Errorf("kafkatest: listeners: got %d nodes, want 1: each node would listen on the same ports", opts.Nodes)
	}
	v, err := newVM(ctx, opts.Version, opts.Logger)
	if err != nil {
		return nil, err
	}
	return v.start(ctx, opts)
}

// start starts a cluster of brokers with this virtual machine.
func (v vm) start(ctx context.Context, opts Options) (*Cluster, error) {
	c := &Cluster{log: opts.Logger}
	dir := opts.DataDir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "starplan-kafka-"); err != nil {
			return nil, fmt.Errorf("kafkatest: %w", err)
		}
		c.remove = dir
	}
	if err := c.layOut(opts, dir, v); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.Start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// layOut chooses ports, and writes each node's configuration.
func (c *Cluster) layOut(opts Options, dir string, v vm) error {
	memory := []string{"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC"}
	if opts.Heap != "" {
		memory = []string{"-Xms" + opts.Heap, "-Xmx" + opts.Heap, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"}
	}
	for i := range opts.Nodes {
		n := &Node{
			id: i + 1, vm: v, memory: memory, properties: opts.Properties, log: opts.Logger,
			dir: filepath.Join(dir, fmt.Sprintf("node%d", i+1)), port: opts.Port + i,
		}
		var err error
		if opts.Port == 0 {
			if n.port, err = FreePort(); err != nil {
				return err
			}
		}
		if n.controller, err = FreePort(); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	var voters []string
	for _, n := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", n.id, n.controller))
	}
	for _, n := range c.nodes {
		if err := n.configure(strings.Join(voters, ","), len(c.nodes), opts.Listeners, opts.Config); err != nil {
			return err
		}
	}
	return nil
}

// Tool gives the command line, without arguments, of one of Apache Kafka's own tools
// by the name of its class, such as org.apache.kafka.tools.AclCommand.
func (c *Cluster) Tool(class string) []string {
	return c.nodes[0].vm.tool(class)
}

// Nodes are the brokers one by one, the first to the last.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Addr implements Broker.
func (c *Cluster) Addr() string {
	addrs := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		addrs[i] = n.Addr()
	}
	return strings.Join(addrs, ",")
}

// Start implements Broker. It returns when every node is up and knows of the
// others, and group and transaction coordinators answer.
func (c *Cluster) Start(ctx context.Context) error {
	var g errgroup.Group
	for _, n := range c.nodes {
		g.Go(func() error { return n.launch(ctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.Ready(ctx)
}

// Ready waits until every node answers and every replica is in sync; it fails
// early when a node ends.
func (c *Cluster) Ready(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, n := range c.nodes {
		defer context.AfterFunc(n.proc.ended, func() { cancel(n.died()) })()
	}
	return ready(ctx, strings.Split(c.Addr(), ","), len(c.nodes))
}

// each does something to all nodes at once.
func (c *Cluster) each(do func(*Node) error) error {
	var g errgroup.Group
	for _, n := range c.nodes {
		g.Go(func() error { return do(n) })
	}
	return g.Wait()
}

// Stop implements Broker.
func (c *Cluster) Stop(ctx context.Context) error {
	return c.each(func(n *Node) error { return n.Stop(ctx) })
}

// Kill implements Broker.
func (c *Cluster) Kill() error { return c.each((*Node).Kill) }

// Freeze implements Broker.
func (c *Cluster) Freeze() error { return c.each((*Node).Freeze) }

// Thaw implements Broker.
func (c *Cluster) Thaw() error { return c.each((*Node).Thaw) }

// Close implements Broker. Nobody needs the data any more, so nodes are killed.
func (c *Cluster) Close() error {
	err := c.Kill()
	if c.remove != "" {
		err = errors.Join(err, os.RemoveAll(c.remove))
		c.remove = ""
	}
	return err
}
