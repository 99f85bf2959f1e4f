package check

import (
	"go.starlark.net/syntax"
)

// taskNames are the names of tasks that a module gives to next_task_names.
type taskNames struct {
	literals []*syntax.Literal
	seen     map[*syntax.Literal]bool
	// open says that there may be other names than these.
	open bool
}

// nameTasks notes the names that an expression gives to next_task_names.
func (s *solver) nameTasks(e syntax.Expr) {
	if s.final {
		s.namesIn(e, 0)
	}
}

// maxNaming bounds how far names are followed through variables.
const maxNaming = 20

func (s *solver) namesIn(e syntax.Expr, depth int) {
	if depth > maxNaming {
		s.tasks.open = true
		return
	}
	switch e := unparen(e).(type) {
	case *syntax.Literal:
		s.taskLiteral(e)
	case *syntax.ListExpr:
		s.namesInAll(e.List, depth)
	case *syntax.TupleExpr:
		s.namesInAll(e.List, depth)
	case *syntax.CondExpr:
		s.namesInAll([]syntax.Expr{e.True, e.False}, depth)
	case *syntax.BinaryExpr:
		_, isList := unparen(e.X).(*syntax.ListExpr)
		_, alsoList := unparen(e.Y).(*syntax.ListExpr)
		if e.Op == syntax.PLUS && (isList || alsoList) || e.Op == syntax.OR {
			s.namesInAll([]syntax.Expr{e.X, e.Y}, depth)
			return
		}
		s.tasks.open = true
	case *syntax.IndexExpr:
		s.namesInValues(e.X, depth)
	case *syntax.Ident:
		s.namesInVariable(e, depth)
	default:
		s.tasks.open = true
	}
}

func (s *solver) namesInAll(list []syntax.Expr, depth int) {
	for _, e := range list {
		s.namesIn(e, depth+1)
	}
}

// namesInVariable follows a variable that is assigned once. A list in it may get
// more names later.
func (s *solver) namesInVariable(id *syntax.Ident, depth int) {
	if isUniversal(id) && id.Name == "None" {
		return
	}
	values := s.assigned[firstOf(id)]
	if len(values) != 1 || values[0] == nil {
		s.tasks.open = true
		return
	}
	if _, ok := unparen(values[0]).(*syntax.Literal); !ok {
		s.tasks.open = true
	}
	s.namesIn(values[0], depth+1)
}

// namesInValues follows an index into a dict or list that is assigned once.
func (s *solver) namesInValues(x syntax.Expr, depth int) {
	s.tasks.open = true
	if id, ok := unparen(x).(*syntax.Ident); ok {
		if values := s.assigned[firstOf(id)]; len(values) == 1 && values[0] != nil {
			x = values[0]
		}
	}
	if d, ok := unparen(x).(*syntax.DictExpr); ok {
		for _, entry := range d.List {
			if entry, ok := entry.(*syntax.DictEntry); ok {
				if l, ok := unparen(entry.Value).(*syntax.Literal); ok {
					s.namesIn(l, depth+1)
				}
			}
		}
	}
}

func (s *solver) taskLiteral(l *syntax.Literal) {
	name, ok := l.Value.(string)
	if !ok || l.Token != syntax.STRING || s.tasks.seen[l] {
		return
	}
	if s.tasks.seen == nil {
		s.tasks.seen = make(map[*syntax.Literal]bool)
	}
	s.tasks.seen[l] = true
	s.tasks.literals = append(s.tasks.literals, l)
	s.checkNameLength(l, name)
}
