// Package lex splits text into tokens, whether or not it is Starlark. The
// interpreter's scanner is private and stops at the first fault; this one never
// fails, so that messages about faults can point at whole tokens.
package lex

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what a token is.
type Kind int

// The kinds of tokens.
const (
	// Name is an identifier or keyword.
	Name Kind = iota
	// Number is a number as far as Starlark takes it: "1_000" is a number and a name.
	Number
	// String is a string with its quotes, and with a prefix that Starlark knows.
	String
	// Operator is an operator, a bracket, or any other character.
	Operator
	// Newline ends a logical line: there is none within brackets.
	Newline
)

// Token is a piece of text. Lines and columns count from 1, columns in runes; the
// end is the position after the last rune.
type Token struct {
	Kind                       Kind
	Text                       string
	Line, Col, EndLine, EndCol int
	// Depth is the number of brackets that are open before the token.
	Depth int
}

// Is reports whether the token is a name or operator of that text.
func (t Token) Is(text string) bool {
	return (t.Kind == Name || t.Kind == Operator) && t.Text == text
}

// Touches reports whether next begins where t ends.
func (t Token) Touches(next Token) bool { return t.EndLine == next.Line && t.EndCol == next.Col }

// Scan gives the tokens of a text without comments and empty lines; lines end with
// "\n" in them. The last one is a Newline, unless there is none at all.
func Scan(text string) []Token {
	s := scanner{rest: unixNewlines(text), line: 1, col: 1}
	for s.rest != "" {
		s.next()
	}
	s.newline()
	return s.tokens
}

// Lines splits a text where the interpreter counts a line: a line ends with "\n",
// "\r\n" or "\r", none of which it holds.
func Lines(text string) []string { return strings.Split(unixNewlines(text), "\n") }

func unixNewlines(text string) string {
	if !strings.Contains(text, "\r") {
		return text
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
}

// operators are those of more than one character, Python's too, the longer first.
var operators = []string{
	"**=", "//=", "...", "<<=", ">>=",
	"**", "//", "->", ":=", "<>", "!=", "==", "<=", ">=", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", "&&", "||", "++", "--",
}

type scanner struct {
	rest      string
	line, col int
	depth     int
	tokens    []Token
}

// next takes one token, or what lies between tokens.
func (s *scanner) next() {
	r, size := utf8.DecodeRuneInString(s.rest)
	switch {
	case r == '\n':
		if s.depth == 0 {
			s.newline()
		}
		s.skip(1)
	case unicode.IsSpace(r):
		s.skip(size)
	case r == '#':
		n := strings.IndexByte(s.rest, '\n')
		if n < 0 {
			n = len(s.rest)
		}
		s.skip(n)
	case strings.HasPrefix(s.rest, "\\\n"):
		s.skip(2)
	case r == '"' || r == '\'':
		s.put(String, stringLength(s.rest))
	case r >= '0' && r <= '9' || r == '.' && len(s.rest) > 1 && s.rest[1] >= '0' && s.rest[1] <= '9':
		s.put(Number, numberLength(s.rest))
	case isLetter(r):
		s.name()
	default:
		s.operator(size)
	}
}

// name takes an identifier, or a string whose prefix it is.
func (s *scanner) name() {
	n := len(s.rest)
	for i, r := range s.rest {
		if !isLetter(r) && !unicode.IsDigit(r) {
			n = i
			break
		}
	}
	prefix := s.rest[:n]
	if (prefix == "r" || prefix == "b" || prefix == "rb") && n < len(s.rest) && (s.rest[n] == '"' || s.rest[n] == '\'') {
		s.put(String, n+stringLength(s.rest[n:]))
		return
	}
	s.put(Name, n)
}

func (s *scanner) operator(size int) {
	for _, op := range operators {
		if strings.HasPrefix(s.rest, op) {
			size = len(op)
			break
		}
	}
	text := s.rest[:size]
	s.put(Operator, size)
	switch text {
	case "(", "[", "{":
		s.depth++
	case ")", "]", "}":
		s.depth = max(0, s.depth-1)
	}
}

// newline ends a logical line, unless it is empty.
func (s *scanner) newline() {
	if n := len(s.tokens); n > 0 && s.tokens[n-1].Kind != Newline {
		s.tokens = append(s.tokens, Token{Kind: Newline, Text: "\n", Line: s.line, Col: s.col, EndLine: s.line, EndCol: s.col})
	}
}

// put takes the next n bytes as a token.
func (s *scanner) put(kind Kind, n int) {
	t := Token{Kind: kind, Text: s.rest[:n], Line: s.line, Col: s.col, Depth: s.depth}
	s.skip(n)
	t.EndLine, t.EndCol = s.line, s.col
	s.tokens = append(s.tokens, t)
}

// skip moves on by n bytes.
func (s *scanner) skip(n int) {
	for _, r := range s.rest[:n] {
		s.col++
		if r == '\n' {
			s.line, s.col = s.line+1, 1
		}
	}
	s.rest = s.rest[n:]
}

func isLetter(r rune) bool { return r == '_' || unicode.IsLetter(r) }

// stringLength gives the bytes of the string that text begins with. One that is
// not closed ends with its line, or with the text if its quotes are triple. A raw
// string has no escapes, but a quote after a backslash does not close it either.
func stringLength(text string) int {
	quote, triple := text[:1], false
	if strings.HasPrefix(text, strings.Repeat(quote, 3)) {
		quote, triple = text[:3], true
	}
	for i := len(quote); i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '\n' && !triple:
			return i
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		}
	}
	return len(text)
}

// numberLength gives the bytes of the number that text begins with: digits, a
// point, an exponent with its sign, or a prefix as 0x with its digits.
func numberLength(text string) int {
	i := 0
	if len(text) > 2 && text[0] == '0' && strings.ContainsRune("xXoObB", rune(text[1])) {
		i = 2
		for i < len(text) && isHex(text[i]) {
			i++
		}
		return i
	}
	digits := func() {
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			i++
		}
	}
	digits()
	if i < len(text) && text[i] == '.' {
		i++
		digits()
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		digits()
	}
	return i
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
