package starlarkpb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

var (
	errTooDeep   = fmt.Errorf("messages nest deeper than %d", MaxDepth)
	errTooMany   = fmt.Errorf("more than %d elements", MaxElements)
	errIterating = errors.New("during iteration")
)

// stepBytes is how many bytes of work one step pays for.
const stepBytes = 64

// charge counts n elements of work as steps of the thread, before it is done, so
// that the step limit bounds work that is a single operation to the interpreter.
// Every method whose work grows with its operands charges: one step an element
// read, converted or compared, one for each stepBytes bytes decoded. The
// operators (==, in, +, str) have no thread and charge nothing; their cost is
// bounded by the size of values that exist already.
func charge(thread *starlark.Thread, n int) {
	if thread != nil && n > 0 {
		thread.Steps += uint64(n)
	}
}

// pathError is an error at a place within a value, as `next_task_names[2]`.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// within puts a place in front of the place of err.
func within(place string, err error) error {
	inner, ok := err.(*pathError) //nolint:errorlint // Only the outermost counts.
	switch {
	case !ok:
		return &pathError{path: place, err: err}
	case strings.HasPrefix(inner.path, "["):
		return &pathError{path: place + inner.path, err: inner.err}
	default:
		return &pathError{path: place + "." + inner.path, err: inner.err}
	}
}

// quote quotes a string that a script chose, cut to a length that suits an error.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return syntax.Quote(strings.ToValidUTF8(s[:most], ""), false) + "..."
	}
	return syntax.Quote(s, false)
}

// didYouMean gives ` (did you mean "x"?)` where a candidate is near to name, or
// else nothing.
func didYouMean(name string, candidates []string) string {
	best, least := "", min(3, len(name)/2+1)
	sorted := slices.Sorted(slices.Values(candidates))
	for _, c := range sorted {
		if d := distance(strings.ToLower(name), strings.ToLower(c), least); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of characters to insert, delete or replace to make b
// out of a; limit where it is not less than that.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(diagonal+cost, row[j]+1, row[j+1]+1)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return min(row[len(b)], limit)
}
