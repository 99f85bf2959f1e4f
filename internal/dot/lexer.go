package dot

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	kindEnd kind = iota
	kindID
	kindPunct
)

// token is a name, quoted or not, or a punctuation mark.
type token struct {
	kind   kind
	text   string
	quoted bool
	pos    Pos
}

func (t token) is(punct string) bool { return t.kind == kindPunct && t.text == punct }

// keyword reports whether the token is a keyword, which DOT takes in any case.
func (t token) keyword(word string) bool {
	return t.kind == kindID && !t.quoted && strings.EqualFold(t.text, word)
}

// String gives the token as messages show it.
func (t token) String() string {
	switch {
	case t.kind == kindEnd:
		return "the end of the file"
	case len(t.text) > 40:
		return strconv.Quote(strings.ToValidUTF8(t.text[:40], "")) + "..."
	case t.kind == kindPunct:
		return t.text
	}
	return strconv.Quote(t.text)
}

type lexer struct {
	rest string
	pos  Pos
}

// next gives the next token.
func (l *lexer) next() (token, error) {
	if err := l.space(); err != nil {
		return token{}, err
	}
	t := token{pos: l.pos}
	if l.rest == "" {
		return t, nil
	}
	r, _ := utf8.DecodeRuneInString(l.rest)
	switch {
	case r == '"':
		return l.quoted()
	case strings.HasPrefix(l.rest, "->"), strings.HasPrefix(l.rest, "--"):
		t.kind, t.text = kindPunct, l.rest[:2]
	case strings.ContainsRune("{}[];,=:", r):
		t.kind, t.text = kindPunct, l.rest[:1]
	case r == '<':
		return t, &SyntaxError{l.pos, "HTML labels are not read; write a quoted label"}
	default:
		n := l.word()
		if n == 0 {
			return t, &SyntaxError{l.pos, "unexpected character " + strconv.QuoteRune(r)}
		}
		t.kind, t.text = kindID, l.rest[:n]
	}
	l.skip(len(t.text))
	return t, nil
}

// word gives the bytes of the bare name or number that comes next.
func (l *lexer) word() int {
	for i, r := range l.rest {
		// A dash begins a number, and ends any other word.
		if r != '_' && r != '.' && (r != '-' || i > 0) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return i
		}
	}
	return len(l.rest)
}

// quoted reads a string. A backslash takes only a quote; before the end of a line
// it joins lines.
func (l *lexer) quoted() (token, error) {
	t := token{kind: kindID, quoted: true, pos: l.pos}
	var text strings.Builder
	for i := 1; i < len(l.rest); i++ {
		c := l.rest[i]
		switch {
		case c == '"':
			t.text = text.String()
			l.skip(i + 1)
			return t, nil
		case c == '\\' && i+1 < len(l.rest) && l.rest[i+1] == '"':
			i++
			text.WriteByte('"')
		case c == '\\' && i+1 < len(l.rest) && l.rest[i+1] == '\n':
			i++
		default:
			text.WriteByte(c)
		}
	}
	return t, &SyntaxError{l.pos, "string is not closed"}
}

// space skips white space, comments, and lines that begin with #.
func (l *lexer) space() error {
	for l.rest != "" {
		r, size := utf8.DecodeRuneInString(l.rest)
		switch {
		case unicode.IsSpace(r) || r == '\uFEFF':
			l.skip(size)
		case strings.HasPrefix(l.rest, "//") || r == '#' && l.pos.Col == 1:
			n := strings.IndexByte(l.rest, '\n')
			if n < 0 {
				n = len(l.rest)
			}
			l.skip(n)
		case strings.HasPrefix(l.rest, "/*"):
			n := strings.Index(l.rest[2:], "*/")
			if n < 0 {
				return &SyntaxError{l.pos, "comment is not closed"}
			}
			l.skip(n + 4)
		default:
			return nil
		}
	}
	return nil
}

// skip moves on by n bytes.
func (l *lexer) skip(n int) {
	for _, r := range l.rest[:n] {
		l.pos.Col++
		if r == '\n' {
			l.pos.Line, l.pos.Col = l.pos.Line+1, 1
		}
	}
	l.rest = l.rest[n:]
}
