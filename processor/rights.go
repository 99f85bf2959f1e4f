package processor

import (
	"context"

	"starplan/internal/rights"
)

// permitted makes sure that the broker lets this process do everything that it
// needs to, before it does anything. A right that is used only when there is
// something to answer would otherwise be missed hours later. The error is an
// [AccessError] with all that is missing.
func (p *Processor) permitted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	needs := rights.Needs{
		Input: p.input, Output: p.output, DeadLetters: p.opts.DeadLetterTopic,
		Group: p.opts.Group, Transactions: p.opts.Delivery == ExactlyOnce,
	}
	missing, err := rights.Missing(ctx, p.producer, needs.Rights())
	if len(missing) > 0 {
		remedy := rights.Remedy(p.opts.Principal, missing...)
		if missing[len(missing)-1].Resource == rights.TransactionalIDs {
			remedy += "; or set DELIVERY=at-least-once, which needs no transactional ids"
		}
		return &AccessError{Op: "read, answer and commit", Remedy: remedy, Err: errRights}
	}
	if err != nil {
		// What is missing after all shows when it is used.
		p.log.Debug("rights could not be looked at", "error", err)
	}
	return nil
}

// explanation is why brokers cannot be reached. To find out may take connections,
// so it is done once for the same error.
type explanation struct {
	text string
	err  error
}

// of explains err.
func (e *explanation) of(ctx context.Context, p *Processor, err error) {
	if err.Error() == e.text {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	e.text, e.err = err.Error(), p.opts.Explain(ctx, err)
}
