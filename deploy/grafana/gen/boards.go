package main

import (
	"fmt"

	"starplan/internal/metricset"
)

// What the queries of all dashboards select.
const (
	all    = `job="$job", instance=~"$instance"`
	byPlan = all + `, plan=~"$plan"`
)

// unshown are metrics that no dashboard shows, and why.
var unshown = map[string]string{
	"starplan_plan_last_reload_success_timestamp_seconds": "the table of plans shows whether it succeeded, the annotations when",
	"starplan_plan_timeout_seconds":                       "a setting that no graph is compared with",
}

// generate gives the dashboards by the names of their files.
func generate(set metricset.Set) (map[string][]byte, error) {
	files := make(map[string][]byte)
	used := make(map[string]bool)
	for name, fill := range map[string]func(*board){"starplan.json": overview, "starplan-runtime.json": internals} {
		b := newBoard(set)
		fill(b)
		text, err := b.json()
		if err != nil {
			return nil, err
		}
		files[name] = text
		for _, metric := range named.FindAllString(string(text), -1) {
			m, _ := set.Find(metric)
			used[m.Name] = true
		}
	}
	for _, m := range set.Own() {
		if !used[m.Name] && unshown[m.Name] == "" {
			return nil, fmt.Errorf("no dashboard shows %s; if none should, say why", m.Name)
		}
	}
	return files, nil
}

// newBoard makes a dashboard without panels.
func newBoard(set metricset.Set) *board {
	b := &board{set: set, dashboard: dashboard{
		Tags: []string{"starplan"}, SchemaVersion: 39, Editable: true, Refresh: "30s", Timezone: "browser", GraphTooltip: 1,
		Time:  timeRange{From: "now-1h", To: "now"},
		Links: []link{{Title: "Starplan", Type: "dashboards", Tags: []string{"starplan"}, IncludeVars: true, KeepTime: true}},
	}}
	values := func(query string) variable {
		return variable{Type: "query", Query: query, Definition: query, Datasource: &prometheus, Refresh: 2, Sort: 1}
	}
	job, instance := values("label_values(starplan_workers, job)"), values(`label_values(starplan_workers{job="$job"}, instance)`)
	job.Name, job.Label = "job", "Job"
	instance.Name, instance.Label, instance.Multi, instance.IncludeAll, instance.AllValue = "instance", "Instance", true, true, ".*"
	instance.Current = current{Text: "All", Value: "$__all"}
	b.Templating.List = []variable{
		{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"}, job, instance,
	}
	b.Annotations.List = []annotation{
		{
			Name: "Reloads", Datasource: prometheus, Enable: true, IconColor: "blue", Step: "30s",
			Expr:        `increase(starplan_plan_reloads_total{` + all + `}[1m]) > 0`,
			TitleFormat: "Plans were read again", TextFormat: "{{instance}}",
		},
		{
			Name: "Failed reloads", Datasource: prometheus, Enable: true, IconColor: "red", Step: "30s",
			Expr:        `increase(starplan_plan_reload_failures_total{` + all + `}[1m]) > 0`,
			TitleFormat: "A reload failed", TextFormat: "{{instance}}",
		},
	}
	return b
}

// quantile is one of a histogram's, summed over what by does not name.
func quantile(q, metric, labels, by string) string {
	if by != "" {
		by = ", " + by
	}
	return `histogram_quantile(` + q + `, sum by (le` + by + `) (rate(` + metric + `_bucket{` + labels + `}[$__rate_interval])))`
}

func rate(by, metric, labels string) string {
	return `sum by (` + by + `) (rate(` + metric + `{` + labels + `}[$__rate_interval]))`
}

// overview is what one looks at first: rate, errors and durations, then where
// records wait, then the plans.
func overview(b *board) {
	b.UID, b.Title = "starplan", "Starplan"
	b.Description = "Rate, failures and duration of executions, lag, and plans of one consumer group."
	plan := variable{
		Name: "plan", Label: "Plan", Type: "query", Datasource: &prometheus, Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: ".*",
		Query:   `label_values(starplan_executions_total{job="$job"}, plan)`,
		Current: current{Text: "All", Value: "$__all"},
	}
	plan.Definition = plan.Query
	b.Templating.List = append(b.Templating.List, plan)

	b.row("Executions")
	b.add(series("Executions", "ops"), 8, line{expr: rate("plan", "starplan_executions_total", byPlan), legend: "{{plan}}"})
	b.add(series("Failures", "percentunit"), 8,
		line{expr: rate("plan", "starplan_execution_failures_total", byPlan) + " / " + rate("plan", "starplan_executions_total", byPlan), legend: "{{plan}}"})
	b.add(series("Duration", "s"), 8,
		line{expr: quantile("0.5", "starplan_execution_duration_seconds", byPlan, ""), legend: "p50"},
		line{expr: quantile("0.95", "starplan_execution_duration_seconds", byPlan, ""), legend: "p95"},
		line{expr: quantile("0.99", "starplan_execution_duration_seconds", byPlan, ""), legend: "p99", exemplar: true})
	b.add(heatmap("Durations", "s"), 12,
		line{expr: `sum by (le) (increase(starplan_execution_duration_seconds_bucket{` + byPlan + `}[$__rate_interval]))`, legend: "{{le}}", exemplar: true})
	b.add(stacked("Failures by reason", "ops"), 12, line{expr: rate("reason", "starplan_execution_failures_total", byPlan), legend: "{{reason}}"})
	b.add(series("Duration by plan, p99", "s"), 8, line{expr: quantile("0.99", "starplan_execution_duration_seconds", byPlan, "plan"), legend: "{{plan}}"})
	b.add(series("Errors that plans report", "ops"), 8, line{expr: rate("plan", "starplan_plan_errors_total", byPlan), legend: "{{plan}}"})
	b.add(series("From record to execution", "s"), 8,
		line{expr: quantile("0.5", "starplan_end_to_end_delay_seconds", all, ""), legend: "p50"},
		line{expr: quantile("0.99", "starplan_end_to_end_delay_seconds", all, ""), legend: "p99"})

	b.row("Records and lag")
	b.add(series("Records received", "ops"), 8, line{expr: rate("topic", "starplan_records_received_total", all), legend: "{{topic}}"})
	b.add(series("Lag by partition", "short"), 8, line{expr: `sum by (topic, partition) (starplan_consumer_lag_records{` + all + `})`, legend: "{{partition}}"})
	b.add(series("Age of the oldest record", "s"), 8, line{expr: `max by (instance) (starplan_consumer_lag_seconds{` + all + `})`, legend: "{{instance}}"})
	b.add(series("In flight", "short"), 8, line{expr: `sum by (instance) (starplan_in_flight_records{` + all + `})`, legend: "{{instance}}"})
	b.add(series("Not answered, and dead letters", "ops"), 8,
		line{expr: rate("reason", "starplan_records_skipped_total", all), legend: "skipped: {{reason}}"},
		line{expr: rate("instance", "starplan_records_deleted_total", all), legend: "deleted before: {{instance}}"},
		line{expr: rate("reason", "starplan_dead_letters_total", all), legend: "dead letter: {{reason}}"})
	b.add(series("Time since a record was answered", "s"), 8,
		line{expr: `time() - max by (instance) (starplan_last_record_processed_timestamp_seconds{` + all + `} > 0)`, legend: "{{instance}}"})

	b.row("Plans")
	b.add(series("Steps and their limit, p99", "short"), 12,
		line{expr: quantile("0.99", "starplan_execution_steps", byPlan, "plan"), legend: "{{plan}}"},
		line{expr: `max(starplan_plan_max_steps{` + all + `})`, legend: "limit"})
	b.add(series("Steps against the limit, p99", "percentunit"), 12,
		line{expr: quantile("0.99", "starplan_execution_steps", byPlan, "plan") + ` / on () group_left () max(starplan_plan_max_steps{` + all + `})`, legend: "{{plan}}"})
	b.add(table("Versions that are served"), 12, line{expr: `count by (plan, digest, interpreter) (starplan_plan_info{` + byPlan + `})`})
	b.add(table("Newest version loaded (1) or not (0)"), 12, line{expr: `min by (plan, instance) (starplan_plan_last_reload_successful{` + byPlan + `})`})
	b.add(table("Plans could be read (1) or not (0)"), 12, line{expr: `min by (instance) (starplan_plans_readable{` + all + `})`})
}

// internals is for those who look why.
func internals(b *board) {
	b.UID, b.Title = "starplan-runtime", "Starplan: workers and runtime"
	b.Description = "Workers, dealings with Kafka, and the Go runtime of one consumer group."

	b.row("Workers")
	b.add(series("Workers", "short"), 8, line{expr: `sum by (instance) (starplan_workers{` + all + `})`, legend: "{{instance}}"})
	b.add(stacked("Workers ended", "ops"), 8, line{expr: rate("reason", "starplan_worker_restarts_total", all), legend: "{{reason}}"})
	b.add(series("Plans made to wait", "short"), 8, line{expr: `sum by (instance) (starplan_held_plans{` + all + `})`, legend: "{{instance}}"})
	b.add(series("Processor time of workers", "short"), 12, line{expr: rate("instance", "starplan_worker_cpu_seconds_total", all), legend: "{{instance}}"})
	b.add(series("Memory of workers", "bytes"), 12,
		line{expr: `sum by (instance) (starplan_worker_resident_memory_bytes{` + all + `})`, legend: "{{instance}}: all"},
		line{expr: `max by (instance) (starplan_worker_resident_memory_max_bytes{` + all + `})`, legend: "{{instance}}: the largest"})

	b.row("Kafka")
	b.add(series("Partitions", "short"), 8, line{expr: `sum by (instance) (starplan_assigned_partitions{` + all + `})`, legend: "{{instance}}"})
	b.add(series("Partitions that are not fetched", "short"), 8, line{expr: `sum by (reason) (starplan_blocked_partitions{` + all + `})`, legend: "{{reason}}"})
	b.add(series("Rebalances", "short"), 8, line{expr: `sum by (instance) (increase(starplan_rebalances_total{` + all + `}[$__rate_interval]))`, legend: "{{instance}}"})
	b.add(stacked("Errors", "ops"), 12, line{expr: rate("op", "starplan_kafka_errors_total", all), legend: "{{op}}"})
	b.add(table("Builds"), 12, line{expr: `count by (version, revision, goversion) (starplan_build_info{` + all + `})`})

	b.row("Go runtime")
	b.add(series("Processor time", "short"), 8, line{expr: rate("instance", "process_cpu_seconds_total", all), legend: "{{instance}}"})
	b.add(series("Memory", "bytes"), 8,
		line{expr: `process_resident_memory_bytes{` + all + `}`, legend: "{{instance}}: resident"},
		line{expr: `go_memstats_heap_inuse_bytes{` + all + `}`, legend: "{{instance}}: heap"})
	b.add(series("Goroutines", "short"), 8, line{expr: `go_goroutines{` + all + `}`, legend: "{{instance}}"})
	b.add(series("Garbage collection", "s"), 12, line{expr: rate("instance", "go_gc_duration_seconds_sum", all), legend: "{{instance}}: pauses a second"})
	b.add(series("Open files", "short"), 12, line{expr: `process_open_fds{` + all + `}`, legend: "{{instance}}"})
}
