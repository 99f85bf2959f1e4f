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
		}
		if !strings.ContainsRune("%srdioxXeEfFgGc", rune(rest[0])) {
			s.formatFault(e.X, "%"+conversion(rest))
			return
		}
		i++
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
