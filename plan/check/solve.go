package check

import (
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/proto/planpb"
)

// solver infers types of values in one module, without regard to the order in
// which things happen: a variable has one type that covers all that is ever
// assigned to it. What it says of an expression holds for every run that gets
// there, or else it says nothing: a value that comes from code it does not
// understand is unknown, and so is everything that such code may change.
//
// It goes over the text until nothing changes, and then once more to report.
type solver struct {
	file  *syntax.File
	entry bool

	// vars holds the types of variables by the place where they are first bound.
	// One that is not in it is bound by something that is not looked at.
	vars map[*syntax.Ident]typ
	// guarded are variables whose type the text itself asks for, and attributes
	// whose presence it asks for.
	guarded map[*syntax.Ident]bool
	hasAttr map[string]bool
	// sites are those made by each place of the text.
	sites   map[siteKey]*site
	results map[*resolve.Function]*site
	current *site // The function whose body is looked at; nil at the top level.
	changed bool

	final    bool // Report.
	findings *findings
	tasks    taskNames
	assigned map[*syntax.Ident][]syntax.Expr
}

// siteKey names a site: a node can make several.
type siteKey struct {
	node syntax.Node
	n    int
}

// maxRounds bounds the work. Types only ever become more general, so that a text
// settles after a few rounds; one that does not gets no findings.
const maxRounds = 40

// newSolver infers the types of a resolved module. entry says whether the platform
// calls its plan().
func newSolver(file *syntax.File, entry bool, f *findings) *solver {
	s := &solver{
		file: file, entry: entry, findings: f,
		vars:     make(map[*syntax.Ident]typ),
		guarded:  make(map[*syntax.Ident]bool),
		hasAttr:  make(map[string]bool),
		sites:    make(map[siteKey]*site),
		results:  make(map[*resolve.Function]*site),
		assigned: make(map[*syntax.Ident][]syntax.Expr),
	}
	s.survey()
	return s
}

// run infers and reports.
func (s *solver) run() {
	for range maxRounds {
		s.changed = false
		s.round()
		if !s.changed {
			s.final = true
			s.round()
			return
		}
	}
}

// round goes over the whole module once.
func (s *solver) round() {
	s.stmts(s.file.Stmts)
	m, ok := s.file.Module.(*resolve.Module)
	if !ok {
		return
	}
	for _, b := range m.Globals {
		switch t := s.vars[b.First]; {
		case b.First == nil || t.kind != kindFunction:
		case !s.entry:
			s.leak(t) // Other modules call it.
		case b.First.Name == entryPoint:
			s.call(t.site.find(), nil, []typ{inputType()}, nil)
		}
	}
}

// entryPoint is the function that every plan defines.
const entryPoint = "plan"

func inputType() typ {
	return typ{kind: kindMessage, md: (*planpb.PlanInput)(nil).ProtoReflect().Descriptor(), frozen: true}
}

// survey finds what has to be known before types are inferred.
func (s *solver) survey() {
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			s.surveyCall(n)
		case *syntax.AssignStmt:
			s.bound(n.LHS)
			if id, ok := n.LHS.(*syntax.Ident); ok && n.Op == syntax.EQ {
				s.note(id, n.RHS)
			} else {
				s.noteAll(n.LHS)
			}
		case *syntax.ForStmt:
			s.bound(n.Vars)
			s.noteAll(n.Vars)
		case *syntax.ForClause:
			s.bound(n.Vars)
			s.noteAll(n.Vars)
		case *syntax.DefStmt:
			s.bound(n.Name)
			s.noteAll(n.Name)
			s.surveyParams(n.Function)
		case *syntax.LambdaExpr:
			s.surveyParams(n.Function)
		}
		return true
	})
}

// surveyParams notes the parameters of a function.
func (s *solver) surveyParams(fn any) {
	f, ok := fn.(*resolve.Function)
	if !ok {
		return
	}
	n := len(f.Params)
	for _, b := range f.Locals[:min(n, len(f.Locals))] {
		if b.First != nil {
			s.vars[b.First] = typ{}
			s.assigned[b.First] = append(s.assigned[b.First], nil)
		}
	}
}

// surveyCall notes where the text asks for types and attributes: what is behind
// such a question may hold for other types than the one that comes there.
func (s *solver) surveyCall(c *syntax.CallExpr) {
	id, ok := c.Fn.(*syntax.Ident)
	if !ok || len(c.Args) == 0 || !isUniversal(id) {
		return
	}
	switch id.Name {
	case "type", "dir":
		s.guard(c.Args[0])
	case "hasattr", "getattr":
		if len(c.Args) > 1 {
			if name, ok := stringLiteral(c.Args[1]); ok {
				s.hasAttr[name] = true
				return
			}
		}
		s.guard(c.Args[0])
	}
}

// guard gives up on a variable, or on an attribute of any name like this one.
func (s *solver) guard(e syntax.Expr) {
	switch e := unparen(e).(type) {
	case *syntax.Ident:
		if first := firstOf(e); first != nil {
			s.guarded[first] = true
		}
	case *syntax.DotExpr:
		s.hasAttr[e.Name.Name] = true
		s.guard(e.X)
	case *syntax.IndexExpr:
		s.guard(e.X)
	}
}

// bound notes that variables are bound by something that is looked at.
func (s *solver) bound(e syntax.Expr) {
	for _, id := range targets(e) {
		if first := firstOf(id); first != nil {
			s.vars[first] = typ{}
		}
	}
}

// note remembers what is assigned to a variable; nil for what is no expression.
func (s *solver) note(id *syntax.Ident, value syntax.Expr) {
	if first := firstOf(id); first != nil {
		s.assigned[first] = append(s.assigned[first], value)
	}
}

func (s *solver) noteAll(e syntax.Expr) {
	for _, id := range targets(e) {
		s.note(id, nil)
	}
}

// targets lists the variables that an assignment to e binds.
func targets(e syntax.Expr) []*syntax.Ident {
	switch e := unparen(e).(type) {
	case *syntax.Ident:
		return []*syntax.Ident{e}
	case *syntax.TupleExpr:
		return targetsOf(e.List)
	case *syntax.ListExpr:
		return targetsOf(e.List)
	}
	return nil
}

func targetsOf(list []syntax.Expr) []*syntax.Ident {
	var ids []*syntax.Ident
	for _, e := range list {
		ids = append(ids, targets(e)...)
	}
	return ids
}

// firstOf gives the place where a variable is first bound; nil for what is
// predeclared or undefined.
func firstOf(id *syntax.Ident) *syntax.Ident {
	b, ok := id.Binding.(*resolve.Binding)
	if !ok {
		return nil
	}
	switch b.Scope {
	case resolve.Local, resolve.Cell, resolve.Free, resolve.Global:
		return b.First
	}
	return nil
}

// isUniversal reports whether a name is one that Starlark itself has. Some of
// these are predeclared in a form of our own.
func isUniversal(id *syntax.Ident) bool {
	b, ok := id.Binding.(*resolve.Binding)
	return ok && (b.Scope == resolve.Universal || b.Scope == resolve.Predeclared && starlark.Universe.Has(id.Name))
}

// isPredeclared reports whether a name is one that plans find.
func isPredeclared(id *syntax.Ident) bool {
	b, ok := id.Binding.(*resolve.Binding)
	return ok && b.Scope == resolve.Predeclared
}

func unparen(e syntax.Expr) syntax.Expr {
	for {
		p, ok := e.(*syntax.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}

// stringLiteral gives the value of an expression that is a string as it stands.
func stringLiteral(e syntax.Expr) (string, bool) {
	if l, ok := unparen(e).(*syntax.Literal); ok && l.Token == syntax.STRING {
		v, ok := l.Value.(string)
		return v, ok
	}
	return "", false
}

// stmts infers from statements.
func (s *solver) stmts(list []syntax.Stmt) {
	for _, stmt := range list {
		s.stmt(stmt)
	}
}

func (s *solver) stmt(stmt syntax.Stmt) {
	switch n := stmt.(type) {
	case *syntax.AssignStmt:
		s.assignStmt(n)
	case *syntax.DefStmt:
		if fn, ok := n.Function.(*resolve.Function); ok {
			s.assign(n.Name, s.function(fn))
		}
	case *syntax.ExprStmt:
		s.eval(n.X)
	case *syntax.ForStmt:
		s.assign(n.Vars, s.iterate(n.X))
		s.stmts(n.Body)
	case *syntax.WhileStmt:
		s.eval(n.Cond)
		s.stmts(n.Body)
	case *syntax.IfStmt:
		s.eval(n.Cond)
		s.stmts(n.True)
		s.stmts(n.False)
	case *syntax.ReturnStmt:
		s.returnStmt(n)
	}
}

func (s *solver) returnStmt(n *syntax.ReturnStmt) {
	t := typ{kind: kindNone}
	if n.Result != nil {
		t = s.eval(n.Result)
	}
	f := s.current
	if f == nil {
		return
	}
	if s.final && s.isPlan(f) {
		s.checkReturn(n, t)
	}
	if f = f.find(); f.leaked {
		s.leak(t)
	}
	s.widen(t, func() (typ, bool) { return settle(f.find().result), true }, func(u typ) { f.find().result = u })
}

// isPlan reports whether the platform calls the function.
func (s *solver) isPlan(f *site) bool {
	m, ok := s.file.Module.(*resolve.Module)
	if !ok || !s.entry {
		return false
	}
	for _, b := range m.Globals {
		if b.First != nil && b.First.Name == entryPoint {
			t := s.vars[b.First]
			return t.kind == kindFunction && t.site.find() == f.find()
		}
	}
	return false
}

// function infers the body of a function, and gives its type.
func (s *solver) function(fn *resolve.Function) typ {
	f := s.results[fn]
	if f == nil {
		f = &site{fn: fn}
		s.results[fn] = f
	}
	for _, p := range fn.Params {
		if d, ok := p.(*syntax.BinaryExpr); ok && d.Op == syntax.EQ {
			s.setVar(targets(d.X), s.eval(d.Y))
		} else if u, ok := p.(*syntax.UnaryExpr); ok && u.X != nil {
			s.setVar(targets(u.X), typ{kind: kindUnknown})
		}
	}
	outer := s.current
	s.current = f
	s.stmts(fn.Body)
	s.current = outer
	return typ{kind: kindFunction, site: f}
}

// escape notes that a function is called with unknown arguments.
func (s *solver) escape(fn *resolve.Function) {
	for _, p := range fn.Params {
		s.setVar(paramName(p), typ{kind: kindUnknown})
	}
}

// paramName gives the variable of a parameter, in a slice; empty for a bare star.
func paramName(p syntax.Expr) []*syntax.Ident {
	switch p := p.(type) {
	case *syntax.Ident:
		return []*syntax.Ident{p}
	case *syntax.BinaryExpr:
		return targets(p.X)
	case *syntax.UnaryExpr:
		if p.X != nil {
			return targets(p.X)
		}
	}
	return nil
}

// setVar notes that variables may hold a value of a type.
func (s *solver) setVar(ids []*syntax.Ident, t typ) {
	for _, id := range ids {
		first := firstOf(id)
		if first == nil {
			s.leak(t)
			continue
		}
		if s.guarded[first] {
			t = s.forget(t)
		}
		s.widen(t, func() (typ, bool) { return settle(s.vars[first]), true }, func(u typ) { s.vars[first] = u })
	}
}

// assign notes that a value is assigned to e.
func (s *solver) assign(e syntax.Expr, t typ) {
	switch e := unparen(e).(type) {
	case *syntax.Ident:
		s.setVar([]*syntax.Ident{e}, t)
	case *syntax.TupleExpr:
		s.unpack(e.List, t)
	case *syntax.ListExpr:
		s.unpack(e.List, t)
	case *syntax.IndexExpr:
		s.assignIndex(e, t)
	case *syntax.DotExpr:
		s.assignField(e, t)
	}
}

// unpack notes that the elements of a value are assigned to several targets.
func (s *solver) unpack(list []syntax.Expr, t typ) {
	t = settle(t)
	for i, e := range list {
		if t.kind == kindTuple && len(t.site.elems) == len(list) {
			s.assign(e, t.site.elems[i])
		} else {
			s.assign(e, s.elements(t))
		}
	}
}

// assignIndex notes an assignment to an element of a list or dict.
func (s *solver) assignIndex(e *syntax.IndexExpr, t typ) {
	c, key := settle(s.eval(e.X)), s.eval(e.Y)
	switch c.kind {
	case kindList:
		s.put(c.site, t)
	case kindDict:
		s.put(c.site, t)
		s.putKey(c.site, key)
	case kindMap, kindRepeated:
		s.checkFrozen(c, e, "its elements cannot be set")
	default:
		s.checkSetIndex(e, c)
		s.leak(t)
		s.leak(key)
	}
}

// assignStmt infers from an assignment, augmented or not.
func (s *solver) assignStmt(n *syntax.AssignStmt) {
	right := s.eval(n.RHS)
	if n.Op == syntax.EQ {
		if dot, ok := unparen(n.LHS).(*syntax.DotExpr); ok {
			s.setField(dot, n.RHS, right)
			return
		}
		s.assign(n.LHS, right)
		return
	}
	left := settle(s.eval(n.LHS))
	if n.Op == syntax.PLUS_EQ && left.kind == kindList {
		s.put(left.site, s.elements(right)) // The list itself grows.
		return
	}
	if dot, ok := unparen(n.LHS).(*syntax.DotExpr); ok {
		s.growField(dot, n.RHS)
		s.forget(left, right)
		return
	}
	s.assign(n.LHS, s.binary(n.Op-syntax.PLUS_EQ+syntax.PLUS, left, right))
}
