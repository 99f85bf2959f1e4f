package lex_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starplan/plan/lex"
)

func TestLines(t *testing.T) {
	got := lex.Lines("a\nb\r\nc\rd\r\re\n")
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "", "e", ""}, got); diff != "" {
		t.Errorf("Lines (-want +got):\n%s", diff)
	}
	tokens := lex.Scan("a\rb")
	if len(tokens) != 4 || tokens[2].Line != 2 || tokens[2].Col != 1 {
		t.Errorf("Scan = %+v, want b at 2:1", tokens)
	}
}

func TestScan(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"# only a comment\n\n", ""},
		{"x = 1\ny", `1:1-1:2 "x" 1:3-1:4 "=" 1:5-1:6 "1" NL 2:1-2:2 "y" NL`},
		{"f(a,\n  b) # c\n", `1:1-1:2 "f" 1:2-1:3 "(" 1:3-1:4 "a" 1:4-1:5 "," 2:3-2:4 "b" 2:4-2:5 ")" NL`},
		{"a \\\n b", `1:1-1:2 "a" 2:2-2:3 "b" NL`},
		{"f'x' rb'y\\'z' u\"\"", `1:1-1:2 "f" 1:2-1:5 "'x'" 1:6-1:14 "rb'y\\'z'" 1:15-1:16 "u" 1:16-1:18 "\"\"" NL`},
		{"'''a\n'b''' 'open\nx", `1:1-2:6 "'''a\n'b'''" 2:7-2:12 "'open" NL 3:1-3:2 "x" NL`},
		{"a**b//=c->d:=...", `1:1-1:2 "a" 1:2-1:4 "**" 1:4-1:5 "b" 1:5-1:8 "//=" 1:8-1:9 "c" 1:9-1:11 "->" 1:11-1:12 "d" 1:12-1:14 ":=" 1:14-1:17 "..." NL`},
		{"1_000 0x1fg 1.5e-3j .5", `1:1-1:2 "1" 1:2-1:6 "_000" 1:7-1:11 "0x1f" 1:11-1:12 "g" 1:13-1:19 "1.5e-3" 1:19-1:20 "j" 1:21-1:23 ".5" NL`},
		{"é = 'ü'; x", `1:1-1:2 "é" 1:3-1:4 "=" 1:5-1:8 "'ü'" 1:8-1:9 ";" 1:10-1:11 "x" NL`},
		{"a)\nb", `1:1-1:2 "a" 1:2-1:3 ")" NL 2:1-2:2 "b" NL`},
	} {
		var got []string
		for _, tok := range lex.Scan(test.text) {
			if tok.Kind == lex.Newline {
				got = append(got, "NL")
				continue
			}
			got = append(got, fmt.Sprintf("%d:%d-%d:%d %q", tok.Line, tok.Col, tok.EndLine, tok.EndCol, tok.Text))
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("Scan(%q) (-want +got):\n%s", test.text, diff)
		}
	}
}

// FuzzScan checks that no text is lost: between tokens there are only white space
// and comments, and a backslash.
func FuzzScan(f *testing.F) {
	f.Add("def f(x = 'a', *y):\n    return rb\"\\\"\" # c\n")
	f.Add("'''a\n 1_0 \\\n ...\xff")
	f.Fuzz(func(t *testing.T, text string) {
		rest := strings.Join(lex.Lines(text), "\n")
		line, col := 1, 0
		for _, tok := range lex.Scan(text) {
			if tok.Line < line || tok.Line == line && tok.Col < col || tok.EndLine < tok.Line {
				t.Fatalf("%q: token %+v is out of order", text, tok)
			}
			line, col = tok.EndLine, tok.EndCol
			if tok.Kind == lex.Newline {
				continue
			}
			_, after, ok := strings.Cut(rest, tok.Text)
			if !ok || tok.Text == "" {
				t.Fatalf("%q: token %+v is not in the text", text, tok)
			}
			rest = after
		}
	})
}
