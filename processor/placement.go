package processor

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"starplan/internal/rights"
	"starplan/processor/ledger"
)

// placement is where a partition begins, and what is known of it.
type placement struct {
	commit
	finished ledger.Set
	note     ledger.Note
	// fresh: the group has not committed this.
	fresh bool
}

// offsetsFetched takes the metadata, which franz-go does not keep. It is followed
// by adjustOffsets, in the same goroutine.
func (p *Processor) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	p.fetched = make(map[int32]commit)
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, part := range t.Partitions {
				f := commit{offset: part.Offset, epoch: part.LeaderEpoch}
				if part.Metadata != nil {
					f.metadata = *part.Metadata
				}
				p.fetched[part.Partition] = f
			}
		}
	}
	return nil
}

// adjustOffsets gives new partitions their books, and says where to fetch: at the
// committed offset, or where the options say that a new group begins.
func (p *Processor) adjustOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if forgotten := p.core.unplaced(offsets[p.input]); len(forgotten) > 0 {
		// franz-go goes on without partitions whose offset the broker refused to
		// tell, and does not ask again: nobody would read them. So join again.
		return nil, fmt.Errorf("no offsets for partitions %v", forgotten)
	}
	topic := topicNote(p.inputID())
	places := make(map[int32]placement)
	var fresh, again []int32
	for n := range offsets[p.input] {
		f, ok := p.fetched[n]
		if !ok || f.offset < 0 {
			fresh = append(fresh, n)
			continue
		}
		at := placement{commit: f}
		var err error
		at.finished, at.note, err = ledger.Decode(f.offset, f.metadata)
		if err != nil && !errors.Is(err, ledger.ErrForeign) {
			p.log.Warn("metadata of the committed offset cannot be used; records may be executed again", "partition", n, "offset", f.offset, "error", err)
		}
		if at.note.Topic != "" && topic != "" && at.note.Topic != topic {
			p.log.Warn("the committed offset is of a topic that was deleted; beginning with the first record of the one that has its name now", "topic", p.input, "partition", n, "offset", f.offset)
			again = append(again, n)
			continue
		}
		places[n] = at
	}
	if p.remade {
		fresh, again = nil, append(again, fresh...)
	}
	if err := p.begin(ctx, places, fresh, again); err != nil {
		return nil, err
	}
	for n, o := range offsets[p.input] {
		at := places[n]
		at.note.Topic, at.note.Nonce = topic, ""
		if len(at.finished) > 0 {
			p.log.Info("records beyond the committed offset were answered before", "partition", n, "offset", at.offset, "records", at.finished.Len())
		}
		p.core.settle(n, at)
		if at.fresh {
			o = kgo.NewOffset()
		}
		offsets[p.input][n] = o.At(at.offset)
	}
	return offsets, nil
}

// topicNote is a topic's id as commits note it; empty where there is none.
func topicNote(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// unplaced gives our partitions that have no books and are not in offsets.
func (c *core) unplaced(offsets map[int32]kgo.Offset) []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var numbers []int32
	for n, p := range c.parts {
		if _, ok := offsets[n]; p.books == nil && !ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// begin adds to places the partitions that have no committed offset: fresh ones,
// which begin where the options say, and those of a topic that was made anew,
// which begin with its first record. It gives concrete offsets, which are
// committed at once: "latest" must not move on when the process is started a
// second time.
func (p *Processor) begin(ctx context.Context, places map[int32]placement, fresh, again []int32) error {
	if len(fresh)+len(again) == 0 {
		return nil
	}
	oldest, err := p.admin.ListStartOffsets(ctx, p.input)
	if err != nil {
		return fmt.Errorf("start offsets: %w", err)
	}
	for _, n := range again {
		first, _ := oldest.Lookup(p.input, n)
		if first.Err != nil {
			return fmt.Errorf("start offset of %s/%d: %w", p.input, n, first.Err)
		}
		places[n] = placement{commit: commit{offset: first.Offset, epoch: -1}, note: ledger.Note{Since: time.Now().UnixMilli()}, fresh: true}
	}
	if len(fresh) == 0 {
		return nil
	}
	since, err := p.since(ctx)
	if err != nil {
		return err
	}
	end, err := p.admin.ListEndOffsets(ctx, p.input)
	if err != nil {
		return fmt.Errorf("end offsets: %w", err)
	}
	starts, err := p.starts(ctx, since, oldest, end)
	if err != nil {
		return fmt.Errorf("start at %v: %w", p.opts.Start, err)
	}
	if since.isNew {
		since.milli = time.Now().UnixMilli()
	}
	records := int64(0)
	for _, n := range fresh {
		first, _ := oldest.Lookup(p.input, n)
		last, _ := end.Lookup(p.input, n)
		for _, o := range []kadm.ListedOffset{first, last} {
			if o.Err != nil {
				return fmt.Errorf("offsets of %s/%d: %w", p.input, n, o.Err)
			}
		}
		at, ok := starts[n]
		if !ok {
			at = commit{offset: first.Offset, epoch: -1}
		}
		at.offset = max(at.offset, first.Offset)
		place := placement{commit: at, note: ledger.Note{Since: since.milli}, fresh: true}
		place.finished, _, _ = ledger.Decode(at.offset, at.metadata) // Of another group, and often foreign.
		places[n] = place
		records += last.Offset - at.offset
	}
	p.log.Info("partitions have no committed offset", "group", p.opts.Group, "partitions", len(fresh), "new_group", since.isNew,
		"start", p.opts.Start.String(), "records_to_run", records)
	return nil
}

// beginning is when the group began on the topic.
type beginning struct {
	// isNew: it has no committed offset at all.
	isNew bool
	// milli is when, in Unix time; 0 for unknown.
	milli int64
}

// since asks when the group began, which its commits note.
func (p *Processor) since(ctx context.Context) (beginning, error) {
	all, err := p.admin.FetchOffsets(ctx, p.opts.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return beginning{}, fmt.Errorf("committed offsets: %w", err)
	}
	b := beginning{isNew: true}
	for _, o := range all[p.input] {
		if o.Err != nil || o.At < 0 {
			continue
		}
		b.isNew = false
		_, note, err := ledger.Decode(o.At, o.Metadata)
		if err == nil && note.Since > 0 && (b.milli == 0 || note.Since < b.milli) {
			b.milli = note.Since
		}
	}
	return b, nil
}

// starts gives where partitions without a committed offset begin. What it leaves
// out begins with its first record.
//
// "Latest" is what arrives after the group began, not after this process did: a
// partition that was added to the topic since is read from its first record, and
// so is what arrived while the group was away. A member that finds the group just
// begun by another one reads on from that moment.
func (p *Processor) starts(ctx context.Context, since beginning, oldest, end kadm.ListedOffsets) (map[int32]commit, error) {
	var at kadm.ListedOffsets
	var err error
	switch p.opts.Start.kind {
	case startLatest:
		if since.milli > 0 {
			at, err = p.after(ctx, since.milli, end)
		} else {
			at = end
		}
	case startTime:
		at, err = p.after(ctx, p.opts.Start.time.UnixMilli(), end)
	case startGroup:
		return p.startsLike(ctx, p.opts.Start.group)
	default:
		at = oldest
	}
	if err != nil {
		return nil, err
	}
	starts := make(map[int32]commit)
	for n, o := range at[p.input] {
		if o.Err != nil {
			return nil, fmt.Errorf("%s/%d: %w", p.input, n, o.Err)
		}
		starts[n] = commit{offset: o.Offset, epoch: -1}
	}
	return starts, nil
}

// after gives the first offsets from a time on, in milliseconds of Unix time. Where
// there is none, kadm asks for the end by a second request: what arrives between the
// two would be passed over. So nothing beyond end, which was asked for before, is.
func (p *Processor) after(ctx context.Context, milli int64, end kadm.ListedOffsets) (kadm.ListedOffsets, error) {
	at, err := p.admin.ListOffsetsAfterMilli(ctx, milli, p.input)
	if err != nil {
		return nil, err
	}
	for n, o := range at[p.input] {
		if last, ok := end.Lookup(p.input, n); ok && last.Err == nil && o.Err == nil {
			o.Offset = min(o.Offset, last.Offset)
			at[p.input][n] = o
		}
	}
	return at, nil
}

// startsLike gives where another group stands.
func (p *Processor) startsLike(ctx context.Context, group string) (map[int32]commit, error) {
	other, err := p.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		return nil, &AccessError{Op: "start at " + p.opts.Start.String(), Remedy: rights.Remedy(p.opts.Principal, rights.DescribeGroup(group)), Err: err}
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, err
	}
	starts := make(map[int32]commit)
	for n, o := range other[p.input] {
		if o.Err == nil && o.At >= 0 {
			starts[n] = commit{o.At, o.Metadata, -1}
		}
	}
	return starts, nil
}
