package plantest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"starplan/internal/pbjson"
	"starplan/starlarkpb"
)

// mismatch is the failure of an assertion.
type mismatch struct{ message, got, want, diff string }

func (m *mismatch) Error() string { return m.message }

// builtin is the type of functions that are written in Go.
type builtin = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

func assertModule() starlark.Value {
	members := make(starlark.StringDict)
	for name, fn := range map[string]builtin{
		"eq": assertEq, "ne": assertNe, "true": assertTrue,
		"contains": assertContains, "fails": assertFails, "succeeds": assertSucceeds,
	} {
		members[name] = starlark.NewBuiltin("assert."+name, fn)
	}
	return &starlarkstruct.Module{Name: "assert", Members: members}
}

// assertEq is assert.eq(got, want, msg="").
func assertEq(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var got, want starlark.Value
	var msg string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "got", &got, "want", &want, "msg?", &msg); err != nil {
		return nil, err
	}
	same, err := equal(got, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	if same {
		return starlark.None, nil
	}
	m := &mismatch{message: withMessage("assert.eq: values differ", msg), got: oneLine(got), want: oneLine(want)}
	if max(len(m.got), len(m.want)) > maxLine {
		m.got, m.want = expanded(got), expanded(want)
	}
	if strings.Contains(m.got, "\n") || strings.Contains(m.want, "\n") {
		m.diff = lineDiff(m.want, m.got)
	} else if m.got == m.want {
		m.message = withMessage(fmt.Sprintf("assert.eq: values differ in type: got %s, want %s", got.Type(), want.Type()), msg)
	}
	return nil, m
}

// assertNe is assert.ne(got, unwanted, msg="").
func assertNe(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var got, unwanted starlark.Value
	var msg string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "got", &got, "unwanted", &unwanted, "msg?", &msg); err != nil {
		return nil, err
	}
	same, err := equal(got, unwanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	if same {
		return nil, &mismatch{message: withMessage("assert.ne: values are equal", msg), got: render(got), want: "anything else"}
	}
	return starlark.None, nil
}

// assertTrue is assert.true(condition, msg="").
func assertTrue(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var got starlark.Value
	var msg string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "condition", &got, "msg?", &msg); err != nil {
		return nil, err
	}
	if !got.Truth() {
		return nil, &mismatch{message: withMessage("assert.true: condition is not true", msg), got: render(got), want: "a true value"}
	}
	return starlark.None, nil
}

// assertContains is assert.contains(container, item, msg=""): item in container.
func assertContains(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var container, item starlark.Value
	var msg string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "container", &container, "item", &item, "msg?", &msg); err != nil {
		return nil, err
	}
	found, err := starlark.Binary(syntax.IN, item, container)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	if !found.Truth() {
		return nil, &mismatch{message: withMessage("assert.contains: item is missing", msg), got: render(container), want: "something that holds " + item.String()}
	}
	return starlark.None, nil
}

// assertFails is assert.fails(function, pattern): it calls function(), which must
// fail with a message that the regular expression matches, and gives the message.
func assertFails(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	var pattern string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "function", &fn, "pattern", &pattern); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: pattern: %w", b.Name(), err)
	}
	t, err := stateOf(thread)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	now := t.now
	v, err := t.call(fn, nil, nil)
	t.setNow(now)
	switch {
	case t.stopped.Load() != nil:
		return nil, err
	case err == nil:
		return nil, &mismatch{message: "assert.fails: the call succeeded", got: render(v), want: "a failure that matches " + pattern}
	}
	message := err.Error()
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		message = eval.Msg
	}
	if !re.MatchString(message) {
		return nil, &mismatch{message: "assert.fails: the call failed with another message", got: message, want: "a failure that matches " + pattern}
	}
	return starlark.String(message), nil
}

// assertSucceeds is assert.succeeds(function): it calls function() and gives what
// that gives.
func assertSucceeds(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "function", &fn); err != nil {
		return nil, err
	}
	v, err := starlark.Call(thread, fn, nil, nil)
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		// The failure's own position is worth more than that of the assertion.
		return nil, err
	}
	return v, err
}

func withMessage(text, msg string) string {
	if msg == "" {
		return text
	}
	return text + ": " + msg
}

// maxDepth bounds the nesting of values that are compared.
const maxDepth = 100

// equal compares as == does, except that the fields of a message that can still be
// changed equal lists and dicts, too.
func equal(x, y starlark.Value) (bool, error) {
	x, err := plain(x, maxDepth)
	if err != nil {
		return false, err
	}
	if y, err = plain(y, maxDepth); err != nil {
		return false, err
	}
	return starlark.EqualDepth(x, y, maxDepth)
}

// plain turns repeated and map fields into lists and dicts, at any depth.
func plain(v starlark.Value, depth int) (starlark.Value, error) {
	if depth == 0 {
		return nil, fmt.Errorf("values nest deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case *starlarkpb.Repeated:
		return plainList(v, depth)
	case *starlark.List:
		return plainList(v, depth)
	case starlark.Tuple:
		out := make(starlark.Tuple, len(v))
		for i, elem := range v {
			var err error
			if out[i], err = plain(elem, depth-1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *starlarkpb.Map:
		return plainDict(v, depth)
	case *starlark.Dict:
		return plainDict(v, depth)
	default:
		return v, nil
	}
}

func plainList(v starlark.Indexable, depth int) (starlark.Value, error) {
	elems := make([]starlark.Value, v.Len())
	for i := range elems {
		var err error
		if elems[i], err = plain(v.Index(i), depth-1); err != nil {
			return nil, err
		}
	}
	return starlark.NewList(elems), nil
}

func plainDict(v starlark.IterableMapping, depth int) (starlark.Value, error) {
	items := v.Items()
	d := starlark.NewDict(len(items))
	for _, item := range items {
		value, err := plain(item[1], depth-1)
		if err != nil {
			return nil, err
		}
		if err := d.SetKey(item[0], value); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// maxLine is how long a value may be that is shown on one line.
const maxLine = 72

// maxRendered bounds the text of one value in bytes.
const maxRendered = 64 << 10

// render writes a value for people: on one line, or an element a line.
func render(v starlark.Value) string {
	if text := oneLine(v); len(text) <= maxLine {
		return text
	}
	return expanded(v)
}

// expanded writes a value, an element a line.
func expanded(v starlark.Value) string {
	var b strings.Builder
	expand(&b, v, 0)
	text := b.String()
	if len(text) > maxRendered {
		text = strings.ToValidUTF8(text[:maxRendered], "") + "…"
	}
	return text
}

func oneLine(v starlark.Value) string {
	if p, err := plain(v, maxDepth); err == nil {
		v = p
	}
	return v.String()
}

// expand writes a value over several lines where it is long.
func expand(b *strings.Builder, v starlark.Value, level int) {
	indent := strings.Repeat("  ", level+1)
	if b.Len() > maxRendered || level > maxDepth {
		b.WriteString("…")
		return
	}
	if p, err := plain(v, maxDepth); err == nil {
		v = p
	}
	switch v := v.(type) {
	case *starlarkpb.Message:
		b.WriteString(messageText(v, strings.Repeat("  ", level)))
	case *starlark.List:
		b.WriteString("[\n")
		for i := range v.Len() {
			b.WriteString(indent)
			expand(b, v.Index(i), level+1)
			b.WriteString(",\n")
		}
		b.WriteString(indent[2:] + "]")
	case *starlark.Dict:
		b.WriteString("{\n")
		for _, item := range v.Items() {
			b.WriteString(indent + item[0].String() + ": ")
			expand(b, item[1], level+1)
			b.WriteString(",\n")
		}
		b.WriteString(indent[2:] + "}")
	default:
		b.WriteString(v.String())
	}
}

// messageText writes a message as its type and JSON.
func messageText(m *starlarkpb.Message, indent string) string {
	line, err := pbjson.Marshal(m.Proto())
	if err != nil {
		return m.String()
	}
	var out bytes.Buffer
	if err := json.Indent(&out, line, indent, "  "); err != nil {
		return m.String()
	}
	return m.Type() + " " + out.String()
}

// lineDiff shows the lines that differ, with some around them: - are wanted, +
// are there.
func lineDiff(want, got string) string {
	text := string(diff.Diff("want", []byte(want+"\n"), "got", []byte(got+"\n")))
	if _, rest, ok := strings.Cut(text, "--- want\n+++ got\n"); ok {
		text = rest
	}
	return strings.TrimSuffix(text, "\n")
}
