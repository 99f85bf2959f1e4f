package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"starplan/internal/config"
	"starplan/internal/topicrange"
	"starplan/plan/execution"
	"starplan/processor"
)

// job is one record to be run.
type job struct {
	label string // Where it came from, for people.
	rec   execution.Record
}

// jobs gives jobs to yield, one after the other, until that returns false or there
// are no more; an error comes last. The remark is for people, after all were run; it
// may be empty.
type jobs func(ctx context.Context, yield func(job, error) bool) (remark string)

// atMost gives the first n.
func (js jobs) atMost(n int) jobs {
	return func(ctx context.Context, yield func(job, error) bool) string {
		left := n
		return js(ctx, func(j job, err error) bool {
			left--
			return yield(j, err) && left > 0
		})
	}
}

// feed reads jobs while others are run.
type feed struct {
	ahead  []fed // That lookAhead has taken.
	rest   <-chan fed
	remark string // Of the jobs; to be read when next has come to the end.
}

// fed is a job, or the error that ends the feed.
type fed struct {
	job
	err error
}

// startFeed begins to read. What reads ends with ctx, at the latest when it has read
// what it is at: a terminal may keep it waiting.
func startFeed(ctx context.Context, js jobs) *feed {
	rest := make(chan fed)
	f := &feed{rest: rest}
	go func() {
		defer close(rest)
		f.remark = js(ctx, func(j job, err error) bool {
			select {
			case rest <- fed{j, err}:
				return err == nil
			case <-ctx.Done():
				return false
			}
		})
	}()
	return f
}

// lookAhead waits for the first jobs, which show whether there are many. The error
// is one of reading the first.
func (f *feed) lookAhead(ctx context.Context) error {
	for range 2 {
		next, ok, err := f.take(ctx)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if next.err != nil && len(f.ahead) == 0 {
			return next.err
		}
		f.ahead = append(f.ahead, next)
	}
	return nil
}

// many reports whether there is more than one job.
func (f *feed) many() bool { return len(f.ahead) > 1 }

// next gives the next job, false at the end. The error is ctx's.
func (f *feed) next(ctx context.Context) (fed, bool, error) {
	if len(f.ahead) > 0 {
		first := f.ahead[0]
		f.ahead = f.ahead[1:]
		return first, true, nil
	}
	return f.take(ctx)
}

func (f *feed) take(ctx context.Context) (fed, bool, error) {
	select {
	case next, ok := <-f.rest:
		return next, ok, nil
	case <-ctx.Done():
		return fed{}, false, ctx.Err()
	}
}

// fileJobs makes records of the inputs of files.
func (c *execCmd) fileJobs(p Process) (jobs, error) {
	at := time.Unix(0, 0).UTC()
	if c.Timestamp != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, c.Timestamp); err != nil {
			return nil, usagef("--timestamp: want an RFC 3339 time such as 2026-01-02T03:04:05Z, got %q", c.Timestamp)
		}
	}
	paths := c.Inputs
	if len(paths) == 0 {
		paths = []string{"-"}
		if isTerminal(p.Stdin) {
			fmt.Fprintln(p.Stderr, "reading a PlanInput from the terminal; end it with Ctrl-D")
		}
	}
	next := execution.Record{Topic: c.Topic, Timestamp: at, Key: []byte(c.Key)}
	if next.Topic == "" {
		next.Topic = processor.InputTopic(c.Tenant)
	}
	if c.Key == "" {
		next.Key = []byte(c.name())
	}
	if c.Partition != nil {
		next.Partition = *c.Partition
	}
	if c.Offset != nil {
		next.Offset = *c.Offset
	}
	return func(_ context.Context, yield func(job, error) bool) string {
		for in, err := range eachInput(paths, p.Stdin) {
			next.Value = in.value
			if !yield(job{in.label, next}, err) || err != nil {
				break
			}
			next.Offset++
		}
		return ""
	}, nil
}

// topicJobs makes jobs of the plan's records in a range of a topic, partition by
// partition.
func (c *execCmd) topicJobs(ctx context.Context) (jobs, error) {
	client, err := c.Broker.client(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, yield func(job, error) bool) string {
		remark, err := c.eachRecord(ctx, client, yield)
		if err != nil && ctx.Err() == nil {
			yield(job{}, err)
		}
		return remark
	}, nil
}

// topicName is the topic that --from-topic means.
func (c *execCmd) topicName() string {
	switch c.FromTopic {
	case "inputs":
		return processor.InputTopic(c.Tenant)
	case "dead-letters":
		return config.DeadLetterTopic(c.Tenant)
	}
	return c.FromTopic
}

// findRange finds out what to read.
func (c *execCmd) findRange(ctx context.Context, opts []kgo.Opt) (topicrange.Range, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return topicrange.Range{}, err
	}
	defer client.Close()
	from, to := topicrange.Bound(c.From), topicrange.Bound(c.To)
	if from == "" {
		from = "oldest"
	}
	if to == "" {
		to = "latest"
	}
	r, err := topicrange.Find(ctx, kadm.NewClient(client), c.topicName(), from, to)
	if err != nil || c.Partition == nil {
		return r, err
	}
	only := r.Only(*c.Partition)
	if len(only.From) == 0 {
		return r, fmt.Errorf("--partition: want one of the %d of %s, got %d", len(r.From), r.Topic, *c.Partition)
	}
	return only, nil
}

// eachRecord reads the topic and remarks how many records it left out, unless it was
// stopped.
func (c *execCmd) eachRecord(ctx context.Context, opts []kgo.Opt, yield func(job, error) bool) (remark string, err error) {
	r, err := c.findRange(ctx, opts)
	if err != nil {
		return "", err
	}
	reader, err := topicrange.Open(opts, r, false)
	if err != nil {
		return "", err
	}
	defer reader.Close()
	others, empty := 0, 0
	for {
		records, err := reader.Next(ctx)
		if err != nil {
			return "", err
		}
		if len(records) == 0 {
			break
		}
		for _, kr := range records {
			if k, ok := execution.ParseKey(kr.Key); !ok || k.Plan != c.name() || c.GraphID != "" && k.Graph != "" && k.Graph != c.GraphID {
				others++
				continue
			}
			if len(kr.Value) == 0 {
				empty++
				continue
			}
			j, err := recordJob(kr)
			if !yield(j, err) || err != nil {
				return "", nil
			}
		}
	}
	if others+empty > 0 {
		remark = fmt.Sprintf("%s: left out %s of other plans or graphs, and %d without a value", r.Topic, count(others, "record"), empty)
	}
	return remark, nil
}

// recordJob is the record that a service would run, or has run: a dead letter stands
// for the one that it was made of.
func recordJob(kr *kgo.Record) (job, error) {
	j := job{
		label: fmt.Sprintf("%s/%d/%d", kr.Topic, kr.Partition, kr.Offset),
		rec: execution.Record{
			Topic: kr.Topic, Partition: kr.Partition, Offset: kr.Offset, Timestamp: kr.Timestamp, Key: kr.Key, Value: kr.Value,
		},
	}
	if strings.HasPrefix(kr.Topic, processor.InputTopic("")) {
		// Somebody may have put a letter back as it was: it is an input like any other.
		return j, nil
	}
	origin, err := originOf(kr)
	if err != nil {
		return job{}, fmt.Errorf("%s: %w", j.label, err)
	}
	if origin != nil {
		j.rec.Topic, j.rec.Partition, j.rec.Offset, j.rec.Timestamp = origin.Topic, origin.Partition, origin.Offset, origin.Timestamp
		j.label += fmt.Sprintf(" (%s/%d/%d)", j.rec.Topic, j.rec.Partition, j.rec.Offset)
	}
	return j, nil
}

// originOf reads the coordinates that the headers of a dead letter tell; nil for a
// record that is none. The record's own headers come before those of the letter, so
// the last of each name counts.
func originOf(kr *kgo.Record) (*execution.Record, error) {
	values := make(map[string]string)
	for _, h := range kr.Headers {
		values[h.Key] = string(h.Value)
	}
	topic, ok := values[processor.HeaderTopic]
	if !ok {
		return nil, nil
	}
	partition, perr := strconv.ParseInt(values[processor.HeaderPartition], 10, 32)
	offset, oerr := strconv.ParseInt(values[processor.HeaderOffset], 10, 64)
	at, terr := time.Parse(time.RFC3339Nano, values[processor.HeaderTimestamp])
	if err := errors.Join(perr, oerr, terr); err != nil {
		return nil, fmt.Errorf("headers of a dead letter: want numbers in %s and %s and an RFC 3339 time in %s: %w",
			processor.HeaderPartition, processor.HeaderOffset, processor.HeaderTimestamp, err)
	}
	return &execution.Record{Topic: topic, Partition: int32(partition), Offset: offset, Timestamp: at.UTC()}, nil
}
