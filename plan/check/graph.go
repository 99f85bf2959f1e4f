package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"starplan/internal/dot"
	"starplan/plan"
	"starplan/plan/execution"
)

// graphFile is the graph of a bundle, and plansDir the directory of its plans.
const (
	graphFile = "agent_graph.dot"
	plansDir  = "plans"
)

// maxGraph bounds the text of a graph.
const maxGraph = 4 << 20

// graph is a graph whose plans are checked.
type graph struct{ *dot.Graph }

// readGraph reads and checks a graph. It is nil where it does not parse.
func (c *checker) readGraph(path string) (*graph, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxGraph {
		return nil, fmt.Errorf("%s: graph of %d bytes, want at most %d", path, info.Size(), maxGraph)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := moduleFindings(filepath.Dir(path), filepath.Base(path), "", string(text))
	defer c.take(f)
	g, err := dot.Parse(string(text))
	var fault *dot.SyntaxError
	if errors.As(err, &fault) {
		f.graph(Error, CodeGraphError, fault.Pos, fault.Message, "")
		return nil, nil
	}
	checkGraph(g, f)
	return &graph{g}, nil
}

// graph adds a finding about a place in a graph.
func (f *findings) graph(sev Severity, code string, pos dot.Pos, message, hint string) {
	f.add(Finding{Severity: sev, Code: code, Line: pos.Line, Col: pos.Col, Message: message, Hint: hint})
}

// nodeName is what the platform takes as the name of a node.
var nodeName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// checkGraph checks the rules that the platform has for graphs.
func checkGraph(g *dot.Graph, f *findings) {
	if g.Name == "" {
		f.graph(Error, CodeGraphError, dot.Pos{Line: 1, Col: 1}, "the graph has no name", "write digraph Name { … }")
	}
	before, after := make(map[*dot.Node][]string), make(map[*dot.Node]bool)
	for _, e := range g.Edges {
		if from, to := e.From.Type, e.To.Type; from == to && from != "" {
			f.graph(Error, CodeGraphError, e.Pos, fmt.Sprintf("edge from %s %s to %s %s, want one between a plan and a task", from, e.From.Name, to, e.To.Name), "")
		}
		if e.From.Type == "plan" && !slices.Contains(before[e.To], e.From.Name) {
			before[e.To] = append(before[e.To], e.From.Name)
		}
		if e.To.Type == "task" {
			after[e.From] = true
		}
	}
	for _, n := range g.Nodes {
		f.checkNode(n, before[n], after[n])
	}
}

// checkNode checks one node. before are the plans with edges to it; after says
// whether it has an edge to a task.
func (f *findings) checkNode(n *dot.Node, before []string, after bool) {
	if !nodeName.MatchString(n.Name) {
		f.graph(Error, CodeGraphError, n.Pos, fmt.Sprintf("name %q, want letters, digits and _, and no digit first", n.Name), "")
	}
	if chars := utf8.RuneCountInString(n.Name); chars > execution.MaxName {
		f.graph(Error, CodeNameTooLong, n.Pos, nameTooLong("node", chars), "")
	}
	switch n.Type {
	case "plan":
		if !after {
			f.graph(Error, CodeGraphError, n.Pos, fmt.Sprintf("plan %s has no edge to a task", n.Name), "")
		}
	case "task":
		if len(before) != 1 {
			what := "no plan before it"
			if len(before) > 1 {
				what = "more than one plan before it: " + strings.Join(before, ", ")
			}
			f.graph(Error, CodeGraphError, n.Pos, fmt.Sprintf("task %s has %s, want exactly one", n.Name, what), "")
		}
	default:
		f.graph(Error, CodeGraphError, n.Pos, fmt.Sprintf("node %s has type %q, want plan or task", n.Name, n.Type), `write `+n.Name+` [type="plan"]`)
	}
}

// bundle adds the plans of a graph's bundle.
func (c *checker) bundle(dir string) error {
	path := filepath.Join(dir, graphFile)
	g, err := c.readGraph(path)
	if err != nil {
		return err
	}
	plans := filepath.Join(dir, plansDir)
	var found []plan.Location
	if exists(plans) {
		if found, err = plan.Find(plans); err != nil {
			return err
		}
	}
	for _, loc := range found {
		c.add(loc, g)
		c.requirements(filepath.Dir(loc.Path), loc.Label())
	}
	if g == nil {
		return nil
	}
	f := &findings{file: path, text: c.texts[path]}
	for _, n := range g.Nodes {
		if n.Type != "plan" || slices.ContainsFunc(found, func(l plan.Location) bool { return l.Name == n.Name }) {
			continue
		}
		hint := ""
		if exists(filepath.Join(plans, n.Name, "plan.py")) {
			hint = "there is a plan.py: move it to Starlark, as docs/moving-from-plan-py.md says"
		}
		f.graph(Error, plan.CodeMissingPlan, n.Pos, fmt.Sprintf("plan %s has no file %s", n.Name, filepath.ToSlash(filepath.Join(plansDir, n.Name, plan.EntryFile))), hint)
	}
	c.take(f)
	return nil
}

// requirements warns of a requirements.txt with anything in it.
func (c *checker) requirements(dir, label string) {
	path := filepath.Join(dir, "requirements.txt")
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line, _, _ := strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
			f := moduleFindings(dir, "requirements.txt", label, string(text))
			f.graph(Warning, CodeRequirements, dot.Pos{Line: i + 1, Col: 1}, "plans have no packages", "remove the file; json, math and time are there already")
			c.take(f)
			return
		}
	}
}

// tasks checks the names of tasks that a plan gives against those that it may.
func (c *checker) tasks(u unit, modules map[string]*module, entry *module) {
	f := entry.findings
	at := dot.Pos{Line: 1, Col: 1}
	if entry.file != nil {
		if def := planDef(entry.file); def != nil {
			at = dot.Pos{Line: int(def.Name.NamePos.Line), Col: int(def.Name.NamePos.Col)}
		}
	}
	if chars := utf8.RuneCountInString(u.name); chars > execution.MaxName {
		f.graph(Error, CodeNameTooLong, at, nameTooLong("plan", chars), "")
	}
	allowed := c.opts.Tasks
	if allowed == nil {
		if u.graph == nil {
			return
		}
		if n := u.graph.Node(u.name); n == nil || n.Type == "task" {
			f.graph(Warning, CodeUnknownPlan, at, fmt.Sprintf("the graph has no plan %s", u.name), "")
			return
		}
		allowed = u.graph.Next(u.name)
	}
	named, open := make(map[string]bool), false
	for _, m := range modules {
		open = open || m.tasks.open || m.file == nil
		for _, l := range m.tasks.literals {
			name, _ := l.Value.(string)
			named[name] = true
			if !slices.Contains(allowed, name) {
				from, to := l.Span()
				m.findings.span(Error, CodeUnknownTask, from, to, fmt.Sprintf("there is no edge from plan %s to a task %q", u.name, name), "edges lead to: "+listed(allowed))
			}
		}
	}
	if open {
		return
	}
	for _, name := range allowed {
		if !named[name] {
			f.graph(Info, CodeMissingTask, at, fmt.Sprintf("the plan never names the task %s, to which it has an edge", name), "")
		}
	}
}

// listed joins names for a hint, bounded.
func listed(names []string) string {
	const most = 20
	switch {
	case len(names) == 0:
		return "nothing"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
