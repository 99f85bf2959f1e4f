package check

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"starplan/plan/predeclared"
	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// field gives a field of a message type by its name; nil where there is none.
func field(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	return md.Fields().ByName(protoreflect.Name(name))
}

func fieldNames(md protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range md.Fields().Len() {
		names = append(names, string(md.Fields().Get(i).Name()))
	}
	return names
}

// report adds a finding about a node while the solver reports.
func (s *solver) report(sev Severity, code string, n syntax.Node, hint, format string, args ...any) {
	if !s.final {
		return
	}
	from, to := n.Span()
	s.findings.span(sev, code, from, to, fmt.Sprintf(format, args...), hint)
}

// builtinAttrs holds the attributes of the types of values that text can make.
type builtinAttrs struct{ byKind map[kind][]string }

// attrsOf is made once: it asks values of each type.
var attrsOf = sync.OnceValue(func() builtinAttrs {
	attrs := func(v starlark.Value) []string {
		if v, ok := v.(starlark.HasAttrs); ok {
			return v.AttrNames()
		}
		return nil
	}
	part := func(m starlark.HasAttrs, name string) starlark.Value {
		v, err := m.Attr(name)
		if err != nil {
			return nil
		}
		return v
	}
	made := func(t *starlarkpb.Type) starlark.HasAttrs {
		v, err := starlark.Call(new(starlark.Thread), t, nil, nil)
		m, ok := v.(starlark.HasAttrs)
		if err != nil || !ok {
			return starlark.String("") // Unreachable: a message without fields can be made.
		}
		return m
	}
	list, dict := attrs(starlark.NewList(nil)), attrs(starlark.NewDict(0))
	names := part(made(starlarkpb.Constructor((*planpb.PlanResult)(nil))), "next_task_names")
	metadata := part(made(starlarkpb.Constructor((*planpb.StoredData)(nil))), "metadata")
	return builtinAttrs{map[kind][]string{
		kindString:   attrs(starlark.String("")),
		kindBytes:    attrs(starlark.Bytes("")),
		kindList:     list,
		kindDict:     dict,
		kindRepeated: append(attrs(names), list...),
		kindMap:      append(attrs(metadata), dict...),
	}}
})

// pythonAttrs says what to write for attributes of Python's types, "*" for any
// type.
var pythonAttrs = map[string]string{
	"json.loads":          "write json.decode(text)",
	"json.dumps":          "write json.encode(value)",
	"json.load":           "write json.decode(text)",
	"*.sort":              "write xs = sorted(xs)",
	"*.reverse":           "write xs = reversed(xs)",
	"*.copy":              "write list(xs) or dict(d)",
	"*.count":             "write len([x for x in xs if x == value])",
	"*.has_key":           "write key in d",
	"*.iteritems":         "write d.items()",
	"*.zfill":             `write "0" * (width - len(s)) + s`,
	"*.rjust":             `write " " * (width - len(s)) + s`,
	"*.ljust":             `write s + " " * (width - len(s))`,
	"*.add":               "write xs.append(value)",
	"*.isnumeric":         "write s.isdigit()",
	"*.isdecimal":         "write s.isdigit()",
	"*.encode":            "write bytes(s)",
	"*.decode":            "write str(b)",
	"*.Unpack":            "write value = any.unpack()",
	"*.Name":              "write ExecutionStatus.Name(number)",
	"*.name":              "an enum is an int: write ExecutionStatus.Name(number)",
	"*.value":             "an enum is an int already",
	"*.ListFields":        "name the fields",
	"*.DESCRIPTOR":        "name the fields",
	"*.SerializeToString": "a plan returns messages, not bytes",
	"*.MergeFrom":         "write a.CopyFrom(b), or set the fields",
	"*.ByteSize":          "a plan does not see sizes on the wire",
}

// checkAttr reports whether a value has an attribute. The type is neither bottom
// nor unknown.
func (s *solver) checkAttr(e *syntax.DotExpr, x typ) bool {
	name := e.Name.Name
	what := x.String()
	var names []string
	switch x.kind {
	case kindMessage:
		return s.checkMessageAttr(e, x)
	case kindFixed:
		v := x.attrs()
		if slices.Contains(v.AttrNames(), name) {
			return true
		}
		if what == "math" && predeclared.InexactMath(name) {
			return false // Said by another check.
		}
		if _, err := v.Attr(name); err != nil {
			hint := attrHint(what, name)
			if full := statusName(name); hint == "" && full != "" {
				hint = "write ExecutionStatus." + full
			}
			s.report(Error, CodeUnknownField, e.Name, hint, "%s", err.Error())
			return false
		}
		names = v.AttrNames()
	case kindString, kindBytes, kindList, kindDict, kindRepeated, kindMap:
		names = attrsOf().byKind[x.kind]
	case kindInt, kindFloat, kindBool, kindFunction, kindTuple, kindType:
	default:
		return true
	}
	if slices.Contains(names, name) {
		return true
	}
	s.report(Error, CodeUnknownField, e.Name, attrHint(what, name), "%s has no attribute %q", what, name)
	return false
}

func (s *solver) checkMessageAttr(e *syntax.DotExpr, x typ) bool {
	err := attrError(x.md, e.Name.Name)
	if err == nil {
		return true
	}
	hint := attrHint(string(x.md.Name()), e.Name.Name)
	if hint == "" {
		hint = "fields: " + strings.Join(fieldNames(x.md), ", ")
	}
	s.report(Error, CodeUnknownField, e.Name, hint, "%v", err)
	return false
}

// attrError gives the error of asking a message for an attribute; nil where there is
// none.
func attrError(md protoreflect.MessageDescriptor, name string) error {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName())
	if err != nil {
		return nil
	}
	_, err = starlarkpb.FromProto(mt.Zero().Interface()).Attr(name)
	return err
}

func attrHint(what, name string) string {
	if hint, ok := pythonAttrs[what+"."+name]; ok {
		return hint
	}
	return pythonAttrs["*."+name]
}

// checkFieldName checks the name that HasField, ClearField or WhichOneof is given.
func (s *solver) checkFieldName(c *syntax.CallExpr, dot *syntax.DotExpr, x typ, a arguments) {
	e, _, ok := a.positional(0)
	if !ok {
		return
	}
	name, ok := stringLiteral(e)
	if !ok {
		return
	}
	fd := field(x.md, name)
	oneof := x.md.Oneofs().ByName(protoreflect.Name(name))
	what := string(x.md.Name())
	switch method := dot.Name.Name; {
	case method == "WhichOneof" && oneof == nil:
		s.report(Error, CodeUnknownField, e, "", "%s has no oneof %q", what, name)
	case (method == "HasField" || method == "ClearField") && fd == nil && oneof == nil:
		s.report(Error, CodeUnknownField, e, "fields: "+strings.Join(fieldNames(x.md), ", "), "%s has no field %q", what, name)
	case method == "HasField" && fd != nil && !fd.HasPresence():
		s.report(Error, CodeUnknownField, c, "compare it with its zero value", "HasField: field %s.%s does not have presence", what, name)
	}
}

// checkFrozen reports a change of something that never changes, and whether it is
// one.
func (s *solver) checkFrozen(x typ, n syntax.Node, what string) bool {
	if x.frozen && !x.nullable {
		s.report(Error, CodeFrozenInput, n, "build a new value, as PlanResult(…) or list(xs)", "this is part of the input: %s", what)
		return true
	}
	return false
}

// checkEqual warns of comparing what is never equal.
func (s *solver) checkEqual(e *syntax.BinaryExpr, x, y typ) {
	if y.kind == kindRepeated || y.kind == kindMap || x.kind == kindNone {
		x, y = y, x
	}
	always := "False"
	if e.Op == syntax.NEQ {
		always = "True"
	}
	if x.nullable || y.nullable {
		return
	}
	var write string
	switch {
	case y.kind == kindNone && x.kind > kindNone && x.kind < kindUnknown && x.kind != kindSequence:
		s.report(Warning, CodeNeverEqual, e, zeroHint(x), "this is always %s: the value is a %s, never None", always, x)
		return
	case x.kind.isScalar() && y.kind.isScalar() && x.kind != y.kind && (!x.isNumber() || !y.isNumber()):
		s.report(Warning, CodeNeverEqual, e, enumHint(e), "this is always %s: a %s is compared with a %s", always, x, y)
		return
	case x.mutable && x.kind == kindRepeated && (y.kind == kindList || y.kind == kindTuple):
		write = "list"
	case x.mutable && x.kind == kindMap && y.kind == kindDict:
		write = "dict"
	default:
		return
	}
	s.report(Warning, CodeNeverEqual, e, "compare "+write+"(…) of the field", "this is always %s: a field of a message that can be changed is no %s", always, write)
}

// isNumber reports whether a value may equal one of another type of number.
func (t typ) isNumber() bool { return t.kind == kindInt || t.kind == kindFloat }

// zeroHint says how to ask for what Python's None would mean of a value.
func zeroHint(t typ) string {
	switch t.kind {
	case kindString, kindBytes:
		return "a field that is not set reads as \"\": write x == \"\", or not x"
	case kindInt, kindFloat:
		return "a field that is not set reads as 0: write x == 0"
	case kindMessage:
		return "a message that is not set reads as an empty one: write parent.HasField(\"name\")"
	case kindRepeated, kindMap, kindList, kindDict:
		return "write not xs, where there are no elements"
	}
	return ""
}

// enumHint is for a comparison with the name of a status, as text.
func enumHint(e *syntax.BinaryExpr) string {
	for _, side := range []syntax.Expr{e.X, e.Y} {
		if name, ok := stringLiteral(side); ok {
			if full := statusName(name); full != "" {
				return "an enum is an int: write ExecutionStatus." + full
			}
		}
	}
	return ""
}

// statusName gives the name of a status that is written in full or in short; empty
// where there is none.
func statusName(name string) string {
	values := planpb.ExecutionStatus(0).Descriptor().Values()
	for i := range values.Len() {
		full := string(values.Get(i).Name())
		if strings.EqualFold(full, name) || strings.EqualFold(full, "EXECUTION_STATUS_"+name) {
			return full
		}
	}
	return ""
}

// checkPlus reports the sum of a string and a number, and the like.
func (s *solver) checkPlus(e *syntax.BinaryExpr, x, y typ) {
	known := func(t typ) bool { return t.kind.isScalar() || t.kind == kindList || t.kind == kindTuple }
	if x.nullable || y.nullable || !known(x) || !known(y) {
		return
	}
	if x.kind == y.kind && x.kind != kindNone && x.kind != kindBool || x.isNumber() && y.isNumber() {
		return
	}
	hint := ""
	if x.kind == kindString || y.kind == kindString {
		hint = `write str(value), or "…%s" % value`
	}
	s.report(Error, CodeWrongType, e, hint, "unknown binary op: %s + %s", x, y)
}

// checkIndexed reports an index into what has no elements.
func (s *solver) checkIndexed(e *syntax.IndexExpr, x typ) {
	hint := ""
	if x.kind == kindMessage {
		hint = "fields are attributes: " + strings.Join(fieldNames(x.md), ", ")
	}
	s.report(Error, CodeWrongType, e, hint, "%s has no elements", x)
}

// checkSetIndex reports an assignment to an element of what has none, or never
// changes.
func (s *solver) checkSetIndex(e *syntax.IndexExpr, x typ) {
	hint := ""
	switch x.kind {
	case kindTuple:
		hint = "a tuple never changes: make a list"
	case kindString, kindBytes:
		hint = "a string never changes: make a new one, as with s.replace(old, new)"
	case kindMessage:
		hint = "fields are attributes: " + strings.Join(fieldNames(x.md), ", ")
	case kindInt, kindFloat, kindBool, kindFunction, kindType:
	default:
		return
	}
	if !x.nullable {
		s.report(Error, CodeWrongType, e, hint, "the elements of a %s cannot be set", x)
	}
}

// checkIterable reports a loop over what has no elements.
func (s *solver) checkIterable(e syntax.Expr, x typ) {
	hint := ""
	switch x.kind {
	case kindString:
		hint = "write s.elems() for its bytes as strings, or s.codepoints() for its characters"
	case kindInt:
		hint = "write range(n)"
	case kindMessage:
		hint = "fields: " + strings.Join(fieldNames(x.md), ", ")
	case kindBytes, kindFloat, kindBool, kindType:
	default:
		return
	}
	s.report(Error, CodeWrongType, e, hint, "%s is not iterable", x)
}

// checkCallable reports a call of what is no function.
func (s *solver) checkCallable(c *syntax.CallExpr, x typ) {
	switch x.kind {
	case kindBottom, kindUnknown, kindFunction, kindType, kindNone, kindSequence:
		return
	}
	hint := ""
	if _, ok := unparen(c.Fn).(*syntax.DotExpr); ok {
		hint = "it is a field: drop the parentheses"
	}
	s.report(Error, CodeWrongType, c, hint, "%s cannot be called", x)
}

// checkReturn checks what plan() returns.
func (s *solver) checkReturn(n *syntax.ReturnStmt, t typ) {
	const want = "write return PlanResult(next_task_names = […])"
	switch {
	case t.kind == kindBottom || t.kind == kindUnknown || t.nullable || t.kind == kindNone:
	case t.kind == kindMessage && t.md.FullName() == resultName:
	default:
		s.report(Error, CodeWrongType, n, want, "plan() returns %s, want PlanResult", t)
	}
}

// resultName is what plan() returns.
const resultName = "starplan.v1.PlanResult"
