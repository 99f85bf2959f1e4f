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
