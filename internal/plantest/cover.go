package plantest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Coverage is how much of one file ran.
type Coverage struct {
	File string `json:"file"`
	// Covered and Lines count the lines on which a statement begins.
	Covered int     `json:"covered"`
	Lines   int     `json:"lines"`
	Percent float64 `json:"percent"`
	// Uncovered are the lines with a statement that did not run.
	Uncovered []int `json:"uncovered"`
}

// Ranges writes the uncovered lines as "3-5, 9".
func (c Coverage) Ranges() string {
	var parts []string
	for i := 0; i < len(c.Uncovered); {
		j := i
		for j+1 < len(c.Uncovered) && c.Uncovered[j+1] == c.Uncovered[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(c.Uncovered[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", c.Uncovered[i], c.Uncovered[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// coverage counts the statements of all files that are loaded while it lives. It
// is safe for concurrent use.
type coverage struct {
	mu    sync.Mutex
	files map[string]*fileCoverage
}

// fileCoverage is one file's: a place and a mark for each statement, in order of
// the syntax tree. A file that several tests load is parsed several times, into
// the same tree.
type fileCoverage struct {
	lines []int
	ran   []atomic.Bool
}

func newCoverage() *coverage { return &coverage{files: make(map[string]*fileCoverage)} }

// hookName cannot be written in a file.
const hookName = "mark statement"

// hookSteps is what a call of the hook costs: to look it up, to load its argument,
// to call it and to drop what it gives.
const hookSteps = 4

// instrument puts a call of the hook before every statement of a file, which must
// not be resolved yet, and gives the predeclared names with the hook among them.
func (c *coverage) instrument(path string, file *syntax.File, names starlark.StringDict) starlark.StringDict {
	var ins instrumenter
	file.Stmts = ins.block(file.Stmts)
	c.mu.Lock()
	fc := c.files[path]
	if fc == nil || !slices.Equal(fc.lines, ins.lines) {
		fc = &fileCoverage{lines: ins.lines, ran: make([]atomic.Bool, len(ins.lines))}
		c.files[path] = fc
	}
	c.mu.Unlock()
	with := make(starlark.StringDict, len(names)+1)
	for name, v := range names {
		with[name] = v
	}
	with[hookName] = starlark.NewBuiltin(hookName, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		i, _ := args[0].(starlark.Int).Int64()
		fc.ran[i].Store(true)
		thread.Steps -= min(thread.Steps, hookSteps)
		return starlark.None, nil
	})
	return with
}

// report gives the coverage of all files in order.
func (c *coverage) report() []Coverage {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Coverage, 0, len(c.files))
	for path, fc := range c.files {
		lines := make(map[int]bool) // Whether all statements on it ran.
		for i, line := range fc.lines {
			before, ok := lines[line]
			lines[line] = fc.ran[i].Load() && (before || !ok)
		}
		cov := Coverage{File: path, Lines: len(lines), Percent: 100, Uncovered: []int{}}
		for line, ran := range lines {
			if ran {
				cov.Covered++
			} else {
				cov.Uncovered = append(cov.Uncovered, line)
			}
		}
		slices.Sort(cov.Uncovered)
		if cov.Lines > 0 {
			cov.Percent = 100 * float64(cov.Covered) / float64(cov.Lines)
		}
		list = append(list, cov)
	}
	slices.SortFunc(list, func(a, b Coverage) int { return cmp.Compare(a.File, b.File) })
	return list
}

// instrumenter numbers statements.
type instrumenter struct{ lines []int }

// block gives the statements of a block with the calls between them.
func (ins *instrumenter) block(stmts []syntax.Stmt) []syntax.Stmt {
	out := make([]syntax.Stmt, 0, 2*len(stmts))
	for _, stmt := range stmts {
		if counts(stmt) {
			pos := syntax.Start(stmt)
			out = append(out, hookCall(pos, len(ins.lines)))
			ins.lines = append(ins.lines, int(pos.Line))
		}
		switch stmt := stmt.(type) {
		case *syntax.DefStmt:
			stmt.Body = ins.block(stmt.Body)
		case *syntax.IfStmt:
			stmt.True = ins.block(stmt.True)
			stmt.False = ins.block(stmt.False)
		case *syntax.ForStmt:
			stmt.Body = ins.block(stmt.Body)
		}
		out = append(out, stmt)
	}
	return out
}

// counts reports whether a statement does anything that a test could miss. What
// defines and loads runs with the top level; a docstring does not run.
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

func hookCall(pos syntax.Position, i int) syntax.Stmt {
	return &syntax.ExprStmt{X: &syntax.CallExpr{
		Fn:     &syntax.Ident{NamePos: pos, Name: hookName},
		Lparen: pos,
		Args:   []syntax.Expr{&syntax.Literal{Token: syntax.INT, TokenPos: pos, Raw: fmt.Sprint(i), Value: int64(i)}},
		Rparen: pos,
	}}
}
