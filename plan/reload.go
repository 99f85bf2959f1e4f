package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Result is what a reload did with one plan.
type Result string

// The results of a reload.
const (
	// ResultLoaded is a new version that is served from now on.
	ResultLoaded Result = "loaded"
	// ResultUnchanged is a plan whose sources are what is served already.
	ResultUnchanged Result = "unchanged"
	// ResultKept is a new version that does not load; the last good one stays.
	ResultKept Result = "kept last good version"
	// ResultFailed is a plan that does not load and has no good version.
	ResultFailed Result = "failed"
	// ResultRemoved is a plan that is no longer there, and no longer served.
	ResultRemoved Result = "removed"
)

// Change is what a reload did with one plan.
type Change struct {
	// Plan is the plan's label: "name" or "graph:name".
	Plan   string `json:"plan"`
	Result Result `json:"result"`
	// Digest is of the version that is served from now on; empty where none is.
	Digest string `json:"digest,omitempty"`
	// Error is why the newest version is not served; often empty.
	Error string `json:"error,omitempty"`

	err error
}

// Report is what a reload did, by plan, sorted by label.
type Report []Change

// Err joins the errors of all plans whose newest version is not served; nil where
// there is none. A [*LoadError] in it can be found with errors.As.
func (r Report) Err() error {
	var errs []error
	for _, change := range r {
		if change.err != nil {
			errs = append(errs, fmt.Errorf("plan %q: %w", change.Plan, change.err))
		}
	}
	return errors.Join(errs...)
}

// Reload reads all plans again, loads those that changed, and then serves them
// all at once. A plan that does not load keeps its last good version; one that
// was removed stops being served; one that did not change costs nothing. Records
// in flight finish on the version that they began with.
//
// An error means that nothing at all was changed: the directory could not be
// read, a listed plan is absent, two plans have one name, or ctx ended. That a
// plan does not load is no such error: see [Report.Err]. Reloads are serialized.
func (c *Catalog) Reload(ctx context.Context) (Report, error) {
	report, err := c.load(ctx, retryFailed)
	c.metrics.reloaded(err == nil && report.Err() == nil)
	if err != nil {
		c.log.ErrorContext(ctx, "reload failed, nothing was changed", "error", err)
		return nil, fmt.Errorf("reload: %w", err)
	}
	return report, nil
}

// rescan is the reload for a plan that is asked for and not there.
func (c *Catalog) rescan(ctx context.Context) {
	report, err := c.load(ctx, skipRejected)
	c.metrics.reloaded(err == nil && report.Err() == nil)
	if err != nil && ctx.Err() == nil {
		c.log.ErrorContext(ctx, "reading the plans again failed, nothing was changed", "error", err)
	}
}

// retry says what to do with a version that was rejected before.
type retry bool

const (
	// retryFailed tries it again: somebody asked for it.
	retryFailed retry = true
	// skipRejected leaves it. Records for unknown plans could otherwise make the
	// engine run a hostile top level once a second.
	skipRejected retry = false
)

// load does all that can fail before it touches what is served.
func (c *Catalog) load(ctx context.Context, retry retry) (Report, error) {
	c.reload.Lock()
	defer c.reload.Unlock()
	old := c.table.Load()
	found, err := selectPlans(c.opts.Path, c.opts.Names, c.opts.Graph)
	if err != nil {
		c.markUnread(old, err)
		return nil, err
	}
	next := make([]*served, len(found))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, loc := range found {
		group.Go(func() error {
			next[i] = c.loadOne(ctx, loc, old.find(loc.Graph, loc.Name), retry)
			return nil
		})
	}
	_ = group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := newTable(next)
	report := compare(old, t)
	c.table.Store(t)
	c.logReport(ctx, report, func(change Change) bool {
		return retry == skipRejected && old.knows(change)
	})
	return report, nil
}

// markUnread notes with each plan that its newest version is not known. It is
// called with the reload mutex held.
func (c *Catalog) markUnread(old *table, err error) {
	next := make([]*served, len(old.plans))
	for i, s := range old.plans {
		marked := *s
		if marked.err == nil {
			marked.err = err
		}
		next[i] = &marked
	}
	t := newTable(next)
	t.unread = true
	c.table.Store(t)
}

// loadOne gives the next state of one plan. old is nil for a plan that is new.
func (c *Catalog) loadOne(ctx context.Context, loc Location, old *served, retry retry) *served {
	now := time.Now()
	next := &served{loc: loc}
	if old != nil {
		next.src, next.loadedAt, next.checkedAt = old.src, old.loadedAt, old.checkedAt
	}
	src, err := loc.Read()
	if err != nil {
		next.err = err
		if u, ok := errors.AsType[*unread](err); ok {
			next.texts = u.texts
		}
		return next
	}
	if old != nil && old.src != nil && old.src.Digest == src.Digest {
		next.checkedAt = now
		return next
	}
	if old != nil && retry == skipRejected && old.rejected == src.Digest {
		next.err, next.rejected, next.texts = old.err, old.rejected, old.texts
		return next
	}
	if err := c.opts.Engine.Load(ctx, src); err != nil {
		next.err, next.rejected, next.texts = err, src.Digest, src.Files
		return next
	}
	next.src, next.loadedAt, next.checkedAt = src, now, now
	return next
}

// compare tells two tables apart. Both are sorted by label.
func compare(old, next *table) Report {
	report := make(Report, 0, len(next.plans))
	for _, s := range next.plans {
		before := old.find(s.loc.Graph, s.loc.Name)
		change := Change{Plan: s.label(), Result: ResultLoaded, err: s.err}
		switch {
		case s.err != nil && s.src == nil:
			change.Result = ResultFailed
		case s.err != nil:
			change.Result = ResultKept
		case before != nil && before.src == s.src && before.err == nil:
			change.Result = ResultUnchanged
		}
		if s.src != nil {
			change.Digest = s.src.Digest
		}
		if s.err != nil {
			change.Error = s.err.Error()
		}
		report = append(report, change)
	}
	for _, s := range old.plans {
		if next.find(s.loc.Graph, s.loc.Name) == nil {
			report = append(report, Change{Plan: s.label(), Result: ResultRemoved})
		}
	}
	slices.SortFunc(report, func(a, b Change) int { return cmp.Compare(a.Plan, b.Plan) })
	return report
}

// knows reports whether the table has that failure already.
func (t *table) knows(change Change) bool {
	for _, s := range t.plans {
		if s.label() == change.Plan {
			return s.err != nil && s.err.Error() == change.Error
		}
	}
	return false
}

// logReport logs what changed. A failure that is old news goes to debug level.
func (c *Catalog) logReport(ctx context.Context, report Report, isOld func(Change) bool) {
	for _, change := range report {
		log := c.log.With("plan", change.Plan)
		switch change.Result {
		case ResultLoaded:
			log.InfoContext(ctx, "plan loaded", "digest", change.Digest)
		case ResultRemoved:
			log.InfoContext(ctx, "plan removed, it is no longer served")
		case ResultUnchanged:
			log.DebugContext(ctx, "plan unchanged", "digest", change.Digest)
		case ResultKept, ResultFailed:
			level := slog.LevelError
			if isOld(change) {
				level = slog.LevelDebug
			}
			log.Log(ctx, level, "plan could not be loaded", "error", change.Error, "result", string(change.Result), "digest", change.Digest)
		}
	}
}
