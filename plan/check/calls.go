package check

import (
	"slices"

	"go.starlark.net/syntax"
)

// arguments are those of one call.
type arguments struct {
	exprs []syntax.Expr
	types []typ
	named map[string]int // Index of the keyword argument in both.
	// spread says that there are * or ** arguments, so that the others may not be
	// all.
	spread bool
}

// positional gives the i-th positional argument; ok says whether there is one.
func (a arguments) positional(i int) (syntax.Expr, typ, bool) {
	if a.spread || i >= len(a.exprs)-len(a.named) {
		return nil, typ{}, false
	}
	return a.exprs[i], settle(a.types[i]), true
}

// args infers the arguments of a call. Keyword arguments follow the positional
// ones.
func (s *solver) args(c *syntax.CallExpr) arguments {
	a := arguments{named: make(map[string]int)}
	for _, arg := range c.Args {
		switch x := arg.(type) {
		case *syntax.UnaryExpr:
			if x.Op == syntax.STAR || x.Op == syntax.STARSTAR {
				a.spread = true
				s.leak(s.eval(x.X))
				continue
			}
		case *syntax.BinaryExpr:
			if id, ok := x.X.(*syntax.Ident); ok && x.Op == syntax.EQ {
				a.named[id.Name] = len(a.exprs)
				a.exprs = append(a.exprs, x.Y)
				a.types = append(a.types, s.eval(x.Y))
				continue
			}
		}
		a.exprs = append(a.exprs, arg)
		a.types = append(a.types, s.eval(arg))
	}
	return a
}

// callExpr gives the type of a call.
func (s *solver) callExpr(c *syntax.CallExpr) typ {
	if dot, ok := unparen(c.Fn).(*syntax.DotExpr); ok {
		return s.method(c, dot)
	}
	if id, ok := unparen(c.Fn).(*syntax.Ident); ok && isUniversal(id) {
		return s.builtin(c, id.Name)
	}
	fn := settle(s.eval(c.Fn))
	a := s.args(c)
	switch fn.kind {
	case kindBottom:
		return typ{}
	case kindFunction:
		return s.call(fn.site, a.named, a.types, &a)
	case kindType:
		s.checkConstructor(c, fn.md, a)
		return typ{kind: kindMessage, md: fn.md, mutable: true}
	case kindUnknown:
		return s.forget(a.types...)
	}
	s.checkCallable(c, fn)
	s.forget(a.types...)
	return typ{}
}

// call binds the arguments of a call to the parameters of a function of the text,
// and gives what it returns. a may be nil where all arguments are positional.
func (s *solver) call(f *site, named map[string]int, types []typ, a *arguments) typ {
	f = f.find()
	if a != nil && a.spread {
		s.escape(f.fn)
	}
	positional := len(types) - len(named)
	used := 0
	keyword := false // Behind a star parameters are named.
	for _, p := range f.fn.Params {
		if u, ok := p.(*syntax.UnaryExpr); ok {
			keyword = keyword || u.Op == syntax.STAR
			continue
		}
		ids := paramName(p)
		if len(ids) == 0 {
			continue
		}
		if i, ok := named[ids[0].Name]; ok {
			s.setVar(ids, types[i])
		} else if !keyword && used < positional {
			s.setVar(ids, types[used])
			used++
		}
	}
	// What goes into *args or **kwargs, which are not looked at.
	for i := used; i < positional; i++ {
		s.leak(types[i])
	}
	if f.fn.HasKwargs {
		for _, i := range named {
			s.leak(types[i])
		}
	}
	if f.leaked {
		return typ{kind: kindUnknown}
	}
	t := f.result
	if t.kind != kindBottom && !endsAlways(f.fn.Body) {
		t.nullable = true
	}
	if t.kind == kindBottom && !endsAlways(f.fn.Body) {
		return typ{kind: kindNone}
	}
	return t
}

// builtin gives the type of a call of a function that Starlark itself has.
func (s *solver) builtin(c *syntax.CallExpr, name string) typ {
	a := s.args(c)
	_, first, ok := a.positional(0)
	if !ok {
		return s.forget(a.types...)
	}
	switch name {
	case "len", "hash", "ord", "int":
		return typ{kind: kindInt}
	case "float":
		return typ{kind: kindFloat}
	case "str", "repr", "chr", "type":
		return typ{kind: kindString}
	case "bool", "any", "all", "hasattr":
		return typ{kind: kindBool}
	case "print":
		return typ{kind: kindNone}
	case "fail":
		return typ{}
	case "range":
		return s.sequenceOf(c, 0, typ{kind: kindInt})
	case "list":
		return s.listOf(c, 0, s.elements(first))
	case "sorted", "reversed":
		s.keyFunction(a, s.elements(first))
		return s.listOf(c, 0, s.elements(first))
	case "set", "tuple":
		return s.sequenceOf(c, 0, s.elements(first))
	case "enumerate":
		return s.listOf(c, 0, s.tupleOf(c, 1, typ{kind: kindInt}, s.elements(first)))
	case "zip":
		elems := make([]typ, len(a.types))
		for i, t := range a.types {
			elems[i] = s.elements(t)
		}
		return s.listOf(c, 0, s.tupleOf(c, 1, elems...))
	case "min", "max":
		if len(a.types)-len(a.named) == 1 {
			s.keyFunction(a, s.elements(first))
			return s.elements(first)
		}
	}
	return s.forget(a.types...)
}

// keyFunction infers the function that is given as key for elements of a type.
func (s *solver) keyFunction(a arguments, elem typ) {
	if i, ok := a.named["key"]; ok {
		if t := settle(a.types[i]); t.kind == kindFunction {
			s.call(t.site, nil, []typ{elem}, nil)
		} else {
			s.leak(t)
		}
	}
}

// method gives the type of a call of an attribute.
func (s *solver) method(c *syntax.CallExpr, dot *syntax.DotExpr) typ {
	x := settle(s.eval(dot.X))
	a := s.args(c)
	name := dot.Name.Name
	if s.hasAttr[name] || x.kind == kindUnknown {
		return s.forget(append(a.types, x)...)
	}
	if x.kind == kindBottom {
		return typ{}
	}
	if x.kind == kindMessage {
		return s.messageMethod(c, dot, x, a)
	}
	if !s.checkAttr(dot, x) {
		s.forget(a.types...)
		return typ{}
	}
	switch x.kind {
	case kindList:
		return s.listMethod(x, name, a)
	case kindDict:
		return s.dictMethod(c, x, name, a)
	case kindRepeated:
		return s.repeatedMethod(dot, x, name, a)
	case kindMap:
		return s.mapMethod(c, dot, x, name, a)
	case kindString:
		s.forget(a.types...)
		return s.stringMethod(c, name)
	case kindFixed:
		s.forget(a.types...)
		if x.fixed == "time" && name == "time" && len(c.Args) == 0 {
			s.report(Error, CodeWrongType, c, "for the time of the record write time.now()", "time.time: got no arguments, want year and what else is known")
			return typ{}
		}
		return fixedMethod(x, name)
	}
	return s.forget(append(a.types, x)...)
}

// fixedMethod gives the result of a function of a predeclared module.
func fixedMethod(x typ, name string) typ {
	if x.fixed == "json" && (name == "encode" || name == "indent") {
		return typ{kind: kindString}
	}
	return typ{kind: kindUnknown}
}

func (s *solver) stringMethod(c *syntax.CallExpr, name string) typ {
	switch name {
	case "split", "rsplit", "splitlines":
		return s.listOf(c, 0, typ{kind: kindString})
	case "format":
		s.checkFormat(c)
		return typ{kind: kindString}
	case "capitalize", "join", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rstrip", "strip", "title", "upper":
		return typ{kind: kindString}
	case "startswith", "endswith", "isalnum", "isalpha", "isdigit", "islower", "isspace", "istitle", "isupper":
		return typ{kind: kindBool}
	case "count", "find", "index", "rfind", "rindex":
		return typ{kind: kindInt}
	}
	return typ{kind: kindUnknown}
}

func (s *solver) listMethod(x typ, name string, a arguments) typ {
	_, first, _ := a.positional(0)
	_, second, _ := a.positional(1)
	switch {
	case a.spread || len(a.named) > 0:
		return s.forget(append(a.types, x)...)
	case name == "append":
		s.put(x.site, first)
	case name == "extend":
		s.put(x.site, s.elements(first))
	case name == "insert":
		s.put(x.site, second)
	case name == "pop":
		return x.site.elem
	case name == "index":
		return typ{kind: kindInt}
	case name == "remove" || name == "clear":
	default:
		return s.forget(append(a.types, x)...)
	}
	return typ{kind: kindNone}
}

func (s *solver) dictMethod(c *syntax.CallExpr, x typ, name string, a arguments) typ {
	_, first, _ := a.positional(0)
	_, second, hasDefault := a.positional(1)
	if a.spread || len(a.named) > 0 {
		return s.forget(append(a.types, x)...)
	}
	elem, key := x.site.elem, x.site.key
	switch name {
	case "get", "pop":
		s.leak(first)
		if hasDefault {
			return s.join(elem, second)
		}
		if name == "get" {
			return s.join(elem, typ{kind: kindNone})
		}
		return elem
	case "setdefault":
		s.putKey(x.site, first)
		s.put(x.site, s.join(second, typ{kind: kindNone}))
		return x.site.find().elem
	case "items":
		return s.listOf(c, 0, s.tupleOf(c, 1, key, elem))
	case "keys":
		return s.listOf(c, 0, key)
	case "values":
		return s.listOf(c, 0, elem)
	case "clear":
		return typ{kind: kindNone}
	}
	return s.forget(append(a.types, x)...)
}

// mutators are the methods that change a repeated field or a map.
var mutators = []string{"append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"}

func (s *solver) repeatedMethod(dot *syntax.DotExpr, x typ, name string, a arguments) typ {
	if slices.Contains(mutators, name) && s.checkFrozen(x, dot, "it cannot be changed") {
		return typ{}
	}
	switch name {
	case "append":
		if e, t, ok := a.positional(0); ok {
			s.checkElement(x, e, t)
		}
	case "extend":
		if e, t, ok := a.positional(0); ok {
			s.checkRepeated(x.fd, e, t)
		}
	case "insert":
		if e, t, ok := a.positional(1); ok {
			s.checkElement(x, e, t)
		}
	case "pop":
		return fieldType(x.fd, elementOf, x)
	}
	return typ{kind: kindUnknown}
}

func (s *solver) mapMethod(c *syntax.CallExpr, dot *syntax.DotExpr, x typ, name string, a arguments) typ {
	if slices.Contains(mutators, name) {
		s.checkFrozen(x, dot, "it cannot be changed")
	}
	key, value := fieldType(x.fd, keyOf, x), fieldType(x.fd, valueOf, x)
	switch name {
	case "get":
		if _, second, ok := a.positional(1); ok {
			return s.join(value, second)
		}
		if a.spread || len(a.named) > 0 {
			return s.forget(a.types...)
		}
		return s.join(value, typ{kind: kindNone})
	case "items":
		return s.listOf(c, 0, s.tupleOf(c, 1, key, value))
	case "keys":
		return s.listOf(c, 0, key)
	case "values":
		return s.listOf(c, 0, value)
	}
	return s.forget(a.types...)
}

// messageMethod gives the type of a call of an attribute of a message.
func (s *solver) messageMethod(c *syntax.CallExpr, dot *syntax.DotExpr, x typ, a arguments) typ {
	name := dot.Name.Name
	if fd := field(x.md, name); fd != nil {
		s.checkCallable(c, fieldType(fd, wholeField, x))
		s.forget(a.types...)
		return typ{}
	}
	if !s.checkAttr(dot, x) {
		s.forget(a.types...)
		return typ{}
	}
	s.checkFieldName(c, dot, x, a)
	switch name {
	case "HasField", "Is":
		return typ{kind: kindBool}
	case "WhichOneof":
		return typ{kind: kindString, nullable: true}
	case "TypeName":
		return typ{kind: kindString}
	case "Clear", "ClearField", "CopyFrom":
		s.checkFrozen(x, dot, "it cannot be changed")
		return typ{kind: kindNone}
	}
	return s.forget(a.types...)
}
