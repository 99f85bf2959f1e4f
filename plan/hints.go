package plan

import (
	"strings"

	"starplan/plan/predeclared"
)

// resolveHint says what to write instead of what name resolution refuses, or "".
func resolveHint(msg string) string {
	switch {
	case strings.Contains(msg, "cannot reassign"):
		return `a top-level name is assigned once: use another name, or do the work in a function`
	}
	return undefinedHints[undefinedName(msg)]
}

// parseHint says what to write instead of what the parser stopped at, or "".
func parseHint(msg string) string {
	switch msg {
	case "got '=', want ':'", "got '=', want ')'", "got '=', want ']'":
		return "to compare, write =="
	}
	return ""
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

const noExceptions = `Starlark has no exceptions: write fail("message")`

// undefinedHints are for names of Python that Starlark lacks.
var undefinedHints = map[string]string{
	"Exception":           noExceptions,
	"ValueError":          noExceptions,
	"KeyError":            noExceptions,
	"TypeError":           noExceptions,
	"IndexError":          noExceptions,
	"RuntimeError":        noExceptions,
	"NotImplementedError": noExceptions,
	"datetime":            `write time.now(), which is the record's timestamp`,
	"re":                  `Starlark has no regular expressions: use methods of strings, as startswith, find and split`,
	"logging":             `write print(value)`,
	"random":              `a plan gives the same for the same input: there is no chance`,
	"uuid":                `a plan gives the same for the same input: there is no chance`,
	"os":                  `a plan sees its input only`,
	"sys":                 `a plan sees its input only`,
	"divmod":              `write a // b and a % b`,
	"frozenset":           `write set(xs)`,
	"hex":                 `write "%x" % n`,
	"oct":                 `write "%o" % n`,
	"next":                `write xs[0], behind a question whether there is one`,
	"iter":                `loop over the value itself`,
	"callable":            `write type(f) == "function"`,
	"deepcopy":            `write list(xs) or dict(d)`,
	"setattr":             `write x.name = value`,
	"isinstance":          `write type(x) == "string"`,
	"sum":                 `add in a loop: for x in xs: total += x`,
	"open":                `a plan opens no files`,
	"super":               `Starlark has no classes`,
	"__name__":            `a plan is called by its function plan; drop the main block`,
	"map":                 `write [f(x) for x in xs]`,
	"filter":              `write [x for x in xs if f(x)]`,
	"round":               `write math.round(x)`,
	"pow":                 `multiply`,
	"Optional":            `Starlark has no type annotations`,
	"List":                `Starlark has no type annotations`,
	"Dict":                `Starlark has no type annotations`,
}
