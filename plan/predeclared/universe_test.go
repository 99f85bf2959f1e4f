package predeclared

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// run evaluates an expression with the predeclared names under a step limit. It
// reports the steps, whether the limit was met, and another error.
func run(t *testing.T, expr string, limit uint64) (steps uint64, limited bool, err error) {
	t.Helper()
	thread := new(starlark.Thread)
	thread.SetMaxExecutionSteps(limit)
	thread.OnMaxSteps = func(thread *starlark.Thread) {
		limited = true
		thread.Cancel("limit")
	}
	Bind(thread, Env{MaxSteps: limit})
	_, err = starlark.ExecFileOptions(&syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}, thread, "t.star", expr, Values())
	if limited {
		err = nil
	}
	return thread.Steps, limited, err
}

// TestUniverseCharges: what would take long is stopped before it begins.
func TestUniverseCharges(t *testing.T) {
	const limit = 1_000_000
	grown := "x = [0]\nfor _ in range(40):\n    x = [x, x]\n"
	for _, test := range []struct{ name, text string }{
		{"max", "max(range(10000000000))"},
		{"min", "min(range(10000000000))"},
		{"all", "all(range(1, 10000000000))"},
		{"any", "any(range(0, -10000000000, -1))"},
		{"list", "list(range(10000000000))"},
		{"tuple", "tuple(range(10000000000))"},
		{"set", "set(range(10000000000))"},
		{"reversed", "reversed(range(10000000000))"},
		{"enumerate", "enumerate(range(10000000000))"},
		{"zip", "zip([1], range(10000000000))"},
		{"sorted", "sorted(range(100000))"},
		{"int", `int("9" * 100000)`},
		{"hash", `hash("a" * 20000000)`},
		{"str of a long number", "x = 1 << 500\nfor _ in range(12):\n    x = x * x\nstr(x)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, limited, err := run(t, test.text, limit); !limited {
				t.Errorf("%s: the step limit was not met; error %v", test.text, err)
			}
		})
	}
	for _, test := range []struct{ name, text, want string }{
		{"str", grown + "str(x)", "str: text of more than 16777216 bytes"},
		{"repr", grown + "repr(x)", "repr: text of more than 16777216 bytes"},
		{"print", grown + "print(x)", "print: text of more than 16777216 bytes"},
		{"fail", grown + "fail(x)", "fail: text of more than 16777216 bytes"},
		{"dict", "x = {0: 0}\nfor i in range(40):\n    x = {0: x, 1: x}\nstr(x)", "str: text of more than 16777216 bytes"},
		{"struct", "x = struct()\nfor i in range(40):\n    x = struct(a = x, b = x)\nstr(x)", "str: text of more than 16777216 bytes"},
		{"long string", `str(["a" * 17000000])`, "str: text of more than 16777216 bytes"},
		{"deep", "x = []\nfor i in range(2000):\n    x = [x]\nstr(x)", "str: a value that is nested more than 1000 deep"},
	} {
		t.Run("text of "+test.name, func(t *testing.T) {
			_, limited, err := run(t, test.text, 1_000_000_000)
			if limited || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("limit met: %v, error %v, want %q", limited, err, test.want)
			}
		})
	}
}

// TestUniverseDoesTheSame: apart from the charge, nothing differs.
func TestUniverseDoesTheSame(t *testing.T) {
	for _, expr := range []string{
		`max([3, 1, 2])`, `max(3, 1, 2)`, `min("b", "a", key = lambda s: s)`, `all([1, 0])`, `any([])`, `list("ab".elems())`, `tuple({"a": 1})`,
		`set([1, 1, 2])`, `reversed([1, 2])`, `enumerate(["a"], 5)`, `zip([1, 2], "ab".elems())`, `sorted([3, 1, 2], reverse = True)`,
		`dict([("a", 1)], b = 2)`, `int("12", 8)`, `int(3.7)`, `int(x = "7")`, `float("1.5")`, `hash("abc")`, `bytes("é")`, `bytes([1, 2])`,
		`str("plain")`, `str([1, "a", b"b", None, True, 1.5, {"k": (1,)}, set([1])])`, `repr("q")`, `str(struct(a = 1))`, `str(1 << 200)`, `str(list)`, `type(max)`,
	} {
		opts := &syntax.FileOptions{Set: true}
		thread := new(starlark.Thread)
		Bind(thread, Env{MaxSteps: 1 << 40})
		env := starlark.StringDict{"struct": Values()["struct"]}
		want, err := starlark.EvalOptions(opts, new(starlark.Thread), "t.star", expr, env)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		got, err := starlark.EvalOptions(opts, thread, "t.star", expr, Values())
		if err != nil || got.String() != want.String() || got.Type() != want.Type() {
			t.Errorf("%s = %v, %v, want %v", expr, got, err, want)
		}
	}
	for _, text := range []string{"max()", "int()", "int([])", "list(1)", "sorted()", "sorted(1)", "str(1, 2)", "hash([])", "float({})", `x = []
x.append(x)
str(x)
`} {
		want := func() string {
			_, err := starlark.ExecFileOptions(&syntax.FileOptions{}, new(starlark.Thread), "t.star", text, nil)
			return message(err)
		}()
		_, _, err := run(t, text, 1_000_000)
		if got := message(err); got != want {
			t.Errorf("%s: error %q, want %q", text, got, want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
