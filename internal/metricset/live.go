package metricset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

const (
	tenant  = "acme"
	letters = "dlq-plan-inputs-acme"

	// samplePlan is what services here serve.
	samplePlan = `def plan(plan_input):
    return PlanResult(next_task_names = ["next"])
`
)

// Live runs a service until it has answered a record, and gives the set of its
// metrics, those of the Go runtime and the process included, and the scrape itself.
// See [Start] for what the program has to do.
func Live(ctx context.Context) (Set, []byte, error) {
	s, err := Start(ctx, 1, 2)
	if err != nil {
		return nil, nil, err
	}
	text, err := Scrape(ctx, s.URL)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, nil, err
	}
	set, err := Parse(bytes.NewReader(text))
	return set, text, err
}

// Service is a running service on an embedded broker.
type Service struct {
	// URL is where its metrics are.
	URL  string
	stop func() error
}

// Close ends the service and its broker.
func (s *Service) Close() error { return s.stop() }

// Start starts a service with that many plans on topics of that many partitions, and
// returns when each plan has answered a record. It takes about a second.
//
// The service starts the running program again as its workers: the program must
// call worker.Divert first of all.
func Start(ctx context.Context, plans, partitions int) (_ *Service, err error) {
	dir, err := os.MkdirTemp("", "starplan-metrics-")
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range plans {
		names = append(names, fmt.Sprintf("route-%d", i))
		if err := os.WriteFile(filepath.Join(dir, names[i]+".star"), []byte(samplePlan), 0o600); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	broker, err := devbroker.Start(devbroker.Options{Tenant: tenant, Topics: []string{letters}, Partitions: partitions})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(running, service.Options{
			Config: config.Config{
				TenantID: tenant, PlanPath: dir, GroupID: "executors-acme", Brokers: []string{broker.Addr()},
				HTTPAddr: "127.0.0.1:0", DeadLetterTopic: letters,
				Execution: config.Execution{Limits: plan.Limits{Timeout: 10 * time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
			},
			Listening: func(a string) { addr <- a },
		})
	}()
	s := &Service{stop: func() error {
		cancel()
		err := <-ended
		broker.Close()
		return errors.Join(err, os.RemoveAll(dir))
	}}
	select {
	case err = <-ended:
		ended <- nil
	case a := <-addr:
		s.URL = "http://" + a + "/metrics"
		if err = send(ctx, broker.Addr(), names); err == nil {
			err = s.await(ctx, plans)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// send puts an input for each plan on the topic.
func send(ctx context.Context, broker string, plans []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return err
	}
	defer client.Close()
	var records []*kgo.Record
	for _, name := range plans {
		value, err := proto.Marshal(&planpb.PlanInput{InputId: "i", PlanName: name, GraphId: "g", LifetimeId: "l"})
		if err != nil {
			return err
		}
		records = append(records, &kgo.Record{Topic: processor.InputTopic(tenant), Key: []byte(name), Value: value})
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// await scrapes until that many records were answered.
func (s *Service) await(ctx context.Context, answers int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := Scrape(ctx, s.URL)
		if err != nil {
			return err
		}
		if bytes.Contains(text, fmt.Appendf(nil, "starplan_end_to_end_delay_seconds_count %d\n", answers)) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("metricset: the records were not answered: %w", ctx.Err())
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
