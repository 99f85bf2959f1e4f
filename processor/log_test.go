package processor

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/carrier"
	"starplan/plan/execution"
)

// TestFaultsAreHeldBack: faults of Kafka that repeat are counted, and logged a few
// times; failed executions are logged each.
func TestFaultsAreHeldBack(t *testing.T) {
	var log bytes.Buffer
	p, err := New(Options{
		Brokers: []string{"127.0.0.1:1"}, Tenant: tenant, Group: group, Serving: ServingAll, Runner: new(fakeRunner),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	client := carrier.KafkaLogger(p.faults)
	for range 20 {
		p.kafkaError("fetch", "fetch failed", errors.New("connection refused"))
		p.kafkaError("commit", "commit failed", errors.New("connection refused"))
		client.Log(kgo.LogLevelWarn, "unable to dial")
		p.logFailure(&kgo.Record{Topic: inputs}, execution.Outcome{Plan: "route", Reason: execution.ReasonPlan})
	}
	p.faultLimit.Close()
	for text, want := range map[string]int{
		"op=fetch": 4, "op=commit": 4, `text="unable to dial"`: 4, "repeated=17": 3, `msg="execution failed"`: 20,
	} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%d lines with %s, want %d:\n%s", got, text, want, log.String())
		}
	}
	if got := testutil.ToFloat64(p.metrics.kafkaErrors.WithLabelValues("fetch")); got != 20 {
		t.Errorf("errors counted = %v, want 20", got)
	}
}
