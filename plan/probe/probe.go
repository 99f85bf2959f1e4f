// Package probe puts calls between the statements of a Starlark file, so that
// somebody is told of each statement before it runs. The interpreter itself knows
// positions only of what can fail; to it "x = 1" has none.
//
// The calls are put into the syntax tree, before its names are resolved. What they
// take of a thread's steps is given back at once. Yet a file with probes may take a
// step more or less than without, since the compiler lays out its jumps otherwise:
// where steps must be exact, they are counted without probes.
package probe

import (
	"fmt"
	"maps"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Kind is what a point tells of.
type Kind int

// The kinds of points.
const (
	// Statement is a statement that is about to run.
	Statement Kind = iota
	// Enter is a function that was called, before its first statement.
	Enter
	// Turn is another turn of a loop, whose variables are set.
	Turn
	// End is a function that ends without a return.
	End
)

// Point is a place between statements.
type Point struct {
	Kind Kind
	// Line is that of the statement, of the function's def, or of the loop.
	Line int
	// Vars are the variables of a Turn that it has set.
	Vars []string
}

// hookName cannot be written in a file.
const hookName = "probe statement"

// What a call of the hook costs: stepsBefore to look it up, to load its argument
// and to call it, and one step to drop what it gives.
const stepsBefore = 3

// Steps is how far a thread's step count may be ahead of what it would be without
// probes, while one is under way.
const Steps = stepsBefore + 1

// Instrument puts points into a file, which must not be resolved yet. It gives
// them in the order of the text, and names with the hook among them, under which
// the file must be resolved and run. passed is called with the number of each
// point that is passed; frame 1 of the thread's stack is then the function that
// the point lies in, and thread.Steps does not count the call.
func Instrument(file *syntax.File, names starlark.StringDict, passed func(thread *starlark.Thread, point int)) ([]Point, starlark.StringDict) {
	var ins instrumenter
	file.Stmts = ins.block(file.Stmts)
	with := make(starlark.StringDict, len(names)+1)
	maps.Copy(with, names)
	with[hookName] = starlark.NewBuiltin(hookName, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		i, _ := args[0].(starlark.Int).Int64()
		thread.Steps -= stepsBefore
		passed(thread, int(i))
		thread.Steps-- // The step to come. It may pass below 0 and back.
		return starlark.None, nil
	})
	return ins.points, with
}

// instrumenter numbers points.
type instrumenter struct{ points []Point }

// point makes the call of a point.
func (ins *instrumenter) point(kind Kind, pos syntax.Position, vars ...string) syntax.Stmt {
	call := hookCall(pos, len(ins.points))
	ins.points = append(ins.points, Point{Kind: kind, Line: int(pos.Line), Vars: vars})
	return call
}

// block gives the statements of a block with the calls between them.
func (ins *instrumenter) block(stmts []syntax.Stmt) []syntax.Stmt {
	out := make([]syntax.Stmt, 0, 2*len(stmts))
	for _, stmt := range stmts {
		if counts(stmt) {
			out = append(out, ins.point(Statement, syntax.Start(stmt)))
		}
		switch stmt := stmt.(type) {
		case *syntax.DefStmt:
			enter := ins.point(Enter, stmt.Def)
			stmt.Body = append([]syntax.Stmt{enter}, ins.block(stmt.Body)...)
			if _, ok := stmt.Body[len(stmt.Body)-1].(*syntax.ReturnStmt); !ok {
				stmt.Body = append(stmt.Body, ins.point(End, stmt.Def))
			}
		case *syntax.IfStmt:
			stmt.True = ins.block(stmt.True)
			stmt.False = ins.block(stmt.False)
		case *syntax.ForStmt:
			var vars []string
			for _, id := range Targets(stmt.Vars) {
				vars = append(vars, id.Name)
			}
			turn := ins.point(Turn, stmt.For, vars...)
			stmt.Body = append([]syntax.Stmt{turn}, ins.block(stmt.Body)...)
		}
		out = append(out, stmt)
	}
	return out
}

// counts reports whether a statement does anything. What defines and loads runs
// with the top level; a docstring does not run.
func counts(stmt syntax.Stmt) bool {
	switch stmt := stmt.(type) {
	case *syntax.DefStmt, *syntax.LoadStmt:
		return false
	case *syntax.ExprStmt:
		_, literal := stmt.X.(*syntax.Literal)
		return !literal
	default:
		return true
	}
}

// Targets lists the names that an assignment to e binds, in order.
func Targets(e syntax.Expr) []*syntax.Ident {
	var names []*syntax.Ident
	switch e := e.(type) {
	case *syntax.Ident:
		names = append(names, e)
	case *syntax.ParenExpr:
		names = Targets(e.X)
	case *syntax.TupleExpr:
		for _, elem := range e.List {
			names = append(names, Targets(elem)...)
		}
	case *syntax.ListExpr:
		for _, elem := range e.List {
			names = append(names, Targets(elem)...)
		}
	}
	return names
}

func hookCall(pos syntax.Position, i int) syntax.Stmt {
	return &syntax.ExprStmt{X: &syntax.CallExpr{
		Fn:     &syntax.Ident{NamePos: pos, Name: hookName},
		Lparen: pos,
		Args:   []syntax.Expr{&syntax.Literal{Token: syntax.INT, TokenPos: pos, Raw: fmt.Sprint(i), Value: int64(i)}},
		Rparen: pos,
	}}
}
