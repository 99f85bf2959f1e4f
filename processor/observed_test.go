package processor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/plan/execution"
)

// TestLag: it is told in records and in seconds, while answers are waited for.
func TestLag(t *testing.T) {
	c := cluster(t, 1)
	release := make(chan struct{})
	r := &fakeRunner{run: func(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
		go func() {
			select {
			case <-release:
				done(answerTo(rec))
			case <-ctx.Done():
			}
		}()
	}}
	o := options(t, c, r)
	reg := o.Registerer.(*prometheus.Registry)
	start(t, o)
	old := input("plan", "1")
	old.Timestamp = time.Now().Add(-time.Minute)
	send(t, client(t, c), old, input("plan", "2"), input("other", "3"))
	records := `starplan_consumer_lag_records{partition="0",topic="` + inputs + `"}`
	eventually(t, "lag", func() bool { return metric(t, reg, records) == 3 })
	if got := metric(t, reg, `starplan_consumer_lag_seconds{}`); got < 60 || got > 120 {
		t.Errorf("lag = %v s, want the age of the oldest record, a minute", got)
	}
	if got := metric(t, reg, `starplan_last_record_processed_timestamp_seconds{}`); got != 0 {
		t.Errorf("the last record was processed at %v, want 0 for never", got)
	}
	close(release)
	eventually(t, "no lag", func() bool {
		return metric(t, reg, records) == 0 && metric(t, reg, `starplan_consumer_lag_seconds{}`) == 0
	})
	if got := metric(t, reg, `starplan_last_record_processed_timestamp_seconds{}`); time.Since(time.UnixMilli(int64(got*1000))) > time.Minute {
		t.Errorf("the last record was processed at %v, want just now", got)
	}
}

// TestLagOfOwned: only the owner of a partition tells of its lag. What is revoked has
// no series any more, whatever its value was.
func TestLagOfOwned(t *testing.T) {
	const partitions = 4
	c := cluster(t, partitions)
	var regs []*prometheus.Registry
	member := func() *running {
		o := options(t, c, new(fakeRunner))
		regs = append(regs, o.Registerer.(*prometheus.Registry))
		return start(t, o)
	}
	owned := func(reg *prometheus.Registry) (owned []int) {
		for p := range partitions {
			if metric(t, reg, fmt.Sprintf(`starplan_consumer_lag_records{partition="%d",topic="%s"}`, p, inputs)) >= 0 {
				owned = append(owned, p)
			}
		}
		return owned
	}
	member()
	cl := client(t, c)
	for i := range 20 {
		send(t, cl, input(fmt.Sprint("plan", i), "x"))
	}
	eventually(t, "all partitions at the first member", func() bool { return len(owned(regs[0])) == partitions })
	second := member()
	eventually(t, "partitions at both", func() bool {
		a, b := owned(regs[0]), owned(regs[1])
		if len(a) != partitions/2 || len(b) != partitions/2 {
			return false
		}
		for _, p := range a {
			for _, q := range b {
				if p == q {
					return false
				}
			}
		}
		return true
	})
	second.stop()
	eventually(t, "all partitions at the first member again", func() bool {
		return len(owned(regs[0])) == partitions && len(owned(regs[1])) == 0
	})
}

// TestOutcomesInTheLog: a failure is one line with all that leads to it, a success
// none unless one asks for it.
func TestOutcomesInTheLog(t *testing.T) {
	rec := &kgo.Record{Topic: inputs, Partition: 3, Offset: 42}
	failure := execution.Outcome{
		Plan: "route", ExecID: "e1", Reason: execution.ReasonPlan, Position: "route.star:2:9", Message: "no such order", Warnings: []execution.Warning{execution.WarnNameMismatch},
	}
	success := execution.Outcome{Plan: "route", ExecID: "e2", Steps: 20, Duration: time.Millisecond, Warnings: []execution.Warning{execution.WarnNameMismatch, execution.WarnBlankGraph}}
	where := map[string]any{"topic": inputs, "partition": 3.0, "offset": 42.0, "plan": "route"}
	line := func(level, msg, id string, more map[string]any) map[string]any {
		m := map[string]any{"level": level, "msg": msg, "exec_id": id}
		for _, part := range []map[string]any{where, more} {
			for k, v := range part {
				m[k] = v
			}
		}
		return m
	}
	failed := line("WARN", "execution failed", "e1", map[string]any{"reason": "plan", "position": "route.star:2:9", "message": "no such order"})
	mismatch := line("WARN", "execution has a flaw", "e2", map[string]any{"flaw": string(execution.WarnNameMismatch)})
	for _, test := range []struct {
		name  string
		level slog.Level
		out   execution.Outcome
		want  []map[string]any
	}{
		{"a failure", slog.LevelInfo, failure, []map[string]any{failed}},
		{"a success", slog.LevelInfo, success, []map[string]any{mismatch}},
		{"a success, asked for", slog.LevelDebug, success, []map[string]any{
			line("DEBUG", "execution succeeded", "e2", map[string]any{"steps": 20.0, "duration": 1e6}), mismatch,
			line("DEBUG", "execution has a flaw", "e2", map[string]any{"flaw": string(execution.WarnBlankGraph)}),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			p, err := New(Options{
				Brokers: []string{"127.0.0.1:1"}, Tenant: tenant, Group: group, Serving: ServingAll, Runner: new(fakeRunner),
				Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: test.level})),
			})
			if err != nil {
				t.Fatal(err)
			}
			p.logOutcome(rec, test.out)
			var got []map[string]any
			for dec := json.NewDecoder(&log); dec.More(); {
				var m map[string]any
				if err := dec.Decode(&m); err != nil {
					t.Fatal(err)
				}
				delete(m, "time")
				got = append(got, m)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}
