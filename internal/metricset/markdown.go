package metricset

import (
	"fmt"
	"slices"
	"strings"
)

// meanings explain the values of the labels that stand for closed sets. A metric
// stands before the label where the same name means something else elsewhere.
var meanings = []struct {
	label  string
	title  string
	values map[string]string
}{
	{"starplan_execution_failures_total reason", "Why executions fail", map[string]string{
		"decode":       "the record's value is no PlanInput",
		"unknown_plan": "the key names a plan that is not there",
		"load":         "the plan could not be loaded, and has no good version",
		"plan":         "`fail()`, or an evaluation error, in the plan",
		"result":       "the plan returned no PlanResult, or one that cannot be sent",
		"steps":        "the step limit, `starplan_plan_max_steps`",
		"timeout":      "the wall clock, `starplan_plan_timeout_seconds`",
		"memory":       "the memory limit of the worker",
		"crash":        "the plan ended its worker in another way",
		"too_large":    "the execution is larger than the output topic takes",
	}},
	{"starplan_records_skipped_total reason", "Why records are skipped", map[string]string{
		"no_key":      "the record has no key, or one that is no UTF-8",
		"foreign_key": "PLAN_NAME or GRAPH_ID leave the key to others",
		"empty_value": "the record has no value, or an empty one",
	}},
	{"starplan_dead_letters_total reason", "Why records are put on the dead-letter topic", map[string]string{
		"decode": "the record's value is no PlanInput",
	}},
	{"starplan_worker_restarts_total reason", "Why workers end", map[string]string{
		"timeout":   "it was killed when its record's time was over",
		"memory":    "it ran out of its memory",
		"crash":     "it died otherwise",
		"protocol":  "it broke the protocol, or kept silent",
		"abandoned": "it was killed because nobody waited any more for what it ran",
		"preempted": "it was killed so that another plan could run",
		"retired":   "it was not needed any more, and ended",
	}},
	{"starplan_blocked_partitions reason", "Why partitions are not fetched", map[string]string{
		"bytes":   "execution is ahead of the committed offsets by as many bytes as it may be",
		"records": "execution is ahead of the committed offsets by as many records as it may be",
		"window":  "execution is ahead of the committed offset by as many offsets as a commit can remember",
	}},
	{"starplan_kafka_errors_total op", "What failed in dealing with Kafka", map[string]string{
		"commit":      "committing offsets",
		"connect":     "connecting to a broker",
		"dead_letter": "writing to the dead-letter topic",
		"fetch":       "reading the input topic",
		"group":       "being a member of the group",
		"processor":   "goka's processor, which was started again",
		"produce":     "writing executions",
		"topic":       "a topic that was deleted or made anew, so that the clients began anew",
	}},
}

const head = `# Metrics

<!-- Generated from the code; do not edit. Run: go test ./internal/metricset -update -->

` + "`GET /metrics`" + ` gives them as Prometheus text, or as OpenMetrics where the scraper asks for it. Histograms have
classic and native buckets; with OpenMetrics some observations of ` + "`starplan_execution_duration_seconds`" + ` carry the
exec_id as an exemplar, so that a slow execution can be found by it.

The label ` + "`plan`" + ` is the name of a plan that is loaded, or ` + "`graph:name`" + ` for a plan of one graph; it is empty where no
loaded plan ran. Series of a plan or a partition are gone when it is not served here any more. All
values of the labels listed below are there from the start, with 0.

| metric | type | labels | meaning |
|---|---|---|---|
`

const tail = `
Beside these there are the collectors of the Go runtime (` + "`go_…`" + `) and of the process (` + "`process_…`" + `).

Rules and dashboards that use them are in [deploy/prometheus](../deploy/prometheus) and
[deploy/grafana](../deploy/grafana); what to do when an alert fires is in [runbooks.md](runbooks.md).
`

// Markdown writes docs/metrics.md. The error names values of labels that nobody
// has explained.
func (s Set) Markdown() (string, error) {
	var b strings.Builder
	b.WriteString(head)
	for _, m := range s.Own() {
		var names []string
		for _, l := range m.Labels {
			names = append(names, "`"+l.Name+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(names, ", "), strings.ReplaceAll(m.Help, "|", `\|`))
	}
	b.WriteString(tail)
	for _, set := range meanings {
		name, label, _ := strings.Cut(set.label, " ")
		m, ok := s.Find(name)
		i := slices.IndexFunc(m.Labels, func(l Label) bool { return l.Name == label })
		if !ok || i < 0 {
			return "", fmt.Errorf("metricset: no metric %s with a label %s", name, label)
		}
		fmt.Fprintf(&b, "\n## %s\n\n| `%s` of `%s` | meaning |\n|---|---|\n", set.title, label, name)
		for _, value := range m.Labels[i].Values {
			if set.values[value] == "" {
				return "", fmt.Errorf("metricset: nobody has explained %s{%s=%q}", name, label, value)
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", value, set.values[value])
		}
	}
	return b.String(), nil
}
