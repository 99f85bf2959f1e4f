package check

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"
	"google.golang.org/protobuf/reflect/protoreflect"

	"starplan/plan/execution"
)

// checkConstructor checks a call of PlanResult or its like.
func (s *solver) checkConstructor(c *syntax.CallExpr, md protoreflect.MessageDescriptor, a arguments) {
	if e, _, ok := a.positional(0); ok {
		s.report(Error, CodeUnknownArgument, e, "fields: "+strings.Join(fieldNames(md), ", "), "%s takes keywords only", md.Name())
	}
	for _, arg := range c.Args {
		b, ok := arg.(*syntax.BinaryExpr)
		if !ok || b.Op != syntax.EQ {
			continue
		}
		id, ok := b.X.(*syntax.Ident)
		if !ok {
			continue
		}
		fd := field(md, id.Name)
		if fd == nil {
			s.unknownArgument(md, id, id.Name)
			continue
		}
		if i, ok := a.named[id.Name]; ok {
			s.checkField(fd, b.Y, settle(a.types[i]))
		}
	}
}

// unknownArgument reports the name of a field that a message lacks.
func (s *solver) unknownArgument(md protoreflect.MessageDescriptor, n syntax.Node, name string) {
	what := fmt.Sprintf("%s has no field %q", md.Name(), name)
	if err := attrError(md, name); err != nil {
		what = err.Error() // It says which field may be meant.
	}
	s.report(Error, CodeUnknownArgument, n, "fields: "+strings.Join(fieldNames(md), ", "), "%s", what)
}

// checkField checks a value that is given to a field.
func (s *solver) checkField(fd protoreflect.FieldDescriptor, e syntax.Expr, t typ) {
	switch {
	case t.kind == kindNone: // Leaves the field unset.
	case fd.IsList():
		s.checkRepeated(fd, e, t)
	case fd.IsMap():
		if t.kind.isScalar() || t.kind == kindMessage {
			s.wrongType(e, t, "dict")
		}
	default:
		s.checkSingle(fd, e, t)
	}
}

// wrongType reports a value of a wrong type, unless it is not sure.
func (s *solver) wrongType(e syntax.Expr, t typ, want string) {
	if t.kind == kindBottom || t.kind == kindUnknown || t.nullable {
		return
	}
	s.report(Error, CodeWrongType, e, "", "got %s, want %s", t, want)
}

// wantName names what a field, or an element of it, takes.
func wantName(fd protoreflect.FieldDescriptor) string {
	if fd.Message() != nil {
		return string(fd.Message().Name())
	}
	return typ{kind: scalarKind(fd)}.String()
}

// checkSingle checks a value that is given to a field which is neither repeated
// nor a map, or to an element.
func (s *solver) checkSingle(fd protoreflect.FieldDescriptor, e syntax.Expr, t typ) {
	if fd.Message() != nil {
		s.checkMessage(fd.Message(), e, t)
		return
	}
	want := scalarKind(fd)
	switch {
	case t.kind == want:
	case want == kindFloat && t.kind == kindInt:
	case fd.Enum() != nil && t.kind == kindString:
		if name, ok := stringLiteral(e); ok && fd.Enum().Values().ByName(protoreflect.Name(name)) == nil {
			s.report(Error, CodeWrongType, e, "", "%s has no value %q", fd.Enum().Name(), name)
		}
	default:
		s.wrongType(e, t, wantName(fd))
	}
}

// checkMessage checks a value that is given where a message is wanted.
func (s *solver) checkMessage(md protoreflect.MessageDescriptor, e syntax.Expr, t typ) {
	switch t.kind {
	case kindMessage:
		if t.md.FullName() != md.FullName() {
			s.wrongType(e, t, string(md.Name()))
		}
		return
	case kindDict:
		if d, ok := unparen(e).(*syntax.DictExpr); ok {
			s.checkDict(md, d)
		}
		return
	case kindMap, kindFixed, kindSequence:
		return // A map may have the names of fields as keys.
	}
	s.wrongType(e, t, string(md.Name()))
}

// checkDict checks a dict as it stands that is given where a message is wanted.
func (s *solver) checkDict(md protoreflect.MessageDescriptor, d *syntax.DictExpr) {
	for _, x := range d.List {
		entry, ok := x.(*syntax.DictEntry)
		if !ok {
			continue
		}
		name, ok := stringLiteral(entry.Key)
		if !ok {
			continue
		}
		fd := field(md, name)
		if fd == nil {
			s.unknownArgument(md, entry.Key, name)
			continue
		}
		s.checkField(fd, entry.Value, settle(s.eval(entry.Value)))
	}
}

// checkRepeated checks what is given to a repeated field as a whole.
func (s *solver) checkRepeated(fd protoreflect.FieldDescriptor, e syntax.Expr, t typ) {
	if t.kind.isScalar() && t.kind != kindNone || t.kind == kindMessage || t.kind == kindType || t.kind == kindFunction {
		s.wrongType(e, t, "list of "+wantName(fd))
		return
	}
	if fd.FullName() == namesField {
		s.nameTasks(e)
	}
	for _, x := range elementsOf(e) {
		s.checkElementType(fd, x, settle(s.eval(x)))
	}
}

// elementsOf gives the elements of a list or tuple as it stands, or of lists that
// are added.
func elementsOf(e syntax.Expr) []syntax.Expr {
	switch e := unparen(e).(type) {
	case *syntax.ListExpr:
		return e.List
	case *syntax.TupleExpr:
		return e.List
	case *syntax.BinaryExpr:
		if e.Op == syntax.PLUS {
			return slices.Concat(elementsOf(e.X), elementsOf(e.Y))
		}
	}
	return nil
}

// checkElement checks what is added to a repeated field.
func (s *solver) checkElement(x typ, e syntax.Expr, t typ) {
	if x.fd.FullName() == namesField {
		s.nameTasks(e)
	}
	s.checkElementType(x.fd, e, t)
}

func (s *solver) checkElementType(fd protoreflect.FieldDescriptor, e syntax.Expr, t typ) {
	if name, ok := stringLiteral(e); ok && fd.FullName() == namesField {
		s.checkNameLength(e, name)
	}
	s.checkSingle(fd, e, t)
}

// namesField is the field whose elements are names of tasks.
const namesField = resultName + ".next_task_names"

// checkNameLength reports a name that consumers cannot store.
func (s *solver) checkNameLength(n syntax.Node, name string) {
	if chars := utf8.RuneCountInString(name); chars > execution.MaxName {
		s.report(Error, CodeNameTooLong, n, "", "%s", nameTooLong("task", chars))
	}
}

func nameTooLong(what string, chars int) string {
	return fmt.Sprintf("name of a %s has %d characters, want at most %d", what, chars, execution.MaxName)
}

// setField checks and notes an assignment to a field.
func (s *solver) setField(dot *syntax.DotExpr, e syntax.Expr, t typ) {
	s.leak(t)
	x := settle(s.eval(dot.X))
	if x.kind != kindMessage || s.hasAttr[dot.Name.Name] {
		return
	}
	fd := field(x.md, dot.Name.Name)
	if fd == nil {
		s.checkMessageAttr(dot, x)
		return
	}
	if !s.checkFrozen(x, dot, "it cannot be changed") {
		s.checkField(fd, e, settle(t))
	}
}

// assignField notes an assignment to a field of a value that is not at hand as an
// expression, as in `a.x, b.y = f()`.
func (s *solver) assignField(dot *syntax.DotExpr, t typ) {
	s.leak(t)
	x := settle(s.eval(dot.X))
	if x.kind == kindMessage && !s.hasAttr[dot.Name.Name] {
		s.checkMessageAttr(dot, x)
		s.checkFrozen(x, dot, "it cannot be changed")
	}
	s.tasks.open = true
}

// growField checks `message.field += value`.
func (s *solver) growField(dot *syntax.DotExpr, e syntax.Expr) {
	x := settle(s.eval(dot.X))
	if x.kind != kindMessage {
		return
	}
	if fd := field(x.md, dot.Name.Name); fd != nil {
		if !s.checkFrozen(x, dot, "it cannot be changed") && fd.FullName() == namesField {
			s.checkRepeated(fd, e, settle(s.eval(e)))
		}
	}
}
