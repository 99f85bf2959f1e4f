package check

import (
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/plan/predeclared"
	"starplan/starlarkpb"
)

// eval gives the type of an expression.
func (s *solver) eval(e syntax.Expr) typ {
	switch e := e.(type) {
	case *syntax.ParenExpr:
		return s.eval(e.X)
	case *syntax.Ident:
		return s.ident(e)
	case *syntax.Literal:
		return literalType(e)
	case *syntax.ListExpr:
		c := s.site(e, 0)
		for _, x := range e.List {
			s.put(c, s.eval(x))
		}
		return typ{kind: kindList, site: c}
	case *syntax.TupleExpr:
		return s.tuple(e)
	case *syntax.DictExpr:
		return s.dict(e)
	case *syntax.CondExpr:
		s.eval(e.Cond)
		return s.join(s.eval(e.True), s.eval(e.False))
	case *syntax.UnaryExpr:
		return s.unary(e)
	case *syntax.BinaryExpr:
		return s.binaryExpr(e)
	case *syntax.DotExpr:
		return s.dot(e)
	case *syntax.IndexExpr:
		return s.index(e)
	case *syntax.SliceExpr:
		return s.slice(e)
	case *syntax.CallExpr:
		return s.callExpr(e)
	case *syntax.Comprehension:
		return s.comprehension(e)
	case *syntax.LambdaExpr:
		if fn, ok := e.Function.(*resolve.Function); ok {
			return s.function(fn)
		}
	}
	return typ{kind: kindUnknown}
}

// site gives the n-th site that a place of the text makes.
func (s *solver) site(node syntax.Node, n int) *site {
	key := siteKey{node, n}
	c := s.sites[key]
	if c == nil {
		c = new(site)
		s.sites[key] = c
	}
	return c.find()
}

// listOf gives the type of a list that a place of the text makes.
func (s *solver) listOf(node syntax.Node, n int, elem typ) typ {
	c := s.site(node, n)
	s.put(c, elem)
	return typ{kind: kindList, site: c.find()}
}

// sequenceOf is listOf for what is no list.
func (s *solver) sequenceOf(node syntax.Node, n int, elem typ) typ {
	t := s.listOf(node, n, elem)
	t.kind = kindSequence
	return t
}

// tupleOf gives the type of a tuple that a place of the text makes.
func (s *solver) tupleOf(node syntax.Node, n int, elems ...typ) typ {
	c := s.site(node, n)
	if c.elems == nil {
		c.elems = make([]typ, len(elems))
	}
	for i, t := range elems {
		s.putElem(c, i, t)
	}
	return typ{kind: kindTuple, site: c.find()}
}

func (s *solver) tuple(e *syntax.TupleExpr) typ {
	elems := make([]typ, len(e.List))
	for i, x := range e.List {
		elems[i] = s.eval(x)
	}
	return s.tupleOf(e, 0, elems...)
}

func (s *solver) dict(e *syntax.DictExpr) typ {
	c := s.site(e, 0)
	for _, x := range e.List {
		if entry, ok := x.(*syntax.DictEntry); ok {
			s.putKey(c, s.eval(entry.Key))
			s.put(c, s.eval(entry.Value))
		}
	}
	return typ{kind: kindDict, site: c.find()}
}

func literalType(l *syntax.Literal) typ {
	switch l.Token {
	case syntax.STRING:
		return typ{kind: kindString}
	case syntax.BYTES:
		return typ{kind: kindBytes}
	case syntax.INT:
		return typ{kind: kindInt}
	case syntax.FLOAT:
		return typ{kind: kindFloat}
	}
	return typ{kind: kindUnknown}
}

func (s *solver) ident(id *syntax.Ident) typ {
	if first := firstOf(id); first != nil {
		if t, ok := s.vars[first]; ok {
			return settle(t)
		}
		return typ{kind: kindUnknown}
	}
	switch {
	case isUniversal(id) && id.Name == "None":
		return typ{kind: kindNone}
	case isUniversal(id) && (id.Name == "True" || id.Name == "False"):
		return typ{kind: kindBool}
	case isPredeclared(id):
		v := predeclared.Values()[id.Name]
		if t := valueType(v); t.kind != kindUnknown {
			return t
		}
		if _, ok := v.(starlark.HasAttrs); ok {
			return typ{kind: kindFixed, fixed: id.Name}
		}
	}
	return typ{kind: kindUnknown}
}

// valueType gives the type of a predeclared value, or of an attribute of one.
func valueType(v starlark.Value) typ {
	switch v := v.(type) {
	case *starlarkpb.Type:
		return typ{kind: kindType, md: v.Descriptor()}
	case starlark.Int:
		return typ{kind: kindInt}
	case starlark.Float:
		return typ{kind: kindFloat}
	case starlark.String:
		return typ{kind: kindString}
	}
	return typ{kind: kindUnknown}
}

func (s *solver) unary(e *syntax.UnaryExpr) typ {
	if e.X == nil {
		return typ{kind: kindUnknown}
	}
	t := s.eval(e.X)
	switch {
	case e.Op == syntax.NOT:
		return typ{kind: kindBool}
	case t.kind == kindInt || t.kind == kindFloat || t.kind == kindBottom:
		return typ{kind: t.kind}
	}
	return s.forget(t)
}

func (s *solver) binaryExpr(e *syntax.BinaryExpr) typ {
	x, y := s.eval(e.X), s.eval(e.Y)
	x, y = settle(x), settle(y)
	switch e.Op {
	case syntax.AND, syntax.OR:
		if e.Op == syntax.OR {
			x.nullable = false // None would give y.
			if x.kind == kindNone {
				return y
			}
		}
		return s.join(x, y)
	case syntax.EQL, syntax.NEQ:
		s.checkEqual(e, x, y)
		return typ{kind: kindBool}
	case syntax.LT, syntax.GT, syntax.LE, syntax.GE, syntax.IN, syntax.NOT_IN:
		return typ{kind: kindBool}
	case syntax.PERCENT:
		if x.kind == kindString {
			s.checkPercent(e)
			return typ{kind: kindString}
		}
	case syntax.PLUS:
		s.checkPlus(e, x, y)
		if x.kind == kindList && y.kind == kindList || x.kind == kindRepeated && y.kind == kindList || x.kind == kindList && y.kind == kindRepeated {
			t := s.listOf(e, 0, s.elements(x))
			s.put(t.site, s.elements(y))
			return settle(t)
		}
	}
	return s.binary(e.Op, x, y)
}

// binary gives the type of an arithmetic operation.
func (s *solver) binary(op syntax.Token, x, y typ) typ {
	x, y = settle(x), settle(y)
	number := func(k kind) bool { return k == kindInt || k == kindFloat }
	switch {
	case x.kind == kindBottom || y.kind == kindBottom:
		return typ{}
	case op == syntax.PERCENT && x.kind == kindString,
		op == syntax.PLUS && x.kind == kindString && y.kind == kindString,
		op == syntax.STAR && x.kind == kindString && y.kind == kindInt,
		op == syntax.STAR && x.kind == kindInt && y.kind == kindString:
		return typ{kind: kindString}
	case op == syntax.SLASH && number(x.kind) && number(y.kind):
		return typ{kind: kindFloat}
	case x.kind == kindInt && y.kind == kindInt:
		return typ{kind: kindInt}
	case number(x.kind) && number(y.kind):
		return typ{kind: kindFloat}
	}
	return s.forget(x, y)
}

// dot gives the type of an attribute that is not called.
func (s *solver) dot(e *syntax.DotExpr) typ {
	return s.attr(e, settle(s.eval(e.X)))
}

// attr gives the type of an attribute of x.
func (s *solver) attr(e *syntax.DotExpr, x typ) typ {
	name := e.Name.Name
	if x.kind == kindBottom || x.kind == kindUnknown || s.hasAttr[name] {
		if s.hasAttr[name] {
			return s.forget(x)
		}
		return typ{kind: x.kind}
	}
	if x.kind == kindMessage {
		if fd := field(x.md, name); fd != nil {
			return fieldType(fd, wholeField, x)
		}
	}
	if !s.checkAttr(e, x) {
		return typ{} // Nothing comes out of it.
	}
	if x.kind == kindFixed {
		if v, err := x.attrs().Attr(name); err == nil && v != nil {
			return valueType(v)
		}
	}
	return s.forget(x) // A bound method: it may change x later.
}

func (s *solver) index(e *syntax.IndexExpr) typ {
	x, key := settle(s.eval(e.X)), s.eval(e.Y)
	s.leak(key)
	switch x.kind {
	case kindBottom:
		return typ{}
	case kindList, kindDict:
		return x.site.elem
	case kindRepeated:
		return fieldType(x.fd, elementOf, x)
	case kindMap:
		return fieldType(x.fd, valueOf, x)
	case kindString:
		return typ{kind: kindString}
	case kindTuple:
		if l, ok := unparen(e.Y).(*syntax.Literal); ok {
			if i, ok := l.Value.(int64); ok && i >= 0 && int(i) < len(x.site.elems) {
				return x.site.elems[i]
			}
		}
		return s.elements(x)
	case kindMessage, kindType, kindInt, kindBool, kindFloat, kindFunction:
		s.checkIndexed(e, x)
		return typ{}
	}
	return s.forget(x)
}

func (s *solver) slice(e *syntax.SliceExpr) typ {
	for _, x := range []syntax.Expr{e.Lo, e.Hi, e.Step} {
		if x != nil {
			s.eval(x)
		}
	}
	switch x := settle(s.eval(e.X)); x.kind {
	case kindBottom:
		return typ{}
	case kindString:
		return typ{kind: kindString}
	case kindList:
		return s.listOf(e, 0, x.site.elem)
	case kindRepeated:
		return s.sequenceOf(e, 0, fieldType(x.fd, elementOf, x))
	default:
		return s.forget(x)
	}
}

// iterate gives the type of what a loop over e binds.
func (s *solver) iterate(e syntax.Expr) typ {
	t := settle(s.eval(e))
	s.checkIterable(e, t)
	return s.elements(t)
}

// elements gives the type of what a value holds.
func (s *solver) elements(t typ) typ {
	switch t = settle(t); t.kind {
	case kindList, kindSequence:
		return t.site.elem
	case kindTuple:
		var elem typ
		for _, e := range t.site.elems {
			elem = s.join(elem, e)
		}
		return elem
	case kindDict:
		return t.site.key
	case kindRepeated:
		return fieldType(t.fd, elementOf, t)
	case kindMap:
		return fieldType(t.fd, keyOf, t)
	case kindUnknown, kindFixed, kindFunction:
		return typ{kind: kindUnknown}
	}
	return typ{} // What is left cannot be iterated over.
}

func (s *solver) comprehension(e *syntax.Comprehension) typ {
	for _, clause := range e.Clauses {
		switch c := clause.(type) {
		case *syntax.ForClause:
			s.assign(c.Vars, s.iterate(c.X))
		case *syntax.IfClause:
			s.eval(c.Cond)
		}
	}
	if entry, ok := e.Body.(*syntax.DictEntry); ok {
		c := s.site(e, 0)
		s.putKey(c, s.eval(entry.Key))
		s.put(c, s.eval(entry.Value))
		return typ{kind: kindDict, site: c.find()}
	}
	return s.listOf(e, 0, s.eval(e.Body))
}
