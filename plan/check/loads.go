package check

import (
	"fmt"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"starplan/plan"
)

// checkLoads checks what modules load from each other: names that are not there,
// and modules that load themselves. A module that is absent is a fault already.
func checkLoads(modules map[string]*module, entry string) {
	for _, m := range modules {
		eachLoad(m, func(load *syntax.LoadStmt) {
			if from := modules[load.ModuleName()]; from != nil && from.file != nil {
				m.checkNames(load, from)
			}
		})
	}
	loadCycles(modules, entry, make(map[string]int))
}

// eachLoad visits the load statements of a module.
func eachLoad(m *module, visit func(*syntax.LoadStmt)) {
	if m.file == nil {
		return
	}
	for _, stmt := range m.file.Stmts {
		if load, ok := stmt.(*syntax.LoadStmt); ok {
			visit(load)
		}
	}
}

// checkNames checks the names that one statement loads.
func (m *module) checkNames(load *syntax.LoadStmt, from *module) {
	mod, ok := from.file.Module.(*resolve.Module)
	if !ok {
		return
	}
	for _, id := range load.From {
		defined := id.Name == "" || id.Name[0] == '_' // Name resolution refuses that.
		for _, b := range mod.Globals {
			defined = defined || b.First != nil && b.First.Name == id.Name
		}
		if defined {
			continue
		}
		m.broken = true
		pos := id.NamePos
		pos.Col-- // The name begins behind the quote.
		m.findings.span(Error, plan.CodeLoad, pos, syntax.Position{}, fmt.Sprintf("cannot load %q from %q: it defines no such name", id.Name, load.ModuleName()), "")
	}
}

// States of a module in a search for cycles.
const (
	active = iota + 1
	done
)

// loadCycles reports the statements that close a cycle.
func loadCycles(modules map[string]*module, name string, state map[string]int) {
	m := modules[name]
	if m == nil || state[name] == done {
		return
	}
	state[name] = active
	eachLoad(m, func(load *syntax.LoadStmt) {
		to := load.ModuleName()
		if state[to] != active {
			loadCycles(modules, to, state)
			return
		}
		m.broken = true
		from, end := load.Module.Span()
		m.findings.span(Error, plan.CodeLoadCycle, from, end, fmt.Sprintf("cannot load %q: it loads this module, directly or through others; move what both need into a third module", to), "")
	})
	state[name] = done
}
