package check_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starplan/plan/check"
)

// lines gives the findings of a report without hints, and its severities.
func lines(r *check.Report) []string {
	var list []string
	for _, f := range r.Findings {
		text, _, _ := strings.Cut(f.String(), "\n")
		list = append(list, text)
	}
	return list
}

const routes = `digraph Orders {
    start [type="plan"]; finish [type="plan"];
    fetch [type="task"]; store [type="task"];
    start -> fetch; start -> store; fetch -> finish; finish -> report;
    report [type="task"];
}
`

func next(names string) string {
	return "def plan(plan_input):\n    return PlanResult(next_task_names = [" + names + "])\n"
}

func TestBundle(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []string
		valid bool
	}{
		{
			name: "fine",
			files: map[string]string{
				"agent_graph.dot": routes, "plans/start/plan.star": next(`"fetch", "store"`), "plans/finish/plan.star": next(`"report"`),
				"plans/finish/requirements.txt": "# none\n\n", "tasks/fetch/task.py": "x",
			},
			valid: true,
		},
		{
			name: "unknown and missing tasks, unknown plan, requirements",
			files: map[string]string{
				"agent_graph.dot": routes, "plans/start/plan.star": next(`"fetch", "stor"`), "plans/finish/plan.star": next(`"fetch"`),
				"plans/other/plan.star": next(`"x"`), "plans/other/requirements.txt": "\nrequests\n",
			},
			want: []string{
				`plans/finish/plan.star:1:5: info: the plan never names the task report, to which it has an edge [missing-task]`,
				`plans/finish/plan.star:2:42: error: there is no edge from plan finish to a task "fetch" [unknown-task]`,
				`plans/other/plan.star:1:5: warning: the graph has no plan other [unknown-plan]`,
				`plans/other/requirements.txt:2:1: warning: plans have no packages [python-requirements]`,
				`plans/start/plan.star:1:5: info: the plan never names the task store, to which it has an edge [missing-task]`,
				`plans/start/plan.star:2:51: error: there is no edge from plan start to a task "stor" [unknown-task]`,
			},
		},
		{
			name:  "plans without a file",
			files: map[string]string{"agent_graph.dot": routes, "plans/start/plan.py": "def plan(x): pass\n"},
			want: []string{
				`agent_graph.dot:2:5: error: plan start has no file plans/start/plan.star [missing-plan]`,
				`agent_graph.dot:2:26: error: plan finish has no file plans/finish/plan.star [missing-plan]`,
			},
		},
		{
			name:  "no graph",
			files: map[string]string{"agent_graph.dot": "graph G {}\n", "plans/start/plan.star": next(`"a"`)},
			want:  []string{`agent_graph.dot:1:1: error: got "graph", want digraph [graph-error]`},
		},
		{
			name:  "rules of graphs",
			files: map[string]string{"agent_graph.dot": "digraph {\n p [type=plan]\n q [type=plan]\n t [type=task]\n u [type=task]\n \"a b\" [type=task]\n p -> t -> u\n q -> t; r\n p -> q\n q -> \"a b\"\n " + strings.Repeat("n", 101) + "[type=task]}\n"},
			want: []string{
				`agent_graph.dot:1:1: error: the graph has no name [graph-error]`,
				`agent_graph.dot:2:2: error: plan p has no file plans/p/plan.star [missing-plan]`,
				`agent_graph.dot:3:2: error: plan q has no file plans/q/plan.star [missing-plan]`,
				`agent_graph.dot:4:2: error: task t has more than one plan before it: p, q, want exactly one [graph-error]`,
				`agent_graph.dot:5:2: error: task u has no plan before it, want exactly one [graph-error]`,
				`agent_graph.dot:6:2: error: name "a b", want letters, digits and _, and no digit first [graph-error]`,
				`agent_graph.dot:7:12: error: edge from task t to task u, want one between a plan and a task [graph-error]`,
				`agent_graph.dot:8:10: error: node r has type "", want plan or task [graph-error]`,
				`agent_graph.dot:9:7: error: edge from plan p to plan q, want one between a plan and a task [graph-error]`,
				`agent_graph.dot:11:2: error: task ` + strings.Repeat("n", 101) + ` has no plan before it, want exactly one [graph-error]`,
				`agent_graph.dot:11:2: error: name of a node has 101 characters, want at most 100 [name-too-long]`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree(t, test.files)
			report, err := check.Files(context.Background(), []string{"."}, check.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, lines(report)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if report.Valid != test.valid {
				t.Errorf("Valid = %v, want %v", report.Valid, test.valid)
			}
		})
	}
}

// TestTaskNames checks which names of a plan's text are followed.
func TestTaskNames(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{
			name: "literals in all places",
			text: "def plan(plan_input):\n    r = PlanResult(next_task_names = (\"a\", \"x1\"))\n    r.next_task_names.append(\"x2\")\n    r.next_task_names.extend([\"x3\"])\n    r.next_task_names += [\"x4\"]\n    r.next_task_names = [\"b\"] + [\"x5\"]\n    return r\n",
			want: []string{"x1", "x2", "x3", "x4", "x5"},
		},
		{
			name: "through variables and dicts",
			text: "ROUTES = {\"one\": \"a\", \"two\": \"x1\"}\nDEFAULT = \"x2\"\n\ndef plan(plan_input):\n    names = [\"x3\", DEFAULT]\n    if plan_input.plan_name:\n        return PlanResult(next_task_names = [ROUTES[\"one\"]])\n    return PlanResult(next_task_names = names if names else [\"x4\" if names else \"b\"])\n",
			want: []string{"x1", "x2", "x3", "x4"},
		},
		{
			name: "names that come from data",
			text: "def plan(plan_input):\n    label = \"x1\"\n    label = \"a\"\n    print(\"x2\")\n    return PlanResult(next_task_names = [t.header.name for t in plan_input.task_executions] + [label, plan_input.plan_name])\n",
		},
		{
			name: "edges that are never named",
			text: next(`"a"`),
			want: []string{"-b"},
		},
		{
			name: "no name at all",
			text: "def plan(plan_input):\n    return PlanResult(error_message = \"x\")\n",
			want: []string{"-a", "-b"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			report, err := check.Source(context.Background(), "p.star", test.text, check.Options{Tasks: []string{"a", "b"}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range report.Findings {
				switch f.Code {
				case check.CodeUnknownTask:
					_, name, _ := strings.Cut(f.Message, "to a task ")
					got = append(got, strings.Trim(name, `"`))
				case check.CodeMissingTask:
					_, name, _ := strings.Cut(f.Message, "the task ")
					name, _, _ = strings.Cut(name, ",")
					got = append(got, "-"+name)
				default:
					t.Errorf("unexpected finding %v", f)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("tasks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGraphOption(t *testing.T) {
	tree(t, map[string]string{"g.dot": routes, "p/start.star": next(`"fetch", "store"`), "p/finish.star": next(`"fetch"`)})
	report, err := check.Files(context.Background(), []string{"p"}, check.Options{Graph: "g.dot"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`p/finish.star:1:5: info: the plan never names the task report, to which it has an edge [missing-task]`,
		`p/finish.star:2:42: error: there is no edge from plan finish to a task "fetch" [unknown-task]`,
	}
	if diff := cmp.Diff(want, lines(report)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"g.dot", "p/finish.star", "p/start.star"}, report.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if _, err := check.Files(context.Background(), []string{"p"}, check.Options{Graph: "absent.dot"}); err == nil {
		t.Error("Files with an absent graph gives no error")
	}
}
