package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"starplan/plan/execution"
)

// Options configure a [Catalog].
type Options struct {
	// Path is a plan's file, or a directory of plans as [Find] reads it. Required.
	Path string
	// Names lists the plans to serve. For a file it holds exactly one, which is the
	// plan's name. For a directory it may be empty: then the whole tenant is served.
	Names []string
	// Graph, where set, leaves keys of other graphs to other processes. A key that
	// names no graph is accepted.
	Graph string
	// Tenant is header.tenant_id of all executions. Required, valid UTF-8.
	Tenant string
	// Strict makes Open fail where a plan does not load.
	Strict bool
	// Limits are shown in metrics; the engine enforces its own.
	Limits Limits
	// Engine runs the plans. Required.
	Engine Engine
	// Logger is told of loads, reloads and failures, and at debug level of what
	// plans print. Nil discards.
	Logger *slog.Logger
	// Registerer takes the metrics. Nil registers none.
	Registerer prometheus.Registerer
}

// Catalog serves plans by record key. It is what a processor runs records
// through. It is safe for concurrent use.
//
// What is served is one immutable table behind an atomic pointer. A reload builds
// the next table aside and swaps it in, so a record sees the old plans or the new
// ones and never a mixture, and one that has begun keeps the source that it began
// with.
type Catalog struct {
	opts    Options
	log     *slog.Logger
	table   atomic.Pointer[table]
	reload  sync.Mutex // Serializes reloads.
	metrics *metrics
	again   *rescanner
}

// Open reads the plans and loads them. It fails where the path cannot be read,
// where a listed plan is absent, where two plans have one name, and in strict
// mode where a plan does not load. ctx bounds the opening only. The catalog must
// be closed.
func Open(ctx context.Context, opts Options) (*Catalog, error) {
	switch {
	case opts.Path == "":
		return nil, errors.New("open catalog: no path given")
	case opts.Engine == nil:
		return nil, errors.New("open catalog: no engine given")
	case opts.Tenant == "":
		return nil, errors.New("open catalog: no tenant given")
	}
	opts.Limits = opts.Limits.withDefaults()
	opts.Names = slices.Clone(opts.Names)
	c := &Catalog{opts: opts, log: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler))}
	c.table.Store(new(table))
	c.again = newRescanner(c.rescan)
	report, err := c.load(ctx, retryFailed)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if err := report.Err(); err != nil && opts.Strict {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	c.metrics, err = newMetrics(c, opts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return c, nil
}

// Close ends what the catalog does in the background and withdraws its metrics.
// Records that still wait for a plan to appear are abandoned: close the catalog
// after the contexts of all records have ended. Close may be called twice.
func (c *Catalog) Close() {
	c.again.close()
	c.metrics.close()
}

// Accept decides by a record's key alone whether the record is answered here.
func (c *Catalog) Accept(key []byte) execution.Skip {
	k, ok := execution.ParseKey(key)
	switch {
	case !ok:
		return execution.SkipNoKey
	case c.opts.Graph != "" && k.Graph != "" && k.Graph != c.opts.Graph:
		return execution.SkipForeign
	case len(c.opts.Names) > 0 && !slices.Contains(c.opts.Names, k.Plan):
		return execution.SkipForeign
	default:
		return ""
	}
}

// Start runs the plan that rec's key names and calls done once, from any
// goroutine, with the answer. It does not block for the run. When ctx ends first,
// done may never be called.
//
// Where no such plan is loaded the plans are read once more, at most once a
// second, before the record is answered as FAILED. Records of other plans flow
// meanwhile.
func (c *Catalog) Start(ctx context.Context, rec execution.Record, done func(execution.Outcome)) {
	key, ok := execution.ParseKey(rec.Key)
	if !ok {
		done(execution.Fail(c.opts.Tenant, rec, execution.ReasonUnknownPlan, "The record's key names no plan"))
		return
	}
	if s := c.lookup(key); s != nil {
		c.run(ctx, s, rec, done)
		return
	}
	c.again.add(func() {
		switch s := c.lookup(key); {
		case ctx.Err() != nil:
		case s != nil:
			c.run(ctx, s, rec, done)
		default:
			done(execution.Fail(c.opts.Tenant, rec, execution.ReasonUnknownPlan, c.unknown(key)))
		}
	})
}

// run answers a record with a plan of the table.
func (c *Catalog) run(ctx context.Context, s *served, rec execution.Record, done func(execution.Outcome)) {
	if s.src == nil {
		done(LoadFailure(c.opts.Tenant, rec, s.err))
		return
	}
	c.opts.Engine.Start(ctx, s.src, rec, func(out execution.Outcome) {
		c.logPrints(ctx, out)
		done(out)
	})
}

func (c *Catalog) logPrints(ctx context.Context, out execution.Outcome) {
	if len(out.Prints) == 0 || !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for _, line := range out.Prints {
		c.log.DebugContext(ctx, "print", "plan", out.Plan, "exec_id", out.ExecID, "text", line)
	}
}

// Fail answers rec as FAILED for a reason found outside of the plan. The outcome
// names the plan where one is loaded.
func (c *Catalog) Fail(rec execution.Record, reason execution.Reason, message string) execution.Outcome {
	out := execution.Fail(c.opts.Tenant, rec, reason, message)
	if key, ok := execution.ParseKey(rec.Key); ok {
		if s := c.lookup(key); s != nil && s.src != nil {
			out.Plan, out.Digest = s.src.Label(), s.src.Digest
		}
	}
	return out
}

// unknown is the message for a key that names no plan.
func (c *Catalog) unknown(key execution.Key) string {
	t := c.table.Load()
	loaded := make([]string, 0, len(t.plans))
	for _, s := range t.plans {
		if s.src != nil {
			loaded = append(loaded, s.label())
		}
	}
	name := execution.Cut(key.String(), execution.MaxName)
	return fmt.Sprintf("No plan %q is loaded; loaded plans: %s", name, list(loaded))
}

// lookup finds what serves a key: a plan of its graph, or else one of any graph.
// A key that names no graph belongs to Options.Graph.
func (c *Catalog) lookup(key execution.Key) *served {
	t := c.table.Load()
	graph := cmp.Or(key.Graph, c.opts.Graph)
	if s := t.find(graph, key.Plan); s != nil || graph == "" {
		return s
	}
	return t.find("", key.Plan)
}

// State is how a plan stands.
type State string

// The states of a plan.
const (
	// StateServing is a plan that is served as it lies on disk.
	StateServing State = "serving"
	// StateLastGood is a plan whose newest version does not load, so that the one
	// before it is served.
	StateLastGood State = "serving last good version"
	// StateFailed is a plan that no version of could be loaded. Its records are
	// answered as FAILED.
	StateFailed State = "failed"
)

// Status is how one plan stands, for health, pages and people.
type Status struct {
	Name  string `json:"name"`
	Graph string `json:"graph,omitempty"`
	// Path is the plan's entry on disk.
	Path  string `json:"path"`
	State State  `json:"state"`
	// Digest is of the version that is served; empty where none is.
	Digest string `json:"digest,omitempty"`
	// LoadedAt is when that version began to be served.
	LoadedAt time.Time `json:"loaded_at,omitzero"`
	// LastError is why the newest version is not served; empty where it is.
	LastError string `json:"last_error,omitempty"`
}

// Plans lists all plans of the catalog, sorted by label, those that failed
// included.
func (c *Catalog) Plans() []Status {
	t := c.table.Load()
	statuses := make([]Status, 0, len(t.plans))
	for _, s := range t.plans {
		statuses = append(statuses, s.status())
	}
	return statuses
}

// table is what a catalog serves at one time. It is never changed.
type table struct {
	plans []*served // Sorted by label.
	byKey map[execution.Key]*served
	// unread: the plans could not be read when that was last tried, and these are those
	// of before.
	unread bool
}

func newTable(plans []*served) *table {
	t := &table{plans: plans, byKey: make(map[execution.Key]*served, len(plans))}
	for _, s := range plans {
		t.byKey[execution.Key{Graph: s.loc.Graph, Plan: s.loc.Name}] = s
	}
	return t
}

func (t *table) find(graph, name string) *served {
	return t.byKey[execution.Key{Graph: graph, Plan: name}]
}

// served is one plan of a table. It is never changed.
type served struct {
	loc Location
	// src is the version that is served; nil where none has loaded.
	src      *Source
	loadedAt time.Time
	// checkedAt is when disk and src were last seen to agree.
	checkedAt time.Time
	// err is why the newest version is not served; nil where src is the newest.
	err error
	// rejected is the digest of that version; empty where it could not be read.
	rejected string
	// texts are its modules, as far as they could be read.
	texts map[string]string
}

func (s *served) label() string { return s.loc.Label() }

func (s *served) status() Status {
	st := Status{
		Name: s.loc.Name, Graph: s.loc.Graph, Path: s.loc.Path,
		State: StateServing, LoadedAt: s.loadedAt,
	}
	if s.src != nil {
		st.Digest = s.src.Digest
	}
	if s.err != nil {
		st.LastError = s.err.Error()
		st.State = StateLastGood
		if s.src == nil {
			st.State = StateFailed
		}
	}
	return st
}
