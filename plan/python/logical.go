package python

import (
	"slices"
	"strings"

	"starplan/plan/lex"
)

// logical is a logical line of a text: its tokens are tokens[start:end].
type logical struct {
	tokens     []lex.Token
	start, end int
}

// newLogical gives the logical line that token i lies in.
func newLogical(tokens []lex.Token, i int) logical {
	l := logical{tokens: tokens, start: i, end: i}
	for l.start > 0 && tokens[l.start-1].Kind != lex.Newline {
		l.start--
	}
	for l.end < len(tokens) && tokens[l.end].Kind != lex.Newline {
		l.end++
	}
	return l
}

// token gives a token of the line, or an empty one beyond its ends.
func (l logical) token(i int) lex.Token {
	if i < l.start || i >= l.end {
		return lex.Token{Kind: lex.Newline}
	}
	return l.tokens[i]
}

// explain says what token i, at which the parser stopped, is in Python.
func (l logical) explain(i int, msg string) (Found, bool) {
	if found, ok := l.expression(i); ok {
		return found, true
	}
	t, prev, first := l.token(i), l.token(i-1), l.token(l.start)
	switch {
	case strings.Contains(msg, "does not associate"):
		return at(Chained, t, t)
	case t.Is("@") && i == l.start:
		return at(Decorator, t, t)
	case t.Is("else") && i == l.start:
		return at(LoopElse, t, t)
	case t.Is("for"):
		return l.clause(i)
	case t.Is(",") && l.opening(i).Is("{"):
		return at(Set, l.opening(i), l.opening(i))
	case t.Is("}") && l.opening(i).Is("{"):
		return at(Set, l.opening(i), l.opening(i))
	case prev.Is("/") && first.Is("def"): // The parser has read on.
		return at(Positional, prev, prev)
	case t.Is("=") && t.Depth == 0 && l.assigned(i) && prev.Kind != lex.Operator:
		return at(ChainedAssign, t, t)
	case t.Is(":") || t.Is("->"):
		return l.colon(i)
	case prev.Is("assert") && i-1 == l.start:
		return at(Assert, prev, prev)
	case (prev.Is("print") || prev.Is("exec")) && i-1 == l.start:
		return at(Print, prev, prev)
	case (first.Is("match") || first.Is("case")) && i == l.start+1 && l.token(l.end-1).Is(":"):
		return at(Match, first, first)
	}
	return Found{}, false
}

// expression says what token i is in Python, where a token and those beside it
// tell that anywhere in an expression.
func (l logical) expression(i int) (Found, bool) {
	t, prev, next := l.token(i), l.token(i-1), l.token(i+1)
	if c, ok := keywords[t.Text]; ok && t.Kind == lex.Name {
		return at(c, t, t)
	}
	switch {
	case t.Kind == lex.String && prev.Kind == lex.Name && prev.Touches(t):
		return l.prefixed(prev, t)
	case t.Kind == lex.Name && next.Kind == lex.String && t.Touches(next):
		return l.prefixed(t, next)
	case t.Kind == lex.String && prev.Kind == lex.String:
		return at(AdjacentText, t, t)
	case t.Kind == lex.Name && prev.Kind == lex.Number && prev.Touches(t):
		return at(Underscore, prev, t)
	case t.Is("**") || t.Is("**="):
		if startsOperand(prev) {
			return at(Unpacking, t, t)
		}
		return at(Power, t, t)
	case t.Is("*") && (startsOperand(prev) || i == l.start):
		return at(Unpacking, t, t)
	case t.Is(":="):
		return at(Walrus, t, t)
	case t.Is("..."):
		return at(Ellipsis, t, t)
	}
	return Found{}, false
}

// prefixed explains a string with a prefix that Starlark does not know.
func (l logical) prefixed(prefix, text lex.Token) (Found, bool) {
	p := strings.ToLower(prefix.Text)
	switch {
	case slices.Contains([]string{"f", "fr", "rf", "t", "tr", "rt"}, p):
		return at(FString, prefix, text)
	case slices.Contains([]string{"u", "r", "b", "rb", "br"}, p):
		return at(StringPrefix, prefix, prefix)
	}
	return Found{}, false
}

// startsOperand reports whether what follows the token is an operand of an
// expression, so that a star there unpacks.
func startsOperand(t lex.Token) bool {
	return t.Kind == lex.Operator && slices.Contains([]string{"[", "{", "(", ",", "=", ":"}, t.Text) || t.Is("in") || t.Is("return")
}

// clause explains a for within an expression: a generator or a set.
func (l logical) clause(i int) (Found, bool) {
	switch open := l.opening(i); {
	case open.Is("{"):
		return at(Set, open, open)
	case open.Is("("):
		return at(Generator, l.token(i), l.token(i))
	}
	return Found{}, false
}

// colon explains a colon or an arrow where Starlark wants none.
func (l logical) colon(i int) (Found, bool) {
	t, prev, first := l.token(i), l.token(i-1), l.token(l.start)
	switch {
	case t.Is("->"):
		return at(Annotation, t, t)
	case prev.Kind != lex.Name && !prev.Is("]"):
		return Found{}, false
	case first.Is("def") && t.Depth > 0:
		return at(Annotation, t, t)
	case t.Depth == 0 && first.Kind == lex.Name && !isCompound(first.Text) && !l.hasLambda(i):
		return at(Annotation, t, t)
	}
	return Found{}, false
}

// isCompound reports whether a line that begins with the word ends with a colon.
func isCompound(word string) bool {
	return slices.Contains([]string{"if", "elif", "else", "for", "while", "def", "match", "case"}, word)
}

func (l logical) hasLambda(before int) bool {
	return slices.ContainsFunc(l.tokens[l.start:before], func(t lex.Token) bool { return t.Is("lambda") })
}

// assigned reports whether there is an assignment on the line before token i.
func (l logical) assigned(i int) bool {
	return slices.ContainsFunc(l.tokens[l.start:i], func(t lex.Token) bool { return t.Is("=") && t.Depth == 0 })
}

// opening gives the bracket that is open at token i.
func (l logical) opening(i int) lex.Token {
	depth := l.token(i).Depth
	for j := i - 1; j >= l.start; j-- {
		if t := l.tokens[j]; t.Depth == depth-1 && (t.Is("(") || t.Is("[") || t.Is("{")) {
			return t
		}
	}
	return lex.Token{Kind: lex.Newline}
}
