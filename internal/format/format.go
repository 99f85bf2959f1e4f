// Package format lays out Starlark source the way buildifier does, and nothing
// else: it never changes what a file means.
//
//	text, err := format.Source("plan.star", text)
//
// The layout is that of bazelbuild/buildtools for generic Starlark files, without
// its rewrites: loads are not moved or sorted, arguments not reordered, docstrings
// not touched. The parser of buildtools is another one than the interpreter's, so
// the result is not trusted: both texts are parsed by the interpreter's parser,
// and [Source] refuses to give a text whose syntax tree or whose comments differ
// from the original's. Positions, parentheses, quotes and the way in which a
// number is written do not count as differences.
//
// What either parser refuses is refused, with its position. The parser of
// buildtools knows no bytes literals (b"…"); write bytes("…").
package format

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bazelbuild/buildtools/build"
	"go.starlark.net/syntax"

	"starplan/plan"
)

// Source formats the text of a file; name stands in errors only. To format the
// result again changes nothing. An error is a [*plan.LoadError] where the text is
// at fault. Safe for concurrent use.
func Source(name string, text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, &plan.LoadError{Code: plan.CodeParse, File: name, Message: "text is not valid UTF-8"}
	}
	// The interpreter's parser comes first: its errors are the ones that a plan's
	// author meets elsewhere, and they have hints.
	before, err := parse(name, text)
	if err != nil {
		return nil, err
	}
	file, err := build.ParseDefault(name, text)
	if err != nil {
		return nil, parseError(name, err)
	}
	// Only rewrites of layout: a call without arguments fits one line.
	out := build.FormatWithRewriter(&build.Rewriter{RewriteSet: []string{"collapseEmpty"}}, file)
	after, err := parse(name, out)
	if err != nil {
		return nil, fmt.Errorf("%s: the formatted text does not parse, so the file is left as it is: %w", name, err)
	}
	if err := keeps(before, after); err != nil {
		return nil, fmt.Errorf("%s: %w, so the file is left as it is", name, err)
	}
	return out, nil
}

// keeps says what the formatted text does not keep of the original.
func keeps(before, after meaning) error {
	switch {
	case before.tree != after.tree:
		return fmt.Errorf("the formatted text means something else (%s)", firstDifference(before.tree, after.tree))
	case !slices.Equal(before.comments, after.comments):
		return errors.New("the formatted text has other comments")
	default:
		return nil
	}
}

// parseError converts an error of buildtools' parser.
func parseError(name string, err error) error {
	var fault build.ParseError
	if !errors.As(err, &fault) {
		return fmt.Errorf("%s: %w", name, err)
	}
	e := &plan.LoadError{
		Code: plan.CodeParse, File: name, Line: fault.Pos.Line, Col: fault.Pos.LineRune,
		Message: "the formatter cannot read this: " + fault.Message,
	}
	return e
}

// meaning is what formatting must keep.
type meaning struct {
	// tree is the syntax tree, written out.
	tree string
	// comments are the texts of all comments, sorted: where a statement is broken
	// into lines, a comment may pass another one.
	comments []string
}

func parse(name string, text []byte) (meaning, error) {
	// The dialect is the parser's business, not the printer's: plan.Parse has the
	// options of plans and the hints, but does not retain comments.
	file, err := plan.Parse(name, string(text))
	if err != nil {
		return meaning{}, err
	}
	var w treeWriter
	w.node(reflect.ValueOf(file.Stmts))
	commented, err := (&syntax.FileOptions{Set: true, TopLevelControl: true}).Parse(name, text, syntax.RetainComments)
	if err != nil {
		return meaning{}, err
	}
	return meaning{tree: w.b.String(), comments: comments(commented)}, nil
}

// comments lists the texts of all comments of a file, sorted.
func comments(file *syntax.File) []string {
	var list []string
	add := func(cs []syntax.Comment) {
		for _, c := range cs {
			list = append(list, strings.TrimSpace(strings.TrimLeft(c.Text, "#")))
		}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		if n == nil {
			return true
		}
		if c := n.Comments(); c != nil {
			add(c.Before)
			add(c.Suffix)
			add(c.After)
		}
		return true
	})
	slices.Sort(list)
	return list
}

// treeWriter writes a syntax tree without positions, comments and parentheses.
type treeWriter struct{ b strings.Builder }

var (
	positionType = reflect.TypeFor[syntax.Position]()
	literalType  = reflect.TypeFor[syntax.Literal]()
	parenType    = reflect.TypeFor[syntax.ParenExpr]()
)

func (w *treeWriter) node(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			w.b.WriteString("nil ")
			return
		}
		w.node(v.Elem())
	case reflect.Slice:
		w.b.WriteString("[ ")
		for i := range v.Len() {
			w.node(v.Index(i))
		}
		w.b.WriteString("] ")
	case reflect.Struct:
		w.structure(v)
	default:
		fmt.Fprintf(&w.b, "%v ", v.Interface())
	}
}

func (w *treeWriter) structure(v reflect.Value) {
	switch v.Type() {
	case parenType:
		w.node(v.FieldByName("X"))
		return
	case literalType:
		lit := v.Addr().Interface().(*syntax.Literal)
		value := lit.Value
		if n, ok := value.(*big.Int); ok {
			value = n.String()
		}
		fmt.Fprintf(&w.b, "%v(%#v) ", lit.Token, value)
		return
	}
	fmt.Fprintf(&w.b, "%s{ ", v.Type().Name())
	for i := range v.NumField() {
		f := v.Type().Field(i)
		// What the resolver sets is not part of the text.
		if !f.IsExported() || f.Type == positionType || f.Name == "Binding" || f.Name == "Function" {
			continue
		}
		w.node(v.Field(i))
	}
	w.b.WriteString("} ")
}

// firstDifference shows where two trees part.
func firstDifference(a, b string) string {
	as, bs := strings.Fields(a), strings.Fields(b)
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return fmt.Sprintf("%s became %s", as[i], bs[i])
		}
	}
	return "its end differs"
}
