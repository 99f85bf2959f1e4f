package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stats is the state of a pool at one moment.
type Stats struct {
	// Workers is how many worker processes are ready.
	Workers int
	// Busy is how many of them run a record.
	Busy int
	// Slow is how many of those have run theirs for so long that another was
	// started in place of them.
	Slow int
	// Waiting is how many records no worker has yet.
	Waiting int
	// HeldPlans is how many plans back-off keeps waiting, since they keep killing
	// workers.
	HeldPlans int
	// Restarts counts the workers that died or were killed, by reason: "timeout",
	// "memory", "crash", "protocol" (it broke the protocol or kept silent),
	// "abandoned" (nobody waited any more for what it ran), "preempted" (what it
	// tried out for a moment is not quick, and must wait for its turn).
	Restarts map[string]uint64
	// ResidentSum and ResidentMax are the workers' resident memory in bytes, in all
	// and of the largest; 0 where the platform does not tell.
	ResidentSum, ResidentMax int64
	// CPU is the processor time of all workers there ever were.
	CPU time.Duration
	// StartError is why the last attempt to start a worker failed; nil when it did not.
	StartError error
}

// Stats gives the pool's state. It reads a few files of /proc for each worker.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Workers:    len(p.workers) + len(p.alone),
		Busy:       len(p.alone),
		Slow:       p.slow,
		Restarts:   make(map[string]uint64, len(reasons())),
		CPU:        p.deadCPU,
		StartError: p.startErr,
	}
	for _, r := range reasons() {
		s.Restarts[string(r)] = p.restarts[r]
	}
	now := time.Now()
	for _, plan := range p.plans {
		s.Waiting += len(plan.queue)
		if len(plan.queue) > 0 && plan.held(now) {
			s.HeldPlans++
		}
	}
	// A process is asked while the pool is locked, so that its time is counted
	// either here or among the dead, and never less than before: one that has just
	// ended is gone from /proc before it is among the dead.
	ask := func(proc *process) {
		rss, cpu := usage(proc.pid())
		proc.cpu = max(proc.cpu, cpu)
		s.ResidentSum += rss
		s.ResidentMax = max(s.ResidentMax, rss)
		s.CPU += proc.cpu
	}
	for _, w := range p.workers {
		if w.count() > 0 {
			s.Busy++
		}
		ask(w.proc)
	}
	for proc := range p.alone {
		ask(proc)
	}
	return s
}

// The pool's metrics.
var (
	descWorkers   = prometheus.NewDesc("starplan_workers", "Worker processes that are ready.", nil, nil)
	descRestarts  = prometheus.NewDesc("starplan_worker_restarts_total", "Workers that died or were killed, by reason.", []string{"reason"}, nil)
	descMemory    = prometheus.NewDesc("starplan_worker_resident_memory_bytes", "Resident memory of all workers.", nil, nil)
	descMemoryMax = prometheus.NewDesc("starplan_worker_resident_memory_max_bytes", "Resident memory of the largest worker.", nil, nil)
	descCPU       = prometheus.NewDesc("starplan_worker_cpu_seconds_total", "Processor time of all workers there ever were.", nil, nil)
	descHeld      = prometheus.NewDesc("starplan_held_plans", "Plans whose records wait because they keep killing workers.", nil, nil)
)

// collector reads a pool's state when it is scraped.
type collector struct{ pool *Pool }

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descWorkers, descRestarts, descMemory, descMemoryMax, descCPU, descHeld} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.pool.Stats()
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(descWorkers, float64(s.Workers))
	gauge(descMemory, float64(s.ResidentSum))
	gauge(descMemoryMax, float64(s.ResidentMax))
	gauge(descHeld, float64(s.HeldPlans))
	ch <- prometheus.MustNewConstMetric(descCPU, prometheus.CounterValue, s.CPU.Seconds())
	for r, n := range s.Restarts {
		ch <- prometheus.MustNewConstMetric(descRestarts, prometheus.CounterValue, float64(n), r)
	}
}

// register registers the metrics and gives what takes them back.
func (p *Pool) register() (unregister func(), err error) {
	r := p.opts.Registerer
	if r == nil {
		return nil, nil
	}
	c := collector{p}
	if err := r.Register(c); err != nil {
		return nil, err
	}
	return func() { r.Unregister(c) }, nil
}
