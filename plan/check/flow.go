package check

import (
	"go.starlark.net/resolve"
	"go.starlark.net/syntax"
)

// ends reports whether a statement is never left to the one behind it: it returns,
// fails, or leaves the turn of a loop.
func ends(stmt syntax.Stmt) bool {
	switch n := stmt.(type) {
	case *syntax.ReturnStmt:
		return true
	case *syntax.BranchStmt:
		return n.Token != syntax.PASS
	case *syntax.ExprStmt:
		return isFail(n.X)
	case *syntax.IfStmt:
		return endsAlways(n.True) && endsAlways(n.False)
	}
	return false
}

// endsAlways reports whether no run gets to the end of statements.
func endsAlways(list []syntax.Stmt) bool {
	for _, stmt := range list {
		if ends(stmt) {
			return true
		}
	}
	return false
}

// isFail reports whether an expression is a call of fail.
func isFail(e syntax.Expr) bool {
	c, ok := unparen(e).(*syntax.CallExpr)
	if !ok {
		return false
	}
	id, ok := unparen(c.Fn).(*syntax.Ident)
	return ok && id.Name == "fail" && isUniversal(id)
}

// flow checks where statements lead in a resolved module.
func flow(file *syntax.File, entry bool, f *findings) {
	unreachable(file.Stmts, f)
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			unreachable(n.Body, f)
		case *syntax.IfStmt:
			unreachable(n.True, f)
			unreachable(n.False, f)
		case *syntax.ForStmt:
			unreachable(n.Body, f)
		}
		return true
	})
	if def := planDef(file); entry && def != nil {
		returnsNothing(def, f)
	}
}

// unreachable warns of the first statement behind one that is never left.
func unreachable(list []syntax.Stmt, f *findings) {
	for i, stmt := range list[:max(0, len(list)-1)] {
		if ends(stmt) {
			from, to := list[i+1].Span()
			if to.Line > from.Line {
				to = syntax.Position{} // The whole block would be too much to show.
			}
			f.span(Warning, CodeUnreachable, from, to, "this is never reached", "")
			return
		}
	}
}

// planDef gives the definition of plan() at the top level; nil where it is
// something else.
func planDef(file *syntax.File) *syntax.DefStmt {
	for _, stmt := range file.Stmts {
		if def, ok := stmt.(*syntax.DefStmt); ok && def.Name.Name == entryPoint {
			return def
		}
	}
	return nil
}

// returnsNothing reports the paths on which plan() returns None, which is a failed
// execution. It is an error where there is no other path, since a path that the
// text has may be one that no run takes.
func returnsNothing(def *syntax.DefStmt, f *findings) {
	const hint = "write return PlanResult(next_task_names = […]), or fail(\"message\")"
	var empty []*syntax.ReturnStmt
	results := 0
	walkReturns(def.Body, func(r *syntax.ReturnStmt) {
		if id, ok := r.Result.(*syntax.Ident); r.Result == nil || ok && id.Name == "None" && isUniversal(id) {
			empty = append(empty, r)
		} else {
			results++
		}
	})
	sev := Error
	if results > 0 {
		sev = Warning
	}
	for _, r := range empty {
		from, to := r.Span()
		f.span(sev, CodeReturnsNothing, from, to, "plan() returns None here, want PlanResult", hint)
	}
	if !endsAlways(def.Body) {
		from, to := def.Name.Span()
		what := "plan() may end without a return, and so return None"
		if results == 0 {
			what = "plan() returns nothing, want PlanResult"
		}
		f.span(sev, CodeReturnsNothing, from, to, what, hint)
	}
}

// walkReturns visits the return statements of a function, not those of functions
// within it.
func walkReturns(list []syntax.Stmt, visit func(*syntax.ReturnStmt)) {
	for _, stmt := range list {
		switch n := stmt.(type) {
		case *syntax.ReturnStmt:
			visit(n)
		case *syntax.IfStmt:
			walkReturns(n.True, visit)
			walkReturns(n.False, visit)
		case *syntax.ForStmt:
			walkReturns(n.Body, visit)
		case *syntax.WhileStmt:
			walkReturns(n.Body, visit)
		}
	}
}

// unusedVariables warns of local variables and loaded names that are never read.
// A name that begins with "_" is meant to be unused; those of except have another
// fault.
func unusedVariables(file *syntax.File, except map[string]bool, f *findings) {
	read := make(map[*syntax.Ident]bool)
	candidates := make(map[*syntax.Ident]string)
	var order []*syntax.Ident
	propose := func(id *syntax.Ident, what string) {
		first := bindingOf(id)
		if first == nil || id.Name[0] == '_' || candidates[first] != "" {
			return
		}
		candidates[first] = what
		order = append(order, first)
	}
	skip := make(map[*syntax.Ident]bool) // Assigned, not read.
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.AssignStmt:
			if id, ok := n.LHS.(*syntax.Ident); ok {
				skip[id] = true
				if isLocal(id) {
					propose(id, "variable")
				}
			}
		case *syntax.LoadStmt:
			for i := range n.From {
				skip[n.From[i]], skip[n.To[i]] = true, true
				propose(n.From[i], "loaded name")
				propose(n.To[i], "loaded name")
			}
		case *syntax.Ident:
			if !skip[n] {
				if first := bindingOf(n); first != nil {
					read[first] = true
				}
			}
		}
		return true
	})
	for _, first := range order {
		if !read[first] && !except[first.Name] {
			from, to := first.Span()
			f.span(Warning, CodeUnusedVariable, from, to, candidates[first]+" "+first.Name+" is never used", "")
		}
	}
}

// bindingOf is firstOf for names that load() binds too.
func bindingOf(id *syntax.Ident) *syntax.Ident {
	b, ok := id.Binding.(*resolve.Binding)
	if !ok || b.Scope == resolve.Predeclared || b.Scope == resolve.Universal || b.Scope == resolve.Undefined {
		return nil
	}
	return b.First
}
