// Package metricset tells which metrics a service has: names, types, labels and
// meanings, as a scrape shows them.
//
// Everything that speaks of metrics is held to it: docs/metrics.md is written from
// it, the dashboards in deploy/grafana are made with it, and the rules in
// deploy/prometheus are checked against it. So none of them can name a metric that
// is not there. To write docs/metrics.md anew, run
//
//	go test ./internal/metricset -update
package metricset

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Prefix is that of Starplan's own metrics.
const Prefix = "starplan_"

// Set is the metrics of a service, in order of name.
type Set []Metric

// Metric is one metric.
type Metric struct {
	Name string
	// Type is "counter", "gauge", "histogram" or "summary".
	Type string
	// Help is the metric's meaning, a sentence.
	Help string
	// Labels are in order of name.
	Labels []Label
	// Series is how many there were.
	Series int
}

// Label is a label of a metric.
type Label struct {
	Name string
	// Values are those that there were, sorted.
	Values []string
}

// Parse reads a set from a scrape in Prometheus' text format.
func Parse(r io.Reader) (Set, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return nil, fmt.Errorf("metricset: %w", err)
	}
	var set Set
	for name, f := range families {
		set = append(set, Metric{
			Name: name, Type: strings.ToLower(f.GetType().String()), Help: f.GetHelp(),
			Labels: labels(f.GetMetric()), Series: len(f.GetMetric()),
		})
	}
	slices.SortFunc(set, func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
	return set, nil
}

func labels(series []*dto.Metric) []Label {
	values := make(map[string][]string)
	for _, s := range series {
		for _, l := range s.GetLabel() {
			values[l.GetName()] = append(values[l.GetName()], l.GetValue())
		}
	}
	var list []Label
	for name, v := range values {
		slices.Sort(v)
		list = append(list, Label{Name: name, Values: slices.Compact(v)})
	}
	slices.SortFunc(list, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Own gives Starplan's own metrics, without those of the Go runtime and the process.
func (s Set) Own() Set {
	var own Set
	for _, m := range s {
		if strings.HasPrefix(m.Name, Prefix) {
			own = append(own, m)
		}
	}
	return own
}

// Find gives the metric that a series belongs to: one of that name or, with
// _bucket, _sum or _count, the histogram.
func (s Set) Find(series string) (Metric, bool) {
	for _, m := range s {
		if m.Name == series {
			return m, true
		}
		if m.Type == "histogram" || m.Type == "summary" {
			switch strings.TrimPrefix(series, m.Name) {
			case "_bucket", "_sum", "_count":
				return m, true
			}
		}
	}
	return Metric{}, false
}

// Has reports whether the metric has a label of that name.
func (m Metric) Has(label string) bool {
	return slices.ContainsFunc(m.Labels, func(l Label) bool { return l.Name == label })
}
