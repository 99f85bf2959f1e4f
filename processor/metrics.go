package processor

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/plan/execution"
)

// The values of the label op of kafka_errors_total.
var kafkaOps = []string{"connect", "fetch", "group", "produce", "commit", "dead_letter", "topic", "processor"}

// metrics are what one Processor counts. What is a matter of state, such as lag,
// is read off the books at each scrape by [collector].
type metrics struct {
	// counting: executions are counted, one by one. Without a registerer nobody could
	// ask for the figures.
	counting bool

	received    *prometheus.CounterVec
	skipped     *prometheus.CounterVec
	executions  *prometheus.CounterVec
	failures    *prometheus.CounterVec
	planErrors  *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	steps       *prometheus.HistogramVec
	delay       prometheus.Histogram
	deadLetters *prometheus.CounterVec
	deleted     prometheus.Counter
	rebalances  prometheus.Counter
	kafkaErrors *prometheus.CounterVec

	// exemplarDue: it is time for another one.
	exemplarDue   atomic.Bool
	exemplarPause time.Duration

	mu sync.Mutex
	// plans are the series of the plans that are known: to look them up by their
	// label each time would cost more than to count.
	plans map[string]*planSeries
	// bounded: setPlans has said which plans there are.
	bounded bool
}

// planSeries are those of one value of the label plan. What counts in them after the
// plan is gone is lost with them, and makes no series anew.
type planSeries struct {
	executions, planErrors prometheus.Counter
	failures               map[execution.Reason]prometheus.Counter
	// These are nil until the plan runs: one that does not has no histograms.
	duration, steps prometheus.Observer
}

const namespace = "starplan"

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace:                       namespace,
		Name:                            name,
		Help:                            help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

var (
	durationBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	delayBuckets    = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
)

// stepBuckets are powers of ten, and near the limit the parts of it that one wants
// to be warned at: within a power of ten they cannot be told apart.
func stepBuckets(limit uint64) []float64 {
	if limit == 0 {
		return prometheus.ExponentialBuckets(1e2, 10, 9)
	}
	half := 0.5 * float64(limit)
	var buckets []float64
	for b := 1e2; b < half; b *= 10 {
		buckets = append(buckets, b)
	}
	return append(buckets, half, 0.8*float64(limit), float64(limit))
}

// newMetrics makes the metrics and registers them, and c with them, where reg is
// not nil. The limit of steps may be 0 for unknown.
func newMetrics(reg prometheus.Registerer, c prometheus.Collector, stepLimit uint64) (*metrics, error) {
	m := &metrics{
		counting:      reg != nil,
		exemplarPause: exemplarPause,
		received:      counterVec("records_received_total", "Records delivered by the broker, redelivered ones included.", "topic"),
		skipped:       counterVec("records_skipped_total", "Records left unanswered, by reason.", "reason"),
		executions:    counterVec("executions_total", "Executions that ended, by plan; the plan is empty where no loaded plan ran.", "plan"),
		failures:      counterVec("execution_failures_total", "Executions that FAILED, by plan and reason.", "plan", "reason"),
		planErrors:    counterVec("plan_errors_total", "Executions that SUCCEEDED with an error message that the plan returned.", "plan"),
		duration:      prometheus.NewHistogramVec(histogramOpts("execution_duration_seconds", "Time to decode, run and encode one execution.", durationBuckets), []string{"plan"}),
		steps:         prometheus.NewHistogramVec(histogramOpts("execution_steps", "Starlark steps of one execution.", stepBuckets(stepLimit)), []string{"plan"}),
		delay:         prometheus.NewHistogram(histogramOpts("end_to_end_delay_seconds", "Time from an input record's timestamp to the broker's acknowledgement of its execution.", delayBuckets)),
		deadLetters:   counterVec("dead_letters_total", "Records put on the dead-letter topic, by reason.", "reason"),
		deleted:       counter("records_deleted_total", "Offsets of records that the broker deleted, by retention or by hand, before they were answered."),
		rebalances:    counter("rebalances_total", "Changes of this member's assignment."),
		kafkaErrors:   counterVec("kafka_errors_total", "Errors in dealing with Kafka that were not passing ones of a rebalance, by operation.", "op"),
	}
	for _, op := range kafkaOps {
		m.kafkaErrors.WithLabelValues(op)
	}
	for _, s := range execution.Skips() {
		m.skipped.WithLabelValues(string(s))
	}
	m.deadLetters.WithLabelValues(string(execution.ReasonDecode))
	m.exemplarDue.Store(true)
	m.plans = make(map[string]*planSeries)
	m.preset("")
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.received, m.skipped, m.executions, m.failures, m.planErrors, m.duration, m.steps,
		m.delay, m.deadLetters, m.deleted, m.rebalances, m.kafkaErrors, c,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// preset makes a plan's series, so that the first failure is seen as an increase. It
// is called with the mutex held, or before anybody else knows of m.
func (m *metrics) preset(plan string) *planSeries {
	s := &planSeries{
		executions: m.executions.WithLabelValues(plan), planErrors: m.planErrors.WithLabelValues(plan),
		failures: make(map[execution.Reason]prometheus.Counter),
	}
	for _, r := range execution.Reasons() {
		s.failures[r] = m.failures.WithLabelValues(plan, string(r))
	}
	m.plans[plan] = s
	return s
}

// setPlans bounds the label plan to names and deletes the series of others.
func (m *metrics) setPlans(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := map[string]bool{"": true}
	for _, name := range names {
		known[name] = true
		if m.plans[name] == nil {
			m.preset(name)
		}
	}
	for name := range m.plans {
		if known[name] {
			continue
		}
		gone := prometheus.Labels{"plan": name}
		m.executions.DeletePartialMatch(gone)
		m.planErrors.DeletePartialMatch(gone)
		m.failures.DeletePartialMatch(gone)
		m.duration.DeletePartialMatch(gone)
		m.steps.DeletePartialMatch(gone)
		delete(m.plans, name)
	}
	m.bounded = true
}

// seriesOf gives the series of an execution's plan. Until the plans are known it is
// what the execution says, from then on only a plan that is loaded.
func (m *metrics) seriesOf(plan string) *planSeries {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.plans[plan]
	if s == nil && m.bounded {
		plan, s = "", m.plans[""]
	}
	if s == nil {
		s = m.preset(plan)
	}
	if s.duration == nil {
		s.duration, s.steps = m.duration.WithLabelValues(plan), m.steps.WithLabelValues(plan)
	}
	return s
}

// ended counts one execution.
func (m *metrics) ended(o execution.Outcome) {
	if !m.counting {
		return
	}
	s := m.seriesOf(o.Plan)
	s.executions.Inc()
	m.observeDuration(s.duration, o)
	s.steps.Observe(float64(o.Steps))
	if o.PlanError {
		s.planErrors.Inc()
	}
	if c := s.failures[o.Reason]; c != nil {
		c.Inc()
	}
}

// slow executions, and one every exemplarPause of the others, leave their exec_id as
// an exemplar. To make one of each would cost more than all other metrics together,
// and so would asking for the time at each.
const (
	slow          = 100 * time.Millisecond
	exemplarPause = 100 * time.Millisecond
)

func (m *metrics) observeDuration(h prometheus.Observer, o execution.Outcome) {
	seconds := o.Duration.Seconds()
	due := m.exemplarDue.Load() && m.exemplarDue.CompareAndSwap(true, false)
	if due {
		time.AfterFunc(m.exemplarPause, func() { m.exemplarDue.Store(true) })
	}
	if eh, ok := h.(prometheus.ExemplarObserver); ok && o.ExecID != "" && (due || o.Duration >= slow) {
		eh.ObserveWithExemplar(seconds, prometheus.Labels{"exec_id": o.ExecID})
		return
	}
	h.Observe(seconds)
}

// emitted counts the delay of an execution that is on its topic for good.
func (m *metrics) emitted(delay time.Duration) {
	if m.counting {
		m.delay.Observe(max(0, delay.Seconds()))
	}
}

// failed counts the failure of an execution that was counted as a success.
func (m *metrics) failed(o execution.Outcome) {
	m.seriesOf(o.Plan).failures[o.Reason].Inc()
}

// collector reads the state of the books at each scrape. Series of a partition
// are there while it is ours, so nothing has to be deleted.
type collector struct {
	core  *core
	topic string

	inFlight, lagRecords, lagSeconds, assigned, blocked, last *prometheus.Desc
}

func newCollector(c *core, topic string) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &collector{
		core:       c,
		topic:      topic,
		inFlight:   desc("in_flight_records", "Records taken on and not answered yet."),
		lagRecords: desc("consumer_lag_records", "Offsets from the first unanswered record to the end of the partition; only of partitions that this member owns.", "topic", "partition"),
		lagSeconds: desc("consumer_lag_seconds", "Age of the oldest record that was taken on and not answered yet; 0 where there is none."),
		assigned:   desc("assigned_partitions", "Partitions that this member owns."),
		blocked:    desc("blocked_partitions", "Partitions that are not fetched because execution ran as far ahead as it may, by reason.", "reason"),
		last:       desc("last_record_processed_timestamp_seconds", "When a record was last answered, in Unix time; 0 for never."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.inFlight, c.lagRecords, c.lagSeconds, c.assigned, c.blocked, c.last} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.core.stats(time.Now())
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.inFlight, float64(s.inFlight))
	gauge(c.lagSeconds, s.lag.Seconds())
	gauge(c.assigned, float64(len(s.partitions)))
	for _, p := range s.partitions {
		gauge(c.lagRecords, float64(p.lag), c.topic, p.label)
	}
	for _, reason := range blockReasons {
		gauge(c.blocked, float64(s.blocked[reason]), reason)
	}
	last := 0.0
	if !s.processed.IsZero() {
		last = float64(s.processed.UnixMilli()) / 1000
	}
	gauge(c.last, last)
}
