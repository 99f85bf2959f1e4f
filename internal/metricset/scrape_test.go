package metricset_test

import (
	"bytes"
	"testing"
	"time"

	"starplan/internal/metricset"
)

// What a scrape of many plans and partitions may cost. A machine may be busy with
// other tests, and slow for the race detector: the bound of time is generous, and
// the best of several counts. BenchmarkScrape tells the time itself, and holds the
// bound as it is.
const (
	plans       = 100
	partitions  = 300
	scrapeBytes = 1 << 20
	scrapeTime  = 50 * time.Millisecond
	generosity  = 20
)

func many(tb testing.TB) *metricset.Service {
	tb.Helper()
	s, err := metricset.Start(tb.Context(), plans, partitions)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestScrapeOfMany(t *testing.T) {
	s := many(t)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	best := time.Hour
	size := 0
	var text []byte
	for range 5 {
		begin := time.Now()
		var err error
		if text, err = metricset.Scrape(t.Context(), s.URL); err != nil {
			t.Fatal(err)
		}
		best, size = min(best, time.Since(begin)), len(text)
	}
	set, err := metricset.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"starplan_execution_steps": plans, "starplan_plan_info": plans, "starplan_consumer_lag_records": partitions} {
		if m, _ := set.Find(name); m.Series < want {
			t.Fatalf("%s has %d series, want %d", name, m.Series, want)
		}
	}
	t.Logf("%d bytes in %v", size, best)
	if size > scrapeBytes {
		t.Errorf("a scrape has %d bytes, want %d at most", size, scrapeBytes)
	}
	if best > generosity*scrapeTime {
		t.Errorf("a scrape takes %v, want much less than %v", best, generosity*scrapeTime)
	}
}

func BenchmarkScrape(b *testing.B) {
	s := many(b)
	size, best := 0, time.Hour
	for b.Loop() {
		begin := time.Now()
		text, err := metricset.Scrape(b.Context(), s.URL)
		if err != nil {
			b.Fatal(err)
		}
		size, best = len(text), min(best, time.Since(begin))
	}
	if best > scrapeTime {
		b.Errorf("a scrape takes %v at best, want %v at most", best, scrapeTime)
	}
	b.ReportMetric(float64(size), "bytes")
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}
