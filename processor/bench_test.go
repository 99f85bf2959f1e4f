package processor

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

// BenchmarkThroughput answers records that are on the topic already, with a
// runner that does nothing. An operation is one record; the process's CPU time,
// that of the broker in it included, is given for each.
func BenchmarkThroughput(b *testing.B) {
	for _, d := range []Delivery{AtLeastOnce, ExactlyOnce} {
		b.Run(string(d), func(b *testing.B) { benchmarkThroughput(b, d) })
	}
}

func benchmarkThroughput(b *testing.B, d Delivery) {
	c := cluster(b, 8)
	cl := client(b, c, kgo.MaxBufferedRecords(100_000))
	value := strings.Repeat("v", 500)
	var sent []*kgo.Record
	for i := range b.N {
		sent = append(sent, input(fmt.Sprintf("plan-%d", i%50), value))
		if len(sent) == 10_000 {
			send(b, cl, sent...)
			sent = sent[:0]
		}
	}
	send(b, cl, sent...)
	o := optionsFor(b, c, d, &silentRunner{})
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	p := start(b, o)
	for {
		total := int64(0)
		for _, part := range p.core.live() {
			total += p.core.highWater(part)
		}
		s := p.core.stats(time.Now())
		lag := int64(0)
		for _, ps := range s.partitions {
			lag += ps.lag
		}
		if len(s.partitions) == 8 && total >= int64(b.N) && lag == 0 {
			break
		}
		<-time.After(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	p.stop()
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// silentRunner answers at once and keeps no accounts.
type silentRunner struct{ fakeRunner }

var fixedAnswer = execution.Outcome{Value: []byte(strings.Repeat("a", 300)), Plan: "plan"}

func (*silentRunner) Start(_ context.Context, _ execution.Record, done func(execution.Outcome)) {
	done(fixedAnswer)
}
