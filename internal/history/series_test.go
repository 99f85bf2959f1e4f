package history

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestQuantile compares with the exact values.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.SliceOfN(rapid.Int64Range(0, 600_000_000), 1, 200).Draw(t, "durations")
		var h histogram
		for _, us := range micros {
			h[bucketOf(time.Duration(us)*time.Microsecond)]++
		}
		slices.Sort(micros)
		for _, q := range []float64{0.5, 0.99, 1} {
			exact := float64(micros[max(0, int(math.Ceil(q*float64(len(micros))))-1)])
			got := h.quantile(q) * 1e6
			if got < exact*0.79-1 || got > exact*1.26+1 {
				t.Fatalf("quantile(%v) = %v µs, want about %v", q, got, exact)
			}
		}
	})
}

func TestBuckets(t *testing.T) {
	if got := bucketOf(-time.Second); got != 0 {
		t.Errorf("bucketOf(-1s) = %d, want 0", got)
	}
	if got, want := bucketOf(1<<62), len(histogram{})-1; got != want {
		t.Errorf("bucketOf(1<<62) = %d, want %d", got, want)
	}
	for i := range len(histogram{}) {
		if got := bucketOf(time.Duration(lower(i)) * time.Microsecond); got != i {
			t.Errorf("bucketOf(lower(%d)) = %d", i, got)
		}
		if i > 4 && lower(i)/lower(i-1) > 1.2501 {
			t.Errorf("bucket %d begins at %v, %d at %v: too wide", i-1, lower(i-1), i, lower(i))
		}
	}
	if got := new(histogram).quantile(0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing = %v, want NaN", got)
	}
}

func TestGraphs(t *testing.T) {
	c := newClock()
	lag := Lag{Records: 42, Age: 3 * time.Second}
	h := New(Options{Now: c.time, Lag: func() Lag { return lag }})
	add := func(n int, name string, bad bool) {
		rec := record(1, input(t, 0))
		for range n {
			if bad {
				h.Add(rec, failed(t, rec, name), nil)
			} else {
				h.Add(rec, succeeded(t, rec, name), nil)
			}
		}
		h.sampleLag()
	}
	add(1000, "old", false)
	c.now = c.now.Add(16 * time.Minute)
	add(10, "a", false)
	c.now = c.now.Add(Interval)
	add(5, "b", true)
	if g := h.Graphs(""); last(g.Rate) != 2 || g.Total.Executions != 10 {
		t.Errorf("while an interval runs: rate %v, total %+v; want what was before it alone", last(g.Rate), g.Total)
	}
	c.now = c.now.Add(Interval)

	g := h.Graphs("")
	type tail struct{ Rate, Failures, P50, Lag []float64 }
	got := tail{g.Rate[Points-3:], g.Failures[Points-3:], g.P50[Points-2:], g.Lag[Points-3:]}
	want := tail{[]float64{0, 2, 1}, []float64{0, 0, 5}, []float64{0.002, 0.001}, []float64{math.NaN(), 42, 42}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool {
		return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 0.2*b
	})); diff != "" {
		t.Errorf("graphs end otherwise (-want +got):\n%s", diff)
	}
	if g.Total.Executions != 15 || g.Total.Failures != 5 || last(g.Age) != 3 {
		t.Errorf("total %+v, age %v; want 15 executions, 5 failures, 3 s", g.Total, last(g.Age))
	}
	if g := h.Graphs("a"); last(g.Rate) != 0 || g.Total.Executions != 10 {
		t.Errorf("graphs of a: rate %v, total %+v; want 0 and 10", last(g.Rate), g.Total)
	}
	if g := h.Graphs("nobody"); g.Total.Executions != 0 || !math.IsNaN(g.Total.P50) {
		t.Errorf("graphs of a plan that never ran: total %+v, want none", g.Total)
	}
	totals := h.Totals()
	if len(totals) != 2 || totals["a"].Executions != 10 || totals["b"].Failures != 5 {
		t.Errorf("totals = %v, want a and b and no more of what is too old", totals)
	}
	if len(h.plans) != 2 {
		t.Errorf("graphs of %d plans are held, want 2", len(h.plans))
	}
	// Nothing is held of what no graph shows any more.
	for range 1000 {
		c.now = c.now.Add(Interval)
		add(1, "a", false)
	}
	if n := len(h.total.intervals); n > Points+1 {
		t.Errorf("%d intervals are held, want %d at most", n, Points+1)
	}
}

// TestManyPlans bounds what names of plans can take.
func TestManyPlans(t *testing.T) {
	h := New(Options{Now: newClock().time})
	for i := range maxPlans + 100 {
		rec := record(1, nil)
		out := failed(t, record(1, input(t, 0)), string(rune('a'+i%26))+time.Duration(i).String())
		h.Add(rec, out, nil)
	}
	if len(h.plans) != maxPlans {
		t.Errorf("%d plans have graphs, want %d", len(h.plans), maxPlans)
	}
}

func TestExcerpt(t *testing.T) {
	files := map[string]string{
		"plan.star":    "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
		"lib/odd.star": "\tx = \xff(\r\n" + string(make([]byte, 0)),
		"long.star":    "a = \"" + string(slices.Repeat([]byte("x"), 1000)) + "\"",
		"empty.star":   "",
	}
	for _, test := range []struct {
		position string
		want     *Excerpt
	}{
		{"plan.star:2:1", &Excerpt{"plan.star", []Line{{1, "1", false, ""}, {2, "2", true, ""}, {3, "3", false, ""}, {4, "4", false, ""}, {5, "5", false, ""}, {6, "6", false, ""}}, 2, 1}},
		{"plan.star:12", &Excerpt{"plan.star", []Line{{8, "8", false, ""}, {9, "9", false, ""}, {10, "10", false, ""}, {11, "11", false, ""}, {12, "12", true, ""}}, 12, 0}},
		{"lib/odd.star:1:7", &Excerpt{"lib/odd.star", []Line{{1, "\tx = \uFFFD(", true, "\tx = \uFFFD"}}, 1, 7}},
		{"lib/odd.star:1:99", &Excerpt{"lib/odd.star", []Line{{1, "\tx = \uFFFD(", true, "\tx = \uFFFD("}}, 1, 99}},
		{"plan.star:13:1", nil},
		{"plan.star:0:1", nil},
		{"plan.star", nil},
		{"other.star:1:1", nil},
		{"empty.star:1:1", nil},
		{"", nil},
	} {
		if diff := cmp.Diff(test.want, excerptAt(files, test.position)); diff != "" {
			t.Errorf("excerptAt(%q) differs (-want +got):\n%s", test.position, diff)
		}
	}
	x := excerptAt(files, "long.star:1:600")
	if got := len(x.Lines[0].Text); got > maxLine+10 {
		t.Errorf("of a line of 1000 characters %d bytes are kept, want about %d", got, maxLine)
	}
}

func last(values []float64) float64 { return values[len(values)-1] }
