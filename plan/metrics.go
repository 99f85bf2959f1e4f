package plan

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the catalog's. Those with the label plan are computed from the
// table whenever they are collected, so they never tell of a plan that is gone.
type metrics struct {
	catalog  *Catalog
	reg      prometheus.Registerer
	reloads  prometheus.Counter
	failures prometheus.Counter

	readable, successful, successTime, info, maxSteps, timeout *prometheus.Desc

	interpreter string
}

func newMetrics(c *Catalog, reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		catalog: c,
		reg:     reg,
		reloads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "starplan_plan_reloads_total",
			Help: "Times that the plans were read again.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "starplan_plan_reload_failures_total",
			Help: "Reloads in which a plan, or all of them, could not be read or loaded.",
		}),
		readable: prometheus.NewDesc("starplan_plans_readable",
			"Whether the plans as a whole could be read when that was last tried; where not, those of before are served.", nil, nil),
		successful: prometheus.NewDesc("starplan_plan_last_reload_successful",
			"Whether the newest version of the plan is the one that is served.", []string{"plan"}, nil),
		successTime: prometheus.NewDesc("starplan_plan_last_reload_success_timestamp_seconds",
			"When the plan was last found to be served as it lies on disk.", []string{"plan"}, nil),
		info: prometheus.NewDesc("starplan_plan_info",
			"Plans that are served, by the digest of their sources and the version of the Starlark interpreter.",
			[]string{"plan", "digest", "interpreter"}, nil),
		maxSteps: prometheus.NewDesc("starplan_plan_max_steps",
			"Step limit of an execution.", nil, nil),
		timeout: prometheus.NewDesc("starplan_plan_timeout_seconds",
			"Wall clock limit of an execution.", nil, nil),
		interpreter: InterpreterVersion(),
	}
	if reg == nil {
		return m, nil
	}
	return m, reg.Register(m)
}

// reloaded counts one reload.
func (m *metrics) reloaded(ok bool) {
	m.reloads.Inc()
	if !ok {
		m.failures.Inc()
	}
}

// close withdraws the metrics.
func (m *metrics) close() {
	if m.reg != nil {
		m.reg.Unregister(m)
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.reloads.Describe(ch)
	m.failures.Describe(ch)
	for _, d := range []*prometheus.Desc{m.readable, m.successful, m.successTime, m.info, m.maxSteps, m.timeout} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.reloads.Collect(ch)
	m.failures.Collect(ch)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	lim := m.catalog.opts.Limits
	gauge(m.maxSteps, float64(lim.MaxSteps))
	gauge(m.timeout, lim.Timeout.Seconds())
	table := m.catalog.table.Load()
	readable := 1.0
	if table.unread {
		readable = 0
	}
	gauge(m.readable, readable)
	for _, s := range table.plans {
		ok, seconds := 1.0, 0.0
		if s.err != nil {
			ok = 0
		}
		if !s.checkedAt.IsZero() {
			seconds = float64(s.checkedAt.UnixNano()) / 1e9
		}
		gauge(m.successful, ok, s.label())
		gauge(m.successTime, seconds, s.label())
		if s.src != nil {
			gauge(m.info, 1, s.label(), s.src.Digest, m.interpreter)
		}
	}
}
