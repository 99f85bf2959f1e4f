package check_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// value is what a variable of a generated plan holds while the plan runs.
type value struct {
	kind  string // "input", "task", "header", "result", "struct", "str", "int", "none", "list", "dict", "func".
	items []*value
	keys  []string // Of a dict, in step with items.
}

// attrs are what may be read of values of a kind, and what kind comes of it.
var attrs = map[string]map[string]string{
	"input":  {"input_id": "str", "plan_name": "str", "graph_id": "str"},
	"task":   {"parent_plan_name": "str", "header": "header", "result": "result"},
	"header": {"name": "str", "attempt": "int", "status": "int"},
	"result": {"id": "str", "error_message": "str"},
	"struct": {"zz": "int", "name": "str", "header": "struct2"},
	"str":    {"upper()": "str", "strip()": "str", "elems()": ""},
	"list":   {"index": "", "append": ""},
	"dict":   {"keys()": "", "get": ""},
}

// generator writes plans that run without an error, since it knows at each place
// what every variable holds. It does what makes a text hard to judge: variables
// that hold different things one after the other, containers that are filled
// through other names, functions that are called with different things, questions
// for types.
type generator struct {
	rng   *rand.Rand
	out   strings.Builder
	depth int
	vars  map[string]*value
	names []string
	seq   int
}

// generate writes one plan of about so many statements.
func generate(seed uint64, statements int) string {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 1)), vars: make(map[string]*value)}
	g.line("S = struct(zz = 1, name = %q, header = struct(zz = 2))", "s")
	g.line("def put(xs, x):\n    xs.append(x)\n    return xs")
	g.line("def same(x, *more, **named):\n    return x")
	g.line("def pick(a, b = None):\n    return b if b != None else a")
	g.line("def wrap(x):\n    def inner():\n        return x\n    return inner")
	g.line("def read(x):\n    if type(x) == \"struct\":\n        return x.zz\n    if hasattr(x, \"later\"):\n        return x.later\n    return 0")
	g.line("def plan(plan_input):")
	g.depth = 1
	g.set("plan_input", &value{kind: "input"})
	g.set("s0", &value{kind: "struct"})
	g.line("s0 = S")
	g.line("l0 = []")
	g.set("l0", &value{kind: "list"})
	for range statements {
		g.statement()
	}
	g.finish()
	return g.out.String()
}

func (g *generator) line(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		g.out.WriteString(strings.Repeat("    ", g.depth) + line + "\n")
	}
}

func (g *generator) set(name string, v *value) {
	if g.vars[name] == nil {
		g.names = append(g.names, name)
	}
	g.vars[name] = v
}

// target gives a name to assign to: a new one, or one that holds something else.
func (g *generator) target() string {
	if g.rng.IntN(3) == 0 {
		for range 5 {
			if name := g.names[g.rng.IntN(len(g.names))]; name != "plan_input" {
				return name
			}
		}
	}
	g.seq++
	return fmt.Sprintf("v%d", g.seq)
}

// any gives a variable that holds something of one of the kinds, or of any.
func (g *generator) any(kinds ...string) (string, *value) {
	for range 30 {
		name := g.names[g.rng.IntN(len(g.names))]
		v := g.vars[name]
		if len(kinds) == 0 {
			return name, v
		}
		for _, kind := range kinds {
			if v.kind == kind {
				return name, v
			}
		}
	}
	return "", nil
}

// statement writes one statement, or none where there is nothing to do it with.
func (g *generator) statement() {
	steps := []func(){
		g.makeScalar, g.makeList, g.makeDict, g.alias, g.alias, g.add, g.add, g.addToDict,
		g.readList, g.readList, g.readDict, g.call, g.use, g.use, g.use, g.ask, g.loop, g.branch, g.unpack, g.tasks,
	}
	steps[g.rng.IntN(len(steps))]()
}

func (g *generator) makeScalar() {
	name := g.target()
	options := []struct{ text, kind string }{
		{`"text"`, "str"}, {"1", "int"}, {"None", "none"}, {"S", "struct"}, {"plan_input", "input"},
		{"plan_input.task_executions[0]", "task"}, {"plan_input.task_executions[-1].header", "header"},
		{"plan_input.task_executions[1].result", "result"}, {"struct(zz = 1, name = \"n\", header = struct(zz = 3))", "struct"},
		{"json", "other"}, {"ExecutionStatus", "other"}, {"PlanResult", "other"}, {"len", "other"}, {"same", "other"}, {"b\"x\"", "other"}, {"(1, 2)", "other"}, {"set([1])", "other"},
		{"PlanResult(next_task_names = [\"a\"])", "other"}, {"True", "other"}, {"1.5", "other"},
		{"len(plan_input.task_executions)", "int"}, {"plan_input.plan_name + \"x\"", "str"}, {"\"%s-%d\" % (\"a\", 1)", "str"},
	}
	o := options[g.rng.IntN(len(options))]
	g.line("%s = %s", name, o.text)
	g.set(name, &value{kind: o.kind})
}

func (g *generator) makeList() {
	a, va := g.any()
	b, vb := g.any()
	name := g.target()
	list := &value{kind: "list", items: []*value{va, vb}}
	switch g.rng.IntN(4) {
	case 0:
		g.line("%s = [%s, %s]", name, a, b)
	case 1:
		g.line("%s = list((%s, %s))", name, a, b)
	case 2:
		g.line("%s = [x for x in [%s, %s]]", name, a, b)
	case 3:
		g.line("%s = [%s] + [%s]", name, a, b)
	}
	g.set(name, list)
}

func (g *generator) makeDict() {
	a, va := g.any()
	name := g.target()
	if g.rng.IntN(2) == 0 {
		g.line("%s = {\"k\": %s}", name, a)
	} else {
		g.line("%s = {k: v for k, v in [(\"k\", %s)]}", name, a)
	}
	g.set(name, &value{kind: "dict", keys: []string{"k"}, items: []*value{va}})
}

// alias gives one value two names.
func (g *generator) alias() {
	a, va := g.any()
	b, vb := g.any()
	name := g.target()
	switch g.rng.IntN(6) {
	case 0:
		g.line("%s = %s", name, a)
	case 1:
		g.line("%s = same(%s)", name, a)
	case 2:
		g.line("%s = %s if True else %s", name, a, b)
	case 3:
		g.line("%s = wrap(%s)()", name, a)
	case 4:
		g.line("%s = (lambda q: q)(%s)", name, a)
	case 5:
		g.line("%s = [%s, %s][1]", name, a, b)
		va = vb
	}
	g.set(name, va)
}

// add puts something into a list.
func (g *generator) add() {
	xs, list := g.any("list")
	x, v := g.any()
	if list == nil || len(list.items) > 8 || holds(v, list, 0) {
		return
	}
	switch g.rng.IntN(6) {
	case 0:
		g.line("%s.append(%s)", xs, x)
	case 1:
		g.line("put(%s, %s)", xs, x)
	case 2:
		g.line("%s.extend([%s])", xs, x)
	case 3:
		g.line("%s += [%s]", xs, x)
	case 4:
		g.line("add = %s.append\nadd(%s)", xs, x)
	case 5:
		g.line("[put(y, %s) for y in [%s]]", x, xs)
	}
	list.items = append(list.items, v)
}

// holds reports whether v holds c, so that to put v into c would close a circle.
func holds(v, c *value, depth int) bool {
	if v == c || depth > 6 {
		return true
	}
	for _, item := range v.items {
		if holds(item, c, depth+1) {
			return true
		}
	}
	return false
}

func (g *generator) addToDict() {
	d, dict := g.any("dict")
	x, v := g.any()
	if dict == nil || len(dict.items) > 5 || holds(v, dict, 0) {
		return
	}
	key := fmt.Sprintf("k%d", len(dict.items))
	switch g.rng.IntN(3) {
	case 0:
		g.line("%s[%q] = %s", d, key, x)
	case 1:
		g.line("%s.setdefault(%q, %s)", d, key, x)
	case 2:
		g.line("%s.update({%q: %s})", d, key, x)
	}
	dict.keys = append(dict.keys, key)
	dict.items = append(dict.items, v)
}

func (g *generator) readList() {
	xs, list := g.any("list")
	if list == nil || len(list.items) == 0 {
		return
	}
	name := g.target()
	i := g.rng.IntN(len(list.items))
	v := list.items[i]
	switch g.rng.IntN(6) {
	case 0:
		g.line("%s = %s[%d]", name, xs, i)
	case 1:
		g.line("%s = %s[%d:][0]", name, xs, i)
	case 2:
		g.line("for %s in %s:\n    pass", name, xs)
		v = list.items[len(list.items)-1]
	case 3:
		g.line("%s = [y for _, y in enumerate(%s)][%d]", name, xs, i)
	case 4:
		g.line("%s = reversed(%s)[%d]", name, xs, len(list.items)-1-i)
	case 5:
		g.line("%s = [y for y, _ in zip(%s, range(100))][%d]", name, xs, i)
	}
	g.set(name, v)
}

func (g *generator) readDict() {
	d, dict := g.any("dict")
	if dict == nil {
		return
	}
	name := g.target()
	i := g.rng.IntN(len(dict.items))
	v := dict.items[i]
	switch g.rng.IntN(5) {
	case 0:
		g.line("%s = %s[%q]", name, d, dict.keys[i])
	case 1:
		g.line("%s = %s.get(%q)", name, d, dict.keys[i])
	case 2:
		o, other := g.any()
		g.line("%s = %s.get(\"absent\", %s)", name, d, o)
		v = other
	case 3:
		g.line("%s = %s.values()[%d]", name, d, i)
	case 4:
		g.line("%s = [y for k, y in %s.items() if k == %q][0]", name, d, dict.keys[i])
	}
	g.set(name, v)
}

func (g *generator) call() {
	a, va := g.any()
	name := g.target()
	switch g.rng.IntN(4) {
	case 0:
		g.line("%s = pick(None, %s) if %s != None else %s", name, a, a, a)
	case 1:
		g.line("%s = same(1, 2, x2 = %s) and %s", name, a, a)
	case 2:
		g.line("print(read(%s))\n%s = %s", a, name, a)
	case 3:
		g.line("def f%d(y = %s):\n    return y\n%s = f%d()", g.seq, a, name, g.seq)
	}
	g.set(name, va)
}

// use reads an attribute that the value has, or does what its type allows.
func (g *generator) use() {
	name, v := g.any()
	switch v.kind {
	case "int":
		g.line("print(%s + 1, range(%s), -%s)", name, name, name)
	case "none", "other":
		g.line("print(%s == None)", name)
	case "list":
		g.line("print(len(%s), [1 for _ in %s])", name, name)
	case "dict":
		g.line("print(%s.keys(), [1 for _ in %s])", name, name)
	case "str":
		g.line("print(%s + \"a\", %s.upper(), PlanResult(error_message = %s, next_task_names = [%s]))", name, name, name, name)
	case "task":
		g.line("print(%s.header.name, PlanResult(upstream_tasks_results = [%s.result]))", name, name)
	default:
		for attr, kind := range sorted(attrs[v.kind]) {
			if g.rng.IntN(2) == 0 && !strings.HasPrefix(kind, "struct") {
				to := g.target()
				g.line("%s = %s.%s", to, name, attr)
				g.set(to, &value{kind: kind})
				return
			}
		}
		if v.kind == "struct" {
			g.line("print(%s.zz, %s.name)", name, name)
		}
	}
}

// sorted visits a map in the order of its keys, so that a seed means one plan.
func sorted(m map[string]string) func(yield func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, key := range []string{"attempt", "error_message", "graph_id", "header", "id", "input_id", "name", "parent_plan_name", "plan_name", "result", "status", "zz"} {
			if kind, ok := m[key]; ok && !yield(key, kind) {
				return
			}
		}
	}
}

// ask reads what only some values have, behind a question.
func (g *generator) ask() {
	name, v := g.any()
	switch g.rng.IntN(4) {
	case 0:
		g.line("if type(%s) == \"struct\":\n    print(%s.zz)\nelif type(%s) == \"string\":\n    print(%s.upper())", name, name, name, name)
	case 1:
		g.line("if hasattr(%s, \"bogus\"):\n    print(%s.bogus)", name, name)
	case 2:
		g.line("print(getattr(%s, \"later\", None))", name)
	case 3:
		if v.kind == "list" && len(v.items) > 0 {
			g.line("if type(%s[0]) == \"dict\":\n    print(%s[0][\"no such key\"] if \"no such key\" in %s[0] else 1)", name, name, name)
		}
	}
}

// loop goes over a list, and reads of its elements what all of them have.
func (g *generator) loop() {
	xs, list := g.any("list")
	if list == nil || len(list.items) == 0 {
		return
	}
	g.seq++
	e := fmt.Sprintf("e%d", g.seq)
	g.line("for %s in %s:", e, xs)
	g.depth++
	g.line("print(%s)", e)
	common := ""
	for attr := range sorted(attrs[list.items[0].kind]) {
		all := true
		for _, item := range list.items {
			all = all && attrs[item.kind][attr] != ""
		}
		if all {
			common = attr
		}
	}
	if common != "" {
		g.line("print(%s.%s)", e, common)
	}
	g.depth--
}

// branch assigns different things to one name on two paths, of which one is taken.
func (g *generator) branch() {
	a, va := g.any()
	b, vb := g.any()
	name := g.target()
	cond, v := "plan_input.plan_name == \"p\"", va
	if g.rng.IntN(2) == 0 {
		cond, v = "plan_input.plan_name == \"q\"", vb
	}
	g.line("if %s:\n    %s = %s\nelse:\n    %s = %s", cond, name, a, name, b)
	g.set(name, v)
}

func (g *generator) unpack() {
	a, va := g.any()
	b, vb := g.any()
	x, y := g.target(), g.target()
	if x == y {
		return
	}
	switch g.rng.IntN(3) {
	case 0:
		g.line("%s, %s = %s, %s", x, y, a, b)
	case 1:
		g.line("(%s, (%s, _z)) = [%s, (%s, 1)]", x, y, a, b)
	case 2:
		g.line("%s, %s = same([%s, %s])", x, y, a, b)
	}
	g.set(x, va)
	g.set(y, vb)
}

// tasks does what plans do with their tasks.
func (g *generator) tasks() {
	name := g.target()
	switch g.rng.IntN(5) {
	case 0:
		g.line("%s = [t.header for t in plan_input.task_executions if t.result.error_message == \"\"][0]", name)
		g.set(name, &value{kind: "header"})
	case 1:
		g.line("%s = {t.header.name: t for t in plan_input.task_executions}.get(\"t1\")", name)
		g.set(name, &value{kind: "task"})
	case 2:
		g.line("%s = sorted(plan_input.task_executions, key = lambda t: t.header.name)[0].result", name)
		g.set(name, &value{kind: "result"})
	case 3:
		g.line("for i, t in enumerate(plan_input.task_executions):\n    %s = t if i == 0 else same(t)", name)
		g.set(name, &value{kind: "task"})
	case 4:
		g.line("%s = max([t.header.attempt for t in plan_input.task_executions])", name)
		g.set(name, &value{kind: "int"})
	}
}

// finish returns a result made of what is there.
func (g *generator) finish() {
	if name, v := g.any("str"); v != nil {
		g.line("return PlanResult(error_message = %s)", name)
		return
	}
	g.line("r = PlanResult()\nr.next_task_names.append(\"a\")\nreturn r")
}
