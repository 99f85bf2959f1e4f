// Package python recognises Python in text that is no Starlark, and says what to
// write instead.
//
// Plans are written by people who come from Python. The parser tells them "got is,
// want newline"; [Explain] tells them that there is no `is`.
package python

import (
	"strings"

	"starplan/plan/lex"
)

// Construct is something that Python has and Starlark lacks.
type Construct struct {
	// Code is a stable name, as "python-import".
	Code string
	// Message says what is wrong.
	Message string
	// Hint says what to write instead.
	Hint string
}

// Found is a construct in a text. Lines and columns count from 1, columns in
// runes; the end is the position after it.
type Found struct {
	Construct
	Line, Col, EndLine, EndCol int
}

// The constructs.
var (
	Import        = Construct{"python-import", "Starlark has no import", `PlanResult, TaskResult, json, math and time are there already; other modules come by load("lib.star", "name")`}
	Try           = Construct{"python-try", "Starlark has no try", `check a value before using it, or give a default, as json.decode(text, default=None)`}
	Raise         = Construct{"python-raise", "Starlark has no raise", `write fail("message")`}
	Class         = Construct{"python-class", "Starlark has no classes", `use struct(name = value) and functions`}
	While         = Construct{"python-while", "Starlark has no while", `write for i in range(limit) with a break`}
	With          = Construct{"python-with", "Starlark has no with", `drop it: a plan opens nothing`}
	Global        = Construct{"python-global", "Starlark has no global and no nonlocal", `pass values as arguments and return them`}
	Async         = Construct{"python-async", "Starlark has no async", `drop it: plan() runs from start to end`}
	Yield         = Construct{"python-yield", "Starlark has no yield", `build a list and return it`}
	Generator     = Construct{"python-generator", "Starlark has no generator expressions", `write a list: [x for x in xs]`}
	Assert        = Construct{"python-assert", "Starlark has no assert", `write if not condition: fail("message")`}
	Del           = Construct{"python-del", "Starlark has no del", `write d.pop(key)`}
	Decorator     = Construct{"python-decorator", "Starlark has no decorators", `call the function on the other one: f = decorate(f_plain)`}
	Annotation    = Construct{"python-annotation", "Starlark has no type annotations", `write def plan(plan_input): and name = value`}
	FString       = Construct{"python-f-string", "Starlark has no f-strings", `write "… %s" % value or "… {}".format(value)`}
	StringPrefix  = Construct{"python-string-prefix", "Starlark has no such prefix of strings", `drop it; r"…" and b"…" are there`}
	AdjacentText  = Construct{"python-adjacent-strings", "Starlark does not join strings that stand side by side", `write + between them`}
	Power         = Construct{"python-power", "Starlark has no ** operator", `multiply: x * x`}
	Is            = Construct{"python-is", "Starlark has no is", `write == or !=`}
	Walrus        = Construct{"python-walrus", "Starlark has no :=", `assign on a line of its own`}
	Unpacking     = Construct{"python-unpacking", "Starlark has no * and ** outside of calls and parameters", `write a + b for lists and a | b for dicts`}
	Set           = Construct{"python-set", "Starlark has no braces for sets", `write set([a, b])`}
	Match         = Construct{"python-match", "Starlark has no match", `write if and elif`}
	LoopElse      = Construct{"python-loop-else", "Starlark has no else after a loop", `set a variable in the loop and ask it behind the loop`}
	Positional    = Construct{"python-positional-only", "Starlark has no / in parameters", `drop it`}
	Chained       = Construct{"python-chained-comparison", "Starlark does not chain comparisons", `write a < b and b < c`}
	ChainedAssign = Construct{"python-chained-assignment", "Starlark does not chain assignments", `assign on a line each`}
	Underscore    = Construct{"python-number", "Starlark has no underscores, suffixes or imaginary parts in numbers", `write 1000 for 1_000`}
	Ellipsis      = Construct{"python-ellipsis", "Starlark has no ...", `write pass`}
	Print         = Construct{"python-print", "print is a function", `write print(value)`}
	Format        = Construct{"python-format", "Starlark formats no width and no precision", `write str(math.round(x * 100) / 100) for two digits`}
)

// Constructs lists all constructs.
func Constructs() []Construct {
	return []Construct{
		Import, Annotation, Try, Raise, FString, Class, While, Is, Power, With, Global, Yield, Format,
		AdjacentText, Assert, Async, Chained, ChainedAssign, Decorator, Del, Ellipsis, Generator, LoopElse, Match,
		Underscore, Positional, Print, Set, StringPrefix, Unpacking, Walrus,
	}
}

// keywords are the constructs that a word alone tells.
var keywords = map[string]Construct{
	"import": Import, "from": Import, "try": Try, "except": Try, "finally": Try, "raise": Raise, "class": Class,
	"while": While, "with": With, "global": Global, "nonlocal": Global, "async": Async, "await": Async, "yield": Yield,
	"assert": Assert, "del": Del, "is": Is,
}

// Explain looks for the construct of Python that made the parser stop at a
// position with a message.
func Explain(text string, line, col int, msg string) (Found, bool) {
	tokens := lex.Scan(text)
	i := offending(tokens, line, col, msg)
	if i < 0 {
		return Found{}, false
	}
	l := newLogical(tokens, i)
	if strings.HasPrefix(msg, "conditional expression without else") {
		// What stands between if and else ended the condition.
		for j := i + 1; j < l.end; j++ {
			if found, ok := l.expression(j); ok {
				return found, true
			}
		}
		return Found{}, false
	}
	return l.explain(i, msg)
}

// Place gives the position where the token begins that the parser speaks of, or
// where the last one ends if that is a newline. The parser often gives the
// position where the token ends.
func Place(text string, line, col int, msg string) (atLine, atCol int, ok bool) {
	tokens := lex.Scan(text)
	if strings.HasPrefix(msg, "got newline") {
		// What is missing belongs behind the last token, not on the next line.
		for i := len(tokens) - 1; i >= 0; i-- {
			if t := tokens[i]; t.Kind != lex.Newline && (t.EndLine < line || t.EndLine == line && t.EndCol <= col) {
				return t.EndLine, t.EndCol, true
			}
		}
	}
	i := offending(tokens, line, col, msg)
	if i < 0 || !named(tokens[i], msg) {
		return 0, 0, false
	}
	return tokens[i].Line, tokens[i].Col, true
}

// offending gives the index of the token that the parser speaks of; -1 where
// there is none. The parser gives the position where that token begins or, where
// it has read on, the one where it ends; its message says which token it got.
func offending(tokens []lex.Token, line, col int, msg string) int {
	best, bestScore := -1, 0
	for i, t := range tokens {
		score := 0
		begins := t.Line == line && t.Col == col
		ends := t.EndLine == line && t.EndCol == col
		within := t.Line == line && t.Col < col && t.EndLine == line && col < t.EndCol
		switch {
		case !begins && !ends && !within:
			continue
		case named(t, msg):
			score = 4
		case begins && t.Kind != lex.Newline:
			score = 3
		case within:
			score = 2
		default:
			score = 1
		}
		if score > bestScore {
			best, bestScore = i, score
		}
	}
	return best
}

// named reports whether a message "got X, want Y" means the token by X.
func named(t lex.Token, msg string) bool {
	got, ok := strings.CutPrefix(msg, "got ")
	if !ok {
		return false
	}
	got, _, _ = strings.Cut(got, ", want")
	switch t.Kind {
	case lex.String:
		return got == "string literal" || got == "bytes literal"
	case lex.Number:
		return got == "int literal" || got == "float literal"
	case lex.Newline:
		return got == "newline"
	case lex.Operator:
		return strings.HasPrefix(t.Text, strings.Trim(got, "'"))
	case lex.Name:
		return got == t.Text || got == "identifier" && !isKeyword(t.Text)
	}
	return false
}

func isKeyword(word string) bool {
	_, ok := keywords[word]
	return ok || word == "for" || word == "else" || word == "if"
}

// at places a construct on tokens.
func at(c Construct, from, to lex.Token) (Found, bool) {
	return Found{c, from.Line, from.Col, to.EndLine, to.EndCol}, true
}
