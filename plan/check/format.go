package check

import (
	"fmt"
	"regexp"
	"strings"

	"go.starlark.net/syntax"

	"starplan/plan/python"
)

// checkPercent checks a format that stands to the left of %.
func (s *solver) checkPercent(e *syntax.BinaryExpr) {
	format, ok := stringLiteral(e.X)
	if !ok || !s.final {
		return
	}
	verbs, keyed := "", false
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		rest := format[i+1:]
		if rest == "" {
			s.report(Error, CodeWrongType, e.X, "write %% for a percent sign", "incomplete format")
			return
		}
		if rest[0] == '(' {
			end := strings.IndexByte(rest, ')')
			if end < 0 || end+1 >= len(rest) {
				s.report(Error, CodeWrongType, e.X, "write %(name)s", "incomplete format key")
				return
			}
			i += end + 1
			rest = rest[end+1:]
			keyed = true
		}
		if !strings.ContainsRune("%srdioxXeEfFgGc", rune(rest[0])) {
			s.formatFault(e.X, "%"+conversion(rest))
			return
		}
		if rest[0] != '%' {
			verbs += rest[:1]
		}
		i++
	}
	if !keyed {
		s.checkOperands(e, verbs)
	}
}

// checkOperands compares the values behind % with the conversions before it.
func (s *solver) checkOperands(e *syntax.BinaryExpr, verbs string) {
	operands := []syntax.Expr{e.Y}
	if t, ok := unparen(e.Y).(*syntax.TupleExpr); ok {
		operands = t.List
	} else if t := settle(s.eval(e.Y)); t.nullable || !t.kind.isScalar() && t.kind != kindMessage && t.kind != kindList && t.kind != kindRepeated {
		return // It may be a tuple, or a dict.
	}
	if len(operands) != len(verbs) {
		few := "many"
		if len(operands) < len(verbs) {
			few = "few"
		}
		s.report(Error, CodeWrongType, e, "write %% for a percent sign", "too %s values for the format: got %d, want %d", few, len(operands), len(verbs))
		return
	}
	for i, x := range operands {
		t := settle(s.eval(x))
		if !strings.ContainsRune("dioxX", rune(verbs[i])) || t.nullable {
			continue
		}
		if t.kind == kindString || t.kind == kindBytes || t.kind == kindNone || t.kind == kindMessage || t.kind == kindList || t.kind == kindRepeated {
			s.report(Error, CodeWrongType, x, "write %s", "got %s for %%%s, want int", t, verbs[i:i+1])
		}
	}
}

// conversion gives what a conversion of Python consists of.
func conversion(rest string) string {
	return regexp.MustCompile(`^[-#0 +]*[0-9*]*(\.[0-9*]*)?[a-zA-Z]?`).FindString(rest)
}

// formatFault reports a conversion that Starlark lacks.
func (s *solver) formatFault(e syntax.Expr, what string) {
	s.report(Error, python.Format.Code, e, python.Format.Hint, "%s: %q", python.Format.Message, what)
}

// checkFormat checks the text whose method format is called.
func (s *solver) checkFormat(c *syntax.CallExpr) {
	dot, ok := unparen(c.Fn).(*syntax.DotExpr)
	if !ok || !s.final {
		return
	}
	format, ok := stringLiteral(dot.X)
	if !ok {
		return
	}
	for _, field := range regexp.MustCompile(`\{([^{}]*)\}`).FindAllStringSubmatch(strings.NewReplacer("{{", "", "}}", "").Replace(format), -1) {
		if _, spec, ok := strings.Cut(field[1], ":"); ok && spec != "" {
			s.formatFault(dot.X, fmt.Sprintf("{%s}", field[1]))
			return
		}
	}
}
