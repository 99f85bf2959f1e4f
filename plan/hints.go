package plan

import (
	"regexp"
	"strings"

	"starplan/plan/predeclared"
)

// pythonism is a construct of Python that Starlark lacks.
type pythonism struct {
	line *regexp.Regexp
	hint string
}

// pythonisms are tried in order on the line of a parse error.
var pythonisms = []pythonism{
	{regexp.MustCompile(`^\s*(import|from)\b`), `Starlark has no import: PlanResult, TaskResult, json, math and time are there already, other modules come by load("lib.star", "name")`},
	{regexp.MustCompile(`^\s*(try|except|finally)\b`), `Starlark has no try: check a value before using it, or give a default, as json.decode(text, default=None)`},
	{regexp.MustCompile(`^\s*raise\b`), `Starlark has no raise: write fail("message")`},
	{regexp.MustCompile(`^\s*class\b`), `Starlark has no classes: use struct(name = value) and functions`},
	{regexp.MustCompile(`^\s*while\b`), `Starlark has no while: write for i in range(limit) with a break`},
	{regexp.MustCompile(`^\s*(async\s+)?with\b`), `Starlark has no with: a plan opens nothing`},
	{regexp.MustCompile(`^\s*(global|nonlocal)\b`), `Starlark has no global: pass values as arguments and return them`},
	{regexp.MustCompile(`^\s*(async\b|.*\bawait\b)`), `Starlark has no async: plan() runs from start to end`},
	{regexp.MustCompile(`\byield\b`), `Starlark has no generators: build a list and return it`},
	{regexp.MustCompile(`^\s*assert\b`), `Starlark has no assert: write if not condition: fail("message")`},
	{regexp.MustCompile(`^\s*del\b`), `Starlark has no del: write d.pop(key)`},
	{regexp.MustCompile(`^\s*@`), `Starlark has no decorators: call the function on the other one`},
	{regexp.MustCompile(`^\s*def\b.*(->|\(.*:.*\).*:)`), `Starlark has no type annotations: write def plan(plan_input):`},
	{regexp.MustCompile(`\b[fF][rR]?["']|\b[rR][fF]["']`), `Starlark has no f-strings: write "… %s" % value or "… {}".format(value)`},
	{regexp.MustCompile(`\*\*`), `Starlark has no ** operator: multiply`},
	{regexp.MustCompile(`\bis\b`), `Starlark has no is: write == or !=`},
	{regexp.MustCompile(`:=`), `Starlark has no :=: assign on a line of its own`},
	{regexp.MustCompile(`^\s*\w+\s*:\s*\w[\w\[\], .]*=`), `Starlark has no type annotations: write name = value`},
}

// hint says what to write instead of the Python on a line, or "".
func hint(text string, line int) string {
	lines := strings.SplitN(text, "\n", line+1)
	if line < 1 || line > len(lines) {
		return ""
	}
	for _, p := range pythonisms {
		if p.line.MatchString(lines[line-1]) {
			return p.hint
		}
	}
	return ""
}

// resolveHint says what to write instead of what name resolution refuses, or "".
func resolveHint(msg string) string {
	switch {
	case strings.Contains(msg, "while loops"):
		return `Starlark has no while: write for i in range(limit) with a break`
	case strings.Contains(msg, "cannot reassign"):
		return `a top-level name is assigned once: use another name, or do the work in a function`
	}
	return undefinedHints[undefinedName(msg)]
}

// undefinedName takes the name out of "undefined: name (did you mean other?)".
func undefinedName(msg string) string {
	name, _ := strings.CutPrefix(msg, "undefined: ")
	name, _, _ = strings.Cut(name, " ")
	return name
}

// withSuggestion improves the resolver's "did you mean": that knows the names of
// the file, but not the predeclared ones.
func withSuggestion(msg string) string {
	name := undefinedName(msg)
	own := ""
	if _, rest, ok := strings.Cut(msg, " (did you mean "); ok {
		own = strings.TrimSuffix(rest, "?)")
	}
	best, least := own, max(1, len(name)/3)+1
	if own != "" {
		least = distance(name, own)
	}
	for _, candidate := range predeclared.Values().Keys() {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == own {
		return msg
	}
	return "undefined: " + name + " (did you mean " + best + "?)"
}

// distance is the number of characters to insert, delete or replace to turn one
// name into another, where case does not count.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// undefinedHints are for names of Python that Starlark lacks.
var undefinedHints = map[string]string{
	"Exception":  `Starlark has no exceptions: write fail("message")`,
	"isinstance": `write type(x) == "string"`,
	"sum":        `add in a for loop`,
	"open":       `a plan opens no files`,
	"super":      `Starlark has no classes`,
	"__name__":   `a plan is called by its function plan; drop the main block`,
	"map":        `write [f(x) for x in xs]`,
	"filter":     `write [x for x in xs if f(x)]`,
	"round":      `write math.round(x)`,
	"pow":        `multiply`,
	"Optional":   `Starlark has no type annotations`,
	"List":       `Starlark has no type annotations`,
	"Dict":       `Starlark has no type annotations`,
}
