package check

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"starplan/plan"
	"starplan/plan/predeclared"
)

// module is one module of a plan that is checked.
type module struct {
	findings *findings
	file     *syntax.File // Nil where it does not parse.
	// broken says that the plan cannot be loaded because of the module.
	broken bool
	// bounded says that the top level costs nothing.
	bounded bool
	tasks   taskNames
}

// checkModule checks what one module's text alone tells.
func checkModule(u unit, name, text string, entry bool) *module {
	m := &module{findings: moduleFindings(u.dir, name, u.label, text)}
	f := m.findings
	file, err := plan.Parse(name, text)
	var fault *plan.LoadError
	if errors.As(err, &fault) {
		m.broken = true
		f.fault(fault)
		return m
	}
	if isTest(name) {
		return m // Tests have names of their own.
	}
	m.file = file
	for _, fault := range plan.Resolve(file) {
		m.broken = true
		f.fault(fault)
	}
	isEntry := entry && !u.module
	s := newSolver(file, isEntry, f)
	s.run()
	m.tasks = s.tasks
	inexactMath(file, f)
	flow(file, isEntry, f)
	unusedVariables(file, unassigned(file, f), f)
	recursion(file, f)
	m.bounded = !m.broken && bounded(file)
	return m
}

// signature checks that the module defines a function of one argument.
func (m *module) signature(name string) {
	if m.file == nil {
		return
	}
	mod, ok := m.file.Module.(*resolve.Module)
	if !ok {
		return
	}
	defined := false
	for _, b := range mod.Globals {
		defined = defined || b.First != nil && b.First.Name == name
	}
	if def := planDef(m.file); def != nil {
		if params, ok := takesOne(def.Params); !ok {
			m.broken = true
			m.findings.add(Finding{
				Severity: Error, Code: plan.CodeArity, Line: int(def.Name.NamePos.Line), Col: int(def.Name.NamePos.Col),
				Message: fmt.Sprintf("plan() must take one argument, plan_input: got def plan(%s)", params),
			})
		}
	}
	// Where nothing else is wrong, loading the plan says more.
	if !defined && m.broken {
		m.findings.add(Finding{
			Severity: Error, Code: plan.CodeMissingPlan, Line: 1, Col: 1, EndLine: 1, EndCol: 2,
			Message: "no function plan(plan_input) is defined",
		})
	}
}

// takesOne writes the parameters of a function and reports whether it can be
// called with one positional argument.
func takesOne(params []syntax.Expr) (text string, ok bool) {
	var names []string
	required, positional, keyword := 0, 0, false
	missing := false
	for _, p := range params {
		switch p := p.(type) {
		case *syntax.Ident:
			names = append(names, p.Name)
			if keyword {
				missing = true
			} else {
				required++
				positional++
			}
		case *syntax.BinaryExpr:
			if id, ok := p.X.(*syntax.Ident); ok {
				names = append(names, id.Name+"=…")
			}
			if !keyword {
				positional++
			}
		case *syntax.UnaryExpr:
			name := p.Op.String()
			if id, ok := p.X.(*syntax.Ident); ok {
				name += id.Name
				if p.Op == syntax.STAR {
					positional++
				}
			}
			keyword = keyword || p.Op == syntax.STAR
			names = append(names, name)
		}
	}
	return strings.Join(names, ", "), required <= 1 && positional >= 1 && !missing
}

// inexactMath finds the uses of math.exp and its like in a resolved file.
func inexactMath(file *syntax.File, f *findings) {
	syntax.Walk(file, func(n syntax.Node) bool {
		dot, ok := n.(*syntax.DotExpr)
		if !ok || !predeclared.InexactMath(dot.Name.Name) {
			return true
		}
		if id, ok := dot.X.(*syntax.Ident); ok && id.Name == "math" && isPredeclared(id) {
			from, to := dot.Name.Span()
			f.span(Error, CodeInexactMath, from, to, fmt.Sprintf("math.%s %s", dot.Name.Name, predeclared.InexactMathReason), "")
		}
		return true
	})
}

// recursion warns of functions that call themselves.
func recursion(file *syntax.File, f *findings) {
	syntax.Walk(file, func(n syntax.Node) bool {
		def, ok := n.(*syntax.DefStmt)
		if !ok {
			return true
		}
		own := firstOf(def.Name)
		for _, stmt := range def.Body {
			syntax.Walk(stmt, func(n syntax.Node) bool {
				if c, ok := n.(*syntax.CallExpr); ok {
					if id, ok := c.Fn.(*syntax.Ident); ok && own != nil && firstOf(id) == own {
						from, to := id.Span()
						f.span(Warning, CodeRecursion, from, to, def.Name.Name+" calls itself, which Starlark does not allow", "write a loop over a list of what is left to do")
					}
				}
				return true
			})
		}
		return true
	})
}
