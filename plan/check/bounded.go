package check

import (
	"go.starlark.net/resolve"
	"go.starlark.net/syntax"
)

// What the top level of a plan may have at most to be called bounded. The entries
// of a dict are limited since keys can be chosen to collide.
const (
	maxBoundedDict = 1000
	maxBoundedSum  = 100
)

// bounded reports whether the top level of a resolved module does so little that
// it can run anywhere: it defines functions, loads modules, and names values as
// they stand in the text. Of all others it is not known what they cost.
func bounded(file *syntax.File) bool {
	b := boundedness{plain: make(map[*syntax.Ident]bool)}
	for _, stmt := range file.Stmts {
		if !b.stmt(stmt) {
			return false
		}
	}
	return true
}

// boundedness knows the top-level names that stand for functions and plain values.
type boundedness struct{ plain map[*syntax.Ident]bool }

func (b *boundedness) stmt(stmt syntax.Stmt) bool {
	switch n := stmt.(type) {
	case *syntax.LoadStmt:
		return true
	case *syntax.BranchStmt:
		return n.Token == syntax.PASS
	case *syntax.ExprStmt:
		_, ok := n.X.(*syntax.Literal)
		return ok
	case *syntax.DefStmt:
		b.plain[firstOf(n.Name)] = true
		return b.defaults(n.Params)
	case *syntax.AssignStmt:
		id, ok := n.LHS.(*syntax.Ident)
		if !ok || n.Op != syntax.EQ || !b.expr(n.RHS) {
			return false
		}
		if _, ok := n.RHS.(*syntax.Literal); ok {
			b.plain[firstOf(id)] = true
		}
		return true
	}
	return false
}

func (b *boundedness) defaults(params []syntax.Expr) bool {
	for _, p := range params {
		if d, ok := p.(*syntax.BinaryExpr); ok && !b.expr(d.Y) {
			return false
		}
	}
	return true
}

func (b *boundedness) expr(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.Literal:
		return true
	case *syntax.ParenExpr:
		return b.expr(e.X)
	case *syntax.Ident:
		return b.ident(e)
	case *syntax.DotExpr:
		id, ok := e.X.(*syntax.Ident)
		return ok && isPredeclared(id)
	case *syntax.UnaryExpr:
		_, ok := e.X.(*syntax.Literal)
		return ok
	case *syntax.ListExpr:
		return b.all(e.List)
	case *syntax.TupleExpr:
		return b.all(e.List)
	case *syntax.DictExpr:
		return b.dict(e)
	case *syntax.BinaryExpr:
		return stringSum(e, maxBoundedSum)
	case *syntax.LambdaExpr:
		return b.defaults(e.Params)
	case *syntax.CallExpr:
		return b.structCall(e)
	}
	return false
}

// ident allows names that stand for one value. A name of a container would let a
// short text make something huge, as a list of a list of it and so on.
func (b *boundedness) ident(id *syntax.Ident) bool {
	binding, ok := id.Binding.(*resolve.Binding)
	if !ok {
		return false
	}
	switch binding.Scope {
	case resolve.Predeclared, resolve.Universal:
		return true
	case resolve.Global:
		return b.plain[binding.First]
	}
	return false
}

func (b *boundedness) all(list []syntax.Expr) bool {
	for _, e := range list {
		if !b.expr(e) {
			return false
		}
	}
	return true
}

func (b *boundedness) dict(d *syntax.DictExpr) bool {
	if len(d.List) > maxBoundedDict {
		return false
	}
	for _, x := range d.List {
		entry, ok := x.(*syntax.DictEntry)
		if !ok {
			return false
		}
		if _, ok := unparen(entry.Key).(*syntax.Literal); !ok || !b.expr(entry.Value) {
			return false
		}
	}
	return true
}

// structCall allows struct(name = value).
func (b *boundedness) structCall(c *syntax.CallExpr) bool {
	id, ok := c.Fn.(*syntax.Ident)
	if !ok || id.Name != "struct" || !isPredeclared(id) || len(c.Args) > maxBoundedDict {
		return false
	}
	for _, arg := range c.Args {
		if named, ok := arg.(*syntax.BinaryExpr); !ok || named.Op != syntax.EQ || !b.expr(named.Y) {
			return false
		}
	}
	return true
}

// stringSum reports whether an expression adds up at most so many strings as they
// stand.
func stringSum(e syntax.Expr, most int) bool {
	for range most {
		b, ok := unparen(e).(*syntax.BinaryExpr)
		if !ok {
			_, ok := stringLiteral(e)
			return ok
		}
		if _, ok := stringLiteral(b.Y); !ok || b.Op != syntax.PLUS {
			return false
		}
		e = b.X
	}
	return false
}
