package format

import "testing"

// TestKeeps holds the proof to what it must and must not tell apart: the printer
// gives it nothing to refuse.
func TestKeeps(t *testing.T) {
	for _, test := range []struct {
		name, before, after string
		same                bool
	}{
		{"spaces", "x=1", "x = 1", true},
		{"parentheses", "x = (a * b) + c", "x = a * b + c", true},
		{"quotes", "x = 'a'", "x = \"a\"", true},
		{"number", "x = 0x10", "x = 16", true},
		{"large number", "x = 0x10000000000000000", "x = 18446744073709551616", true},
		{"trailing comma", "f(a,)", "f(a)", true},
		{"comment moves", "x = [ # a\n1]", "x = [1] # a", true},
		{"grouping", "x = a - (b - c)", "x = a - b - c", false},
		{"tuple", "x = (1,)", "x = (1)", false},
		{"keyword order", "f(a = 1, b = 2)", "f(b = 2, a = 1)", false},
		{"load order", "load('a.star', 'x', 'y')", "load('a.star', 'y', 'x')", false},
		{"alias", "load('a.star', x = 'y')", "load('a.star', 'y')", false},
		{"statement order", "a()\nb()", "b()\na()", false},
		{"text", "x = 'a'", "x = 'a '", false},
		{"text and number", "x = '1'", "x = 1", false},
		{"int and float", "x = 1", "x = 1.0", false},
		{"float", "x = 1.5", "x = 1.25", false},
		{"large numbers", "x = 18446744073709551616", "x = 18446744073709551617", false},
		{"operator", "x = a + b", "x = a - b", false},
		{"assignment", "x += 1", "x = 1", false},
		{"branch", "for x in y:\n  break", "for x in y:\n  continue", false},
		{"else", "if a:\n  b()\nelse:\n  c()", "if a:\n  b()\nc()", false},
		{"default", "def f(a = 1):\n  pass", "def f(a):\n  pass", false},
		{"lambda", "x = lambda a: a", "x = lambda b: a", false},
		{"slice", "x = a[1:]", "x = a[:1]", false},
		{"comprehension", "x = [a for a in b]", "x = [a for a in b if a]", false},
		{"comment lost", "x = 1 # a", "x = 1", false},
		{"comment changed", "# a\nx = 1", "# b\nx = 1", false},
		{"comment twice", "# a\nx = 1", "# a\n# a\nx = 1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, err := parse("a.star", []byte(test.before))
			if err != nil {
				t.Fatal(err)
			}
			after, err := parse("a.star", []byte(test.after))
			if err != nil {
				t.Fatal(err)
			}
			if err := keeps(before, after); (err == nil) != test.same {
				t.Errorf("keeps(%q, %q) = %v, want same = %v", test.before, test.after, err, test.same)
			}
		})
	}
}
