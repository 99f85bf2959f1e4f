package check

import (
	"go.starlark.net/resolve"
	"go.starlark.net/syntax"
)

// unassigned reports variables of functions that are only ever changed, as by
// `n += 1`, and so have no value to begin with. Those who write it mean a variable
// around the function, which a function cannot assign to. It gives their names.
func unassigned(file *syntax.File, f *findings) map[string]bool {
	grown := make(map[*syntax.Ident]*syntax.Ident) // Where a variable is changed first.
	assigned := make(map[*syntax.Ident]bool)
	var order []*syntax.Ident
	assign := func(ids []*syntax.Ident) {
		for _, id := range ids {
			assigned[firstOf(id)] = true
		}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.AssignStmt:
			id, ok := n.LHS.(*syntax.Ident)
			if !ok || n.Op == syntax.EQ {
				assign(targets(n.LHS))
				break
			}
			if first := firstOf(id); first != nil && isLocal(id) && grown[first] == nil {
				grown[first] = id
				order = append(order, first)
			}
		case *syntax.ForStmt:
			assign(targets(n.Vars))
		case *syntax.ForClause:
			assign(targets(n.Vars))
		case *syntax.DefStmt:
			assign([]*syntax.Ident{n.Name})
			assign(parameters(n.Params))
		case *syntax.LambdaExpr:
			assign(parameters(n.Params))
		}
		return true
	})
	names := make(map[string]bool)
	for _, first := range order {
		if assigned[first] {
			continue
		}
		id := grown[first]
		names[id.Name] = true
		from, to := id.Span()
		f.span(Error, CodeUnassigned, from, to, "variable "+id.Name+" is changed here and assigned nowhere in this function",
			"a function cannot change the variables around it: return the value, or keep it in a list or dict")
	}
	return names
}

// isLocal reports whether a name is a variable of the function that it stands in.
func isLocal(id *syntax.Ident) bool {
	b, ok := id.Binding.(*resolve.Binding)
	return ok && (b.Scope == resolve.Local || b.Scope == resolve.Cell)
}

// parameters lists the variables that parameters bind.
func parameters(params []syntax.Expr) []*syntax.Ident {
	var ids []*syntax.Ident
	for _, p := range params {
		ids = append(ids, paramName(p)...)
	}
	return ids
}
