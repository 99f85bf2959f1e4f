package metricset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"starplan/internal/config"
	"starplan/internal/devbroker"
	"starplan/internal/service"
	"starplan/plan"
	"starplan/processor"
	"starplan/proto/planpb"
)

// samplePlan is what the service of Live serves.
const samplePlan = `def plan(plan_input):
    return PlanResult(next_task_names = ["next"])
`

// Live runs a service on an embedded broker until it has answered a record, and
// gives the set of its metrics, those of the Go runtime and the process included,
// and the scrape itself. It takes about a second.
//
// The service starts the running program again as its workers: the program must
// call worker.Divert first of all.
func Live(ctx context.Context) (Set, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "starplan-metrics-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // A leftover in the temporary directory harms nobody.
	if err := os.WriteFile(filepath.Join(dir, "route.star"), []byte(samplePlan), 0o600); err != nil {
		return nil, nil, err
	}
	broker, err := devbroker.Start(devbroker.Options{Tenant: "acme", Topics: []string{"dlq-plan-inputs-acme"}, Partitions: 2})
	if err != nil {
		return nil, nil, err
	}
	defer broker.Close()

	running, stop := context.WithCancel(ctx)
	defer stop()
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(running, service.Options{
			Config: config.Config{
				TenantID: "acme", PlanPath: dir, GroupID: "executors-acme", Brokers: []string{broker.Addr()},
				HTTPAddr: "127.0.0.1:0", DeadLetterTopic: "dlq-plan-inputs-acme",
				Execution: config.Execution{Limits: plan.Limits{Timeout: 10 * time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
			},
			Listening: func(a string) { addr <- a },
			Logger:    slog.New(slog.DiscardHandler),
		})
	}()
	var set Set
	var text []byte
	select {
	case err := <-ended:
		return nil, nil, err
	case a := <-addr:
		if err = send(ctx, broker.Addr()); err == nil {
			set, text, err = await(ctx, "http://"+a+"/metrics")
		}
	}
	stop()
	return set, text, errors.Join(err, <-ended)
}

// send puts an input on the topic.
func send(ctx context.Context, broker string) error {
	value, err := proto.Marshal(&planpb.PlanInput{InputId: "i", PlanName: "route"})
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(ctx, &kgo.Record{Topic: processor.InputTopic("acme"), Key: []byte("route"), Value: value}).FirstErr()
}

// await scrapes until the record was answered.
func await(ctx context.Context, url string) (Set, []byte, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := Scrape(ctx, url)
		if err != nil {
			return nil, nil, err
		}
		if bytes.Contains(text, []byte("starplan_end_to_end_delay_seconds_count 1")) {
			set, err := Parse(bytes.NewReader(text))
			return set, text, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("metricset: the record was not answered: %w", ctx.Err())
		}
	}
}

// Scrape gets the metrics as text.
func Scrape(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // It was read to its end.
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("scrape: status %d: %s", res.StatusCode, text)
	}
	return text, err
}
