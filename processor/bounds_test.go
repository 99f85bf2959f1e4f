package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestLagOfABlockedPartition: what arrives while a partition is not fetched counts.
func TestLagOfABlockedPartition(t *testing.T) {
	c := cluster(t, 1)
	cl := client(t, c)
	g := newGate("slow")
	o := options(t, c, &fakeRunner{run: g.run})
	o.MaxAheadRecords = 10
	o.ClientOptions = []kgo.Opt{kgo.FetchMaxPartitionBytes(512)}
	o.lookPause = 20 * time.Millisecond
	p := start(t, o)
	fill := func(n int) {
		records := make([]*kgo.Record, n)
		for i := range records {
			records[i] = input("slow", fmt.Sprintf("%100d", i))
		}
		send(t, cl, records...)
	}
	fill(100)
	eventually(t, "a blocked partition", func() bool { return p.core.stats(time.Now()).blocked[blockRecords] == 1 })
	fill(900)
	eventually(t, "lag of 1000", func() bool { return p.Lag().Records == 1000 })
	close(g.open)
	eventually(t, "no lag", func() bool { return p.Lag().Records == 0 })
}
