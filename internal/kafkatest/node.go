package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// clusterID is that of every cluster here. Data of one is never given to another.
const clusterID = "c3RhcnBsYW4tdGVzdHMhIQ"

// Node is one Apache Kafka process of a [Cluster], broker and controller in one.
// Its methods are called by one goroutine at a time.
type Node struct {
	id         int
	vm         vm
	dir        string // configuration, data and log
	port       int
	controller int
	properties map[string]string // system properties
	memory     []string          // the virtual machine's options for heap and collector
	log        *slog.Logger
	proc       *process // nil before the first start
}

// Addr is where clients reach the node.
func (n *Node) Addr() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

// configure writes the node's configuration.
func (n *Node) configure(voters string, nodes int, listeners []Listener, extra map[string]string) error {
	replicas, inSync := strconv.Itoa(nodes), strconv.Itoa(max(1, nodes-1))
	config := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(n.id),
		"controller.quorum.voters":                         voters,
		"listeners":                                        fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", n.port, n.controller),
		"advertised.listeners":                             fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", n.port),
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"log.dirs":                                         filepath.Join(n.dir, "data"),
		"auto.create.topics.enable":                        "false",
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              inSync,
		"offsets.topic.replication.factor":                 replicas,
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.num.partitions":             "4",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,
		// A node that was killed is let in again only when the controller has given
		// up on the one before: 9 seconds by default. The interval is also the time that
		// a heartbeat may take, so it cannot be much shorter on a busy machine.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "1000",
		// The first member of a group does not wait for others to come.
		"group.initial.rebalance.delay.ms": "0",
		// Tests that kill a member do not wait 6 seconds for the group to notice.
		"group.min.session.timeout.ms": strconv.Itoa(int(minSessionTimeout.Milliseconds())),
		// A small machine runs this: few threads, and no 128 MiB for a cleaner
		// that has nothing to clean.
		"num.network.threads":            "2",
		"num.io.threads":                 "4",
		"log.cleaner.dedupe.buffer.size": "4194304",
	}
	listen(config, listeners)
	maps.Copy(config, extra)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&text, "%s=%s\n", key, config[key])
	}
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	if err := os.WriteFile(n.configFile(), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	return nil
}

// listen adds listeners to a node's configuration.
func listen(config map[string]string, listeners []Listener) {
	for _, l := range listeners {
		addr := fmt.Sprintf("127.0.0.1:%d", l.Port)
		config["listeners"] += "," + l.Name + "://" + addr
		if l.Advertised != "" {
			addr = l.Advertised
		}
		config["advertised.listeners"] += "," + l.Name + "://" + addr
		config["listener.security.protocol.map"] += "," + l.Name + ":" + l.Protocol
		for key, value := range l.Config {
			config["listener.name."+strings.ToLower(l.Name)+"."+key] = value
		}
	}
}

func (n *Node) configFile() string { return filepath.Join(n.dir, "server.properties") }
func (n *Node) logFile() string    { return filepath.Join(n.dir, "kafka.log") }

// format prepares an empty data directory; a used one is left alone.
func (n *Node) format(ctx context.Context) error {
	_, err := os.Stat(filepath.Join(n.dir, "data", "meta.properties"))
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kafkatest: %w", err)
	}
	command := n.vm.tool("kafka.tools.StorageTool", "format", "--cluster-id", clusterID, "--config", n.configFile())
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kafkatest: node %d: format %s: %w\n%s", n.id, n.dir, err, tail(out.Bytes()))
	}
	return nil
}

// launch starts the process, unless it runs, and does not wait for it to be ready.
func (n *Node) launch(ctx context.Context) error {
	if n.running() {
		return nil
	}
	if err := n.format(ctx); err != nil {
		return err
	}
	out, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	defer func() { _ = out.Close() }()
	options := slices.Clone(n.memory)
	for key, value := range n.properties {
		options = append(options, "-D"+key+"="+value)
	}
	command := n.vm.broker(options, n.configFile())
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	n.proc, err = startProcess(cmd)
	if err != nil {
		return fmt.Errorf("kafkatest: node %d: %w", n.id, err)
	}
	n.log.Info("kafka started", "node", n.id, "addr", n.Addr(), "pid", cmd.Process.Pid)
	return nil
}

// Start starts the node if it does not run, and returns when it answers on its
// own port. In a cluster the others may still be unaware of it: [Cluster.Ready]
// waits for all.
func (n *Node) Start(ctx context.Context) error {
	if err := n.launch(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.proc.ended, func() { cancel(n.died()) })()
	return ready(ctx, []string{n.Addr()}, 1)
}

func (n *Node) running() bool { return n.proc != nil && n.proc.ended.Err() == nil }

// Stop sends SIGTERM and waits for the end; when ctx ends first the node is killed.
func (n *Node) Stop(ctx context.Context) error {
	if !n.running() {
		return nil
	}
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.proc.ended.Done():
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("kafkatest: node %d: stop: %w", n.id, context.Cause(ctx)), n.Kill())
	}
}

// Kill sends SIGKILL and waits for the end.
func (n *Node) Kill() error {
	if !n.running() {
		return nil
	}
	if err := n.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-n.proc.ended.Done()
	return nil
}

// Freeze sends SIGSTOP and returns when the node stands still.
func (n *Node) Freeze() error {
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := awaitStop(n.proc.cmd.Process.Pid); err != nil {
		return fmt.Errorf("kafkatest: node %d: wait until it is stopped: %w", n.id, err)
	}
	return nil
}

// Pid is the id of the node's process, and 0 where it does not run.
func (n *Node) Pid() int {
	if !n.running() {
		return 0
	}
	return n.proc.cmd.Process.Pid
}

// Thaw lets a frozen node go on.
func (n *Node) Thaw() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(sig syscall.Signal) error {
	if !n.running() {
		return fmt.Errorf("kafkatest: node %d: %v: it does not run", n.id, sig)
	}
	n.log.Info("kafka signalled", "node", n.id, "signal", sig.String())
	if err := n.proc.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kafkatest: node %d: %v: %w", n.id, sig, err)
	}
	return nil
}

// died says how the process ended, with the end of its log.
func (n *Node) died() error {
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		text = []byte(err.Error())
	}
	return fmt.Errorf("kafkatest: node %d ended: %v\n%s", n.id, n.proc.cmd.ProcessState, tail(text))
}
