package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"starplan/plan/python"
)

// source makes a Source named "demo" of plan.star and, in pairs, other modules.
func source(t testing.TB, text string, more ...string) *Source {
	t.Helper()
	files := map[string]string{"plan.star": text}
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	src, err := NewSource("demo", "plan.star", files)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		text string
		more []string
		code string
		want string
	}{
		{
			name: "does not parse", text: "def plan(plan_input):\n    return 1 +\n",
			code: CodeParse, want: "plan.star:2:15: got newline, want primary expression",
		},
		{
			name: "undefined name", text: "def plan(plan_input):\n    return PlanReslt()\n",
			code: CodeUndefined, want: "plan.star:2:12: undefined: PlanReslt (did you mean PlanResult?)",
		},
		{
			name: "undefined name near one of the file", text: "def plan(plan_input):\n    return plan_inputs\n",
			code: CodeUndefined, want: "plan.star:2:12: undefined: plan_inputs (did you mean plan_input?)",
		},
		{
			name: "undefined name near none", text: "def plan(plan_input):\n    return zzzzzzzz\n",
			code: CodeUndefined, want: "plan.star:2:12: undefined: zzzzzzzz",
		},
		{
			name: "reassigned", text: "x = 1\nx = 2\n" + okPlan,
			code: CodeParse, want: "plan.star:2:1: cannot reassign global x declared at plan.star:1:1 (a top-level name is assigned once: use another name, or do the work in a function)",
		},
		{
			name: "while", text: "def plan(plan_input):\n    while True:\n        pass\n",
			code: python.While.Code, want: "plan.star:2:5: Starlark has no while (write for i in range(limit) with a break)",
		},
		{
			name: "empty", text: "",
			code: CodeMissingPlan, want: "plan.star:1:1: no function plan(plan_input) is defined",
		},
		{
			name: "plan of another name", text: "def Plan(plan_input):\n    return PlanResult()\n",
			code: CodeMissingPlan, want: "plan.star:1:1: no function plan(plan_input) is defined",
		},
		{
			name: "plan is loaded only", text: `load("lib.star", "plan")` + "\n", more: []string{"lib.star", okPlan},
			code: CodeMissingPlan,
			want: "plan.star:1:1: no function plan(plan_input) is defined (load() binds a name for the file only; load it under another one and write `plan = that_name`)",
		},
		{
			name: "not callable", text: "x = 1\nplan = [x]\n",
			code: CodeNotCallable, want: "plan.star:2:1: plan is a list, want a function plan(plan_input)",
		},
		{
			name: "no parameter", text: "\ndef plan():\n    return PlanResult()\n",
			code: CodeArity, want: "plan.star:2:1: plan() must take one argument, plan_input: got def plan()",
		},
		{
			name: "two parameters", text: "def plan(plan_input, context):\n    return PlanResult()\n",
			code: CodeArity, want: "plan.star:1:1: plan() must take one argument, plan_input: got def plan(plan_input, context)",
		},
		{
			name: "keyword-only", text: "def plan(*, plan_input):\n    return PlanResult()\n",
			code: CodeArity, want: "plan.star:1:1: plan() must take one argument, plan_input: got def plan(*, plan_input)",
		},
		{
			name: "required keyword", text: "def plan(a, *args, b, **kwargs):\n    return PlanResult()\n",
			code: CodeArity, want: "plan.star:1:1: plan() must take one argument, plan_input: got def plan(a, *, b, *args, **kwargs)",
		},
		{
			name: "only **kwargs", text: "def plan(**kwargs):\n    return PlanResult()\n",
			code: CodeArity, want: "plan.star:1:1: plan() must take one argument, plan_input: got def plan(**kwargs)",
		},
		{
			name: "top level fails", text: "def f(x):\n    return x // 0\ny = f(3)\n" + okPlan,
			code: CodeInit, want: "plan.star:2:14: floored division by zero",
		},
		{
			name: "top level recurses", text: "def f(x):\n    return f(x)\ny = f(3)\n" + okPlan,
			code: CodeInit, want: "plan.star:2:12: function f called recursively",
		},
		{
			name: "top level never ends", text: "def f():\n    for i in range(1 << 60):\n        pass\nf()\n" + okPlan,
			code: CodeInit,
			want: "plan.star:2:5: step limit of 1000 reached while the plan was loaded; do less at the top level, or raise PLAN_TIMEOUT or PLAN_MAX_STEPS",
		},
		{
			name: "time.now at the top level", text: "t = time.now()\n" + okPlan,
			code: CodeInit, want: "plan.star:1:13: time.now() is the timestamp of the record, so it can be called from plan() only, not while the plan is loaded",
		},
		{
			name: "module is absent", text: okPlan + `load("lib.star", "x")` + "\n",
			code: CodeLoad, want: `plan.star:3:6: cannot load "lib.star": no such file in the plan's directory`,
		},
		{
			name: "module lacks the name", text: `load("lib.star", "y")` + "\n" + okPlan, more: []string{"lib.star", "x = 1\n"},
			code: CodeInit, want: "plan.star:1:1: load: name y not found in module lib.star",
		},
		{
			name: "name is private", text: `load("lib.star", "_x")` + "\n" + okPlan, more: []string{"lib.star", "_x = 1\n"},
			code: CodeParse, want: "plan.star:1:19: load: names with leading underscores are not exported: _x",
		},
		{
			name: "load in a function", text: "def plan(plan_input):\n    load('lib.star', 'x')\n", more: []string{"lib.star", "x = 1\n"},
			code: CodeParse, want: "plan.star:2:5: load statement within a function",
		},
		{
			name: "module does not parse", text: `load("lib.star", "x")` + "\n" + okPlan, more: []string{"lib.star", "\nx = = 1\n"},
			code: CodeParse, want: "lib.star:2:5: got '=', want primary expression",
		},
		{
			name: "module fails", text: `load("lib.star", "x")` + "\n" + okPlan, more: []string{"lib.star", "x = fail('no')\n"},
			code: CodeInit, want: "lib.star:1:9: fail: no",
		},
		{
			name: "module changes what is frozen", text: `load("lib.star", "x")` + "\nx.append(1)\n" + okPlan, more: []string{"lib.star", "x = []\n"},
			code: CodeInit, want: "plan.star:2:9: append: cannot append to frozen list",
		},
		{
			name: "module loads itself", text: `load("plan.star", "x")` + "\n" + okPlan,
			code: CodeLoadCycle,
			want: `plan.star:1:6: cannot load "plan.star": it loads this module, directly or through others; move what both need into a third module`,
		},
		{
			name: "modules load each other", text: `load("a.star", "x")` + "\n" + okPlan,
			more: []string{"a.star", "# a\nload('b.star', 'x')\n", "b.star", "load('a.star', 'x')\n"},
			code: CodeLoadCycle,
			want: `b.star:1:6: cannot load "a.star": it loads this module, directly or through others; move what both need into a third module`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := Compile(source(t, test.text, test.more...), Limits{MaxSteps: 1000})
			var fault *LoadError
			if !errors.As(err, &fault) {
				t.Fatalf("Compile = %v, %v, want a *LoadError", p, err)
			}
			if fault.Error() != test.want || fault.Code != test.code {
				t.Errorf("Compile = %s %q, want %s %q", fault.Code, fault.Error(), test.code, test.want)
			}
			if !strings.HasPrefix(test.want, fault.Position()+": ") {
				t.Errorf("Position() = %q, want the beginning of %q", fault.Position(), test.want)
			}
		})
	}
}

func TestCompileAccepts(t *testing.T) {
	for _, test := range []struct {
		name string
		text string
		more []string
	}{
		{"plain", okPlan, nil},
		{"default for a second parameter", "def plan(plan_input, extra = None):\n    return PlanResult()\n", nil},
		{"a default for the first", "def plan(plan_input = None):\n    return PlanResult()\n", nil},
		{"varargs", "def plan(*args):\n    return PlanResult()\n", nil},
		{"keyword-only with a default", "def plan(p, *, q = 1, **kw):\n    return PlanResult()\n", nil},
		{"lambda", "plan = lambda plan_input: PlanResult()\n", nil},
		{"builtin", "plan = print\n", nil},
		{"top-level control", "xs = []\nfor i in range(3):\n    if i:\n        xs.append(i)\n" + okPlan, nil},
		{"set", "s = set([1])\n" + okPlan, nil},
		{"loaded under another name", `load("lib.star", _plan = "plan")` + "\nplan = _plan\n", []string{"lib.star", okPlan}},
		{
			"diamond",
			"load('a.star', 'a')\nload('b.star', 'b')\nif a != b:\n    fail('modules are not shared')\n" + okPlan,
			[]string{"a.star", "load('c.star', 'c')\na = c\n", "b.star", "load('c.star', 'c')\nb = c\n", "c.star", "def c():\n    pass\n"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Compile(source(t, test.text, test.more...), Limits{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLoadBudget checks that all top levels draw on one budget.
func TestLoadBudget(t *testing.T) {
	loop := "def f():\n    for i in range(300):\n        pass\nf()\nx = 1\n"
	src := source(t, `load("lib.star", "x")`+"\ny = x\n"+strings.ReplaceAll(loop, "x = 1", "z = 1")+okPlan, "lib.star", loop)
	if _, err := Compile(src, Limits{MaxSteps: 4000}); err != nil {
		t.Fatalf("with room for both: %v", err)
	}
	_, err := Compile(src, Limits{MaxSteps: 2000})
	const want = "plan.star:4:5: step limit of 2000 reached while the plan was loaded; do less at the top level, or raise PLAN_TIMEOUT or PLAN_MAX_STEPS"
	if err == nil || err.Error() != want {
		t.Errorf("with room for one: %v, want %s", err, want)
	}
}

func TestLoadPrints(t *testing.T) {
	p, err := Compile(source(t, "print('hello', 1)\n"+okPlan), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(p.Prints()), "[plan.star:1:6: hello 1]"; got != want {
		t.Errorf("Prints() = %s, want %s", got, want)
	}
}

func TestHints(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"import json", "Starlark has no import"},
		{"from pb import PlanInput", "Starlark has no import"},
		{"def plan(p: PlanInput) -> PlanResult:\n    pass", "Starlark has no type annotations"},
		{"def plan(p) -> PlanResult:\n    pass", "Starlark has no type annotations"},
		{"def plan(p: PlanInput):\n    pass", "Starlark has no type annotations"},
		{"x: int = 1", "Starlark has no type annotations"},
		{"def f():\n    try:\n        pass\n    except Exception as e:\n        pass", "Starlark has no try"},
		{"def f():\n    raise ValueError('x')", "Starlark has no raise"},
		{"x = f'a {y}'", "Starlark has no f-strings"},
		{`x = f"a {y}"`, "Starlark has no f-strings"},
		{"class A:\n    pass", "Starlark has no classes"},
		{"def f():\n    while True:\n        pass", "Starlark has no while"},
		{"def f(x):\n    return x is None", "Starlark has no is"},
		{"def f(x):\n    return x is not None", "Starlark has no is"},
		{"x = 2 ** 3", "Starlark has no ** operator"},
		{"def f():\n    with open('x') as y:\n        pass", "Starlark has no with"},
		{"def f():\n    yield 1", "Starlark has no yield"},
		{"def f():\n    global x\n    x = 1", "Starlark has no global"},
		{"def f():\n    nonlocal x\n    x = 1", "Starlark has no global"},
		{"def f(d):\n    del d['x']", "Starlark has no del"},
		{"def f(d):\n    assert d", "Starlark has no assert"},
		{"async def f(d):\n    pass", "Starlark has no async"},
		{"@cache\ndef f(d):\n    pass", "Starlark has no decorators"},
		{"x = sum([1])", "add in a loop: "},
		{"x = isinstance(1, 2)", `write type(x) == "string"`},
		{"if __name__ == '__main__':\n    pass", "a plan is called by its function plan"},
	} {
		_, err := Compile(source(t, test.line+"\n"), Limits{})
		var fault *LoadError
		if !errors.As(err, &fault) || !strings.HasPrefix(fault.Message, test.want) && !strings.HasPrefix(fault.Hint, test.want) {
			t.Errorf("message and hint for %q: %v, want one that begins with %q", test.line, err, test.want)
		}
	}
	// Ordinary mistakes get no advice about Python.
	for _, line := range []string{"x = (1", "x = = 2", "x = 'is it **'+", "def f(:\n    pass"} {
		_, err := Compile(source(t, line+"\n"), Limits{})
		var fault *LoadError
		if !errors.As(err, &fault) || fault.Hint != "" && !strings.Contains(line, "'") {
			t.Errorf("hint for %q: %v, want none", line, err)
		}
	}
}

func TestLoadErrorText(t *testing.T) {
	for _, test := range []struct {
		err  LoadError
		want string
	}{
		{LoadError{File: "plan.star", Line: 3, Col: 1, Message: "m"}, "plan.star:3:1: m"},
		{LoadError{File: "plan.star", Line: 3, Message: "m"}, "plan.star:3: m"},
		{LoadError{File: "plan.star", Message: "m", Hint: "h"}, "plan.star: m (h)"},
		{LoadError{Message: "m"}, "m"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%+v.Error() = %q, want %q", test.err, got, test.want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(okPlan)
	f.Add("load('plan.star', 'x')\n")
	f.Add("x = [i for i in range(100)]\nplan = lambda p: x\n")
	f.Add("def plan(a, *b, c=1, **d):\n  return {}\n")
	f.Fuzz(func(t *testing.T, text string) {
		src, err := NewSource("fuzz", "plan.star", map[string]string{"plan.star": text})
		if err != nil {
			return
		}
		_, err = Compile(src, Limits{MaxSteps: 1000})
		var fault *LoadError
		if err != nil && (!errors.As(err, &fault) || fault.Message == "" || fault.Code == "") {
			t.Errorf("Compile(%q) = %v, want a *LoadError with code and message", text, err)
		}
		if fault != nil && strings.Contains(fault.Message, "internal error") {
			t.Errorf("Compile(%q) panicked: %v\n%s", text, fault, fault.Backtrace)
		}
	})
}
