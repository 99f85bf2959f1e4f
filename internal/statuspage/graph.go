package statuspage

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"starplan/internal/history"
)

// The box that lines are drawn in; the page stretches it.
const (
	graphWidth  = history.Points
	graphHeight = 40
)

// graph is a small picture of a quarter of an hour.
type graph struct {
	Name string
	// Now is the last value, in words; Note says more.
	Now, Note string
	// Label tells what can be seen to those who do not see it.
	Label string
	// Top and Bottom are the values at the edges; an empty Bottom is 0.
	Top, Bottom string
	// Curves: Now belongs to one of two curves and Note to the other.
	Curves bool
	Lines  []line
	// Grid are heights of help lines.
	Grid []string
}

// line is one curve.
type line struct {
	Class string
	// Path is the d of an SVG path, closed to the ground where Class says area.
	Path string
}

// graphs draws what the history holds.
func graphs(g history.Graphs) []graph {
	failed := sum(g.Failures)
	rate := graph{
		Name: "Rate", Now: formatRate(last(g.Rate)), Note: formatCount(g.Total.Executions) + " executions",
		Top: formatRate(peak(g.Rate)), Lines: areaAndLine(g.Rate, "rate"),
	}
	rate.Label = fmt.Sprintf("Rate of executions: now %s, at most %s", rate.Now, rate.Top)
	failures := graph{
		Name: "Failures", Now: percent(g.Total.Failures, g.Total.Executions), Note: formatCount(g.Total.Failures) + " failed",
		Top: formatCount(peak(g.Failures)) + " in 5 s", Lines: []line{{Class: "bars bad", Path: bars(g.Failures)}},
	}
	failures.Label = fmt.Sprintf("Failures: %s of executions, %s in all, at most %s", failures.Now, formatCount(failed), failures.Top)
	lag := graph{
		Name: "Lag", Now: "unknown", Top: formatCount(peak(g.Lag)) + " records", Lines: areaAndLine(g.Lag, "lag"),
	}
	if n := last(g.Lag); !math.IsNaN(n) {
		lag.Now, lag.Note = formatCount(n)+" records", "oldest "+formatSeconds(last(g.Age))
	}
	lag.Label = fmt.Sprintf("Lag of the service: now %s, at most %s", lag.Now, lag.Top)
	return []graph{rate, latency(g), failures, lag}
}

// latency is drawn on a logarithmic scale, from a power of ten to another.
func latency(g history.Graphs) graph {
	low, high := math.Inf(1), math.Inf(-1)
	for i := range g.P50 {
		if !math.IsNaN(g.P50[i]) {
			low, high = math.Min(low, g.P50[i]), math.Max(high, g.P99[i])
		}
	}
	l := graph{Name: "Duration", Now: "p50 " + formatSeconds(g.Total.P50), Note: "p99 " + formatSeconds(g.Total.P99), Curves: true, Label: "Duration of executions: none ended"}
	if low > high {
		return l
	}
	from := math.Floor(math.Log10(math.Max(low, 1e-6)))
	to := math.Max(math.Ceil(math.Log10(math.Max(high, 1e-6))), from+1)
	scale := func(v float64) float64 { return (math.Log10(math.Max(v, 1e-6)) - from) / (to - from) }
	l.Lines = []line{{Class: "p99", Path: path(g.P99, scale)}, {Class: "p50", Path: path(g.P50, scale)}}
	for d := from + 1; d < to; d++ {
		l.Grid = append(l.Grid, number(graphHeight*(1-(d-from)/(to-from))))
	}
	l.Top, l.Bottom = formatSeconds(math.Pow(10, to)), formatSeconds(math.Pow(10, from))
	l.Label = fmt.Sprintf("Duration of executions, on a logarithmic scale from %s to %s: median %s, 99th percentile %s",
		l.Bottom, l.Top, formatSeconds(g.Total.P50), formatSeconds(g.Total.P99))
	return l
}

func areaAndLine(values []float64, class string) []line {
	high := math.Max(peak(values), 1e-9)
	scale := func(v float64) float64 { return v / high }
	return []line{{Class: "area " + class, Path: area(values, scale)}, {Class: class, Path: path(values, scale)}}
}

// number writes a coordinate.
func number(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// y leaves room for the width of the line at both edges.
func y(part float64) string { return number(graphHeight - 1 - part*(graphHeight-2)) }

// path draws a line through the values that there are. A value on its own is a
// short dash, or it would not be seen.
func path(values []float64, scale func(float64) float64) string {
	return draw(values, scale, func(int) string { return "" })
}

// area is path, closed to the ground.
func area(values []float64, scale func(float64) float64) string {
	return draw(values, scale, func(start int) string { return fmt.Sprintf("V%dH%dZ", graphHeight, start) })
}

// draw draws each run of values, and what end gives for its first index.
func draw(values []float64, scale func(float64) float64, end func(start int) string) string {
	var b strings.Builder
	start := -1
	heights := make([]string, len(values))
	for i, v := range values {
		if !math.IsNaN(v) {
			heights[i] = y(scale(v))
		}
	}
	for i, h := range heights {
		over := i+1 == len(heights) || heights[i+1] == ""
		switch {
		case h == "":
			continue
		case start < 0:
			start = i
			fmt.Fprintf(&b, "M%d %sh1", i, h)
		case over || h != heights[i-1] || h != heights[i+1]: // The middle of a level needs no point.
			fmt.Fprintf(&b, "L%d %s", i+1, h)
		}
		if over {
			b.WriteString(end(start))
			start = -1
		}
	}
	return b.String()
}

// bars draws a bar for each value above 0.
func bars(values []float64) string {
	high := peak(values)
	var b strings.Builder
	for i, v := range values {
		if v > 0 {
			// One failure among many is to be seen too.
			top := graphHeight - math.Max(v/high*(graphHeight-1), 3)
			fmt.Fprintf(&b, "M%d %dV%sh1V%dZ", i, graphHeight, number(top), graphHeight)
		}
	}
	return b.String()
}

func last(values []float64) float64 { return values[len(values)-1] }

func peak(values []float64) float64 {
	high := 0.0
	for _, v := range values {
		if v > high { // Never true of NaN.
			high = v
		}
	}
	return high
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

func formatRate(v float64) string {
	if v == 0 {
		return "0/s"
	}
	return digits(v) + "/s"
}
