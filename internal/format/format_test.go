package format_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"starplan/internal/format"
	"starplan/plan"
)

func TestSource(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"spaces", "x=1\ny  =  [ 1,2 ]\n", "x = 1\ny = [1, 2]\n"},
		{"keyword arguments", "def plan(plan_input):\n  return PlanResult(next_task_names=['a'])\n",
			"def plan(plan_input):\n    return PlanResult(next_task_names = [\"a\"])\n"},
		{"loads keep their order", "x = 1\nload('b.star','z','a')\nload('a.star','b')\n", "x = 1\n\nload(\"b.star\", \"z\", \"a\")\nload(\"a.star\", \"b\")\n"},
		{"arguments keep theirs", "f(b=g(),a=h())\n", "f(b = g(), a = h())\n"},
		{"octal stays octal", "x=0o17\n", "x = 0o17\n"},
		{"comments", "# top\n\nx=1 # why\n# end\n", "# top\n\nx = 1  # why\n# end\n"},
		{"no newline at the end", "x=1", "x = 1\n"},
		{"carriage returns", "x=1\r\ny=2\r\n", "x = 1\ny = 2\n"},
		{"docstring untouched", "def f():\n  \"\"\"One.\n\n  Two.  \n  \"\"\"\n  return 1\n", "def f():\n    \"\"\"One.\n\n  Two.  \n  \"\"\"\n    return 1\n"},
		{"lists not sorted", "x = [\n    # keep sorted\n    'b',\n    'a',\n]\n", "x = [\n    # keep sorted\n    \"b\",\n    \"a\",\n]\n"},
		{"empty call", "x = f(\n)\n", "x = f()\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := format.Source("a.star", []byte(test.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("Source differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"import", "import json\n", "a.star:1:1: "},
		{"annotation, which only one parser takes", "def f(x: int):\n    return x\n", "a.star:1:"},
		{"bytes, which only the other takes", "x = 1\ny = b'a'\n", "a.star:2:9: the formatter cannot read this: "},
		{"not text", "x = '\xff'\n", "a.star: text is not valid UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := format.Source("a.star", []byte(test.in))
			var fault *plan.LoadError
			if !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("Source = %q, %v, want an error that begins with %q", got, err, test.want)
			}
		})
	}
}

// TestSamples formats every Starlark file of the project: to format twice is to
// format once.
func TestSamples(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../scripts/*/*.star", "../../*/testdata/*.star"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no files: %v", pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var fault *plan.LoadError
		once, err := format.Source(file, text)
		if errors.As(err, &fault) {
			continue // Test data holds chunks of wrong code too.
		}
		if err != nil {
			t.Error(err)
			continue
		}
		twice, err := format.Source(file, once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s: formatted twice: %v\n%s", file, err, cmp.Diff(string(once), string(twice)))
		}
	}
}

// TestCommentsSurvive puts a comment at every place of a file where one may be.
func TestCommentsSurvive(t *testing.T) {
	const text = `load("a.star", "f")
def plan(plan_input):
    x = [
        1,
        f(2,
          b=3),
    ]
    if x and (
        f or
        plan_input):
        return {
            "a": x,
        }
    elif not x:
        pass
    else:
        x += [y for y in x
              if y]
    return x
`
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range lines {
		for _, own := range []bool{false, true} {
			with := append([]string(nil), lines...)
			if own {
				with[i] += "\n    # Remark."
			} else {
				with[i] += " # Remark."
			}
			in := strings.Join(with, "\n") + "\n"
			got, err := format.Source("a.star", []byte(in))
			if err != nil || strings.Count(string(got), "# Remark.") != 1 {
				t.Errorf("Source(\n%s) =\n%s%v\nwant the remark once", in, got, err)
			}
		}
	}
}

// TestAnyProgram formats generated programs; Source itself compares the meaning.
func TestAnyProgram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := program(t)
		once, err := format.Source("a.star", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		twice, err := format.Source("a.star", once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable: %v\n%s\nonce:\n%s\ntwice:\n%s", err, text, once, twice)
		}
	})
}

func program(t *rapid.T) string {
	var b strings.Builder
	for range rapid.IntRange(1, 4).Draw(t, "functions") {
		b.WriteString("def " + ident(t) + "(" + rapid.SampledFrom([]string{"", "a", "a,b=1", "*a", "a,*,b", "**k"}).Draw(t, "params") + "):\n")
		block(t, &b, 1, 3)
	}
	return b.String()
}

func block(t *rapid.T, b *strings.Builder, level, depth int) {
	indent := strings.Repeat("  ", level)
	for range rapid.IntRange(1, 3).Draw(t, "statements") {
		kind := rapid.IntRange(0, 6).Draw(t, "statement")
		if depth == 0 {
			kind %= 4
		}
		b.WriteString(indent)
		switch kind {
		case 0:
			b.WriteString(ident(t) + rapid.SampledFrom([]string{"=", " +=", "//= "}).Draw(t, "assign") + expr(t, 3))
		case 1:
			b.WriteString("return " + expr(t, 3))
		case 2:
			b.WriteString(ident(t) + "," + ident(t) + "=" + expr(t, 2))
		case 3:
			b.WriteString(expr(t, 3) + rapid.SampledFrom([]string{"", " # remark", "\n\n" + indent + "# remark"}).Draw(t, "comment"))
		case 4:
			b.WriteString("if " + expr(t, 2) + ":\n")
			block(t, b, level+1, depth-1)
			b.WriteString(indent + "else:\n")
			block(t, b, level+1, depth-1)
			continue
		case 5:
			b.WriteString("for " + ident(t) + " in " + expr(t, 2) + ":\n")
			block(t, b, level+1, depth-1)
			continue
		case 6:
			b.WriteString("def " + ident(t) + "(x):\n")
			block(t, b, level+1, depth-1)
			continue
		}
		b.WriteString("\n")
	}
}

func ident(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "plan", "task_name"}).Draw(t, "name")
}

func expr(t *rapid.T, depth int) string {
	sub := func() string { return expr(t, depth-1) }
	kind := rapid.IntRange(0, 14).Draw(t, "expression")
	if depth == 0 {
		kind %= 3
	}
	switch kind {
	case 0:
		return ident(t)
	case 1:
		return rapid.SampledFrom([]string{"0", "007"[2:], "0x1F", "1.", ".5", "1e+10", "1E5", "123456789012345678901234567890", "None"}).Draw(t, "number")
	case 2:
		return rapid.SampledFrom([]string{`'a'`, `"it's"`, `'say "x"'`, `"""a
b"""`, `r'\d'`, `"\\n\t\x41é"`, `''`}).Draw(t, "string")
	case 3:
		return "(" + sub() + ")"
	case 4:
		op := rapid.SampledFrom([]string{"+", " - ", "*", "//", "%", " and ", " or ", "|", "<<"}).Draw(t, "operator")
		return "(" + sub() + ")" + op + "(" + sub() + ")"
	case 5:
		return "not " + ident(t)
	case 6:
		return "-" + ident(t)
	case 7:
		return "[" + sub() + ", " + sub() + rapid.SampledFrom([]string{"", ",", "\n,"}).Draw(t, "comma") + "]"
	case 8:
		return "{" + sub() + ":" + sub() + "}"
	case 9:
		return ident(t) + "(" + sub() + ",\n k=" + sub() + ", *" + ident(t) + ")"
	case 10:
		return "[" + ident(t) + " for " + ident(t) + " in " + ident(t) + " if " + ident(t) + "]"
	case 11:
		return "(" + sub() + " if " + sub() + " else " + sub() + ")"
	case 12:
		return "(lambda x, y=1: " + sub() + ")"
	case 13:
		return ident(t) + "[1:" + ident(t) + "]"
	default:
		return "(" + sub() + ",)"
	}
}

// FuzzSource formats any text. What it gives is Starlark again, and is left alone the
// second time; that it means the same is what Source itself finds out.
func FuzzSource(f *testing.F) {
	for _, text := range []string{
		"def plan(plan_input):\n  return PlanResult(next_task_names=['a'])  # why\n",
		"x=[\n1,\n2]\nload('a.star',b='c')\nif x : y = lambda *a,**k:a\nelse: pass\n",
		"\"\"\"doc\"\"\"\r\nx = r'\\d' + \"\\x41\"\nfor a,(b) in{1:2,}.items():\n\tcontinue\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := format.Source("a.star", []byte(text))
		if err != nil {
			return // It refuses, and nothing is changed.
		}
		if _, err := plan.Parse("a.star", string(once)); err != nil {
			t.Fatalf("the result does not parse: %v\n%s", err, once)
		}
		twice, err := format.Source("a.star", once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable: %v\nonce:\n%s\ntwice:\n%s", err, once, twice)
		}
	})
}
