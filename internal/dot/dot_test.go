package dot_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"starplan/internal/dot"
)

// edges writes a graph's edges as "a>b c>d".
func edges(g *dot.Graph) string {
	var list []string
	for _, e := range g.Edges {
		list = append(list, e.From.Name+">"+e.To.Name)
	}
	return strings.Join(list, " ")
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, text string
		graph      string
		want       []dot.Node
		edges      string
	}{
		{
			name:  "the platform's form",
			text:  "digraph Orders {\n    route [label=\"Route it\", type=\"plan\"];\n    fetch [label=\"F\", type=\"task\"];\n    route -> fetch;\n}\n",
			graph: "Orders",
			want:  []dot.Node{{Name: "route", Type: "plan", Pos: dot.Pos{Line: 2, Col: 5}}, {Name: "fetch", Type: "task", Pos: dot.Pos{Line: 3, Col: 5}}},
			edges: "route>fetch",
		},
		{
			name:  "edges first, no semicolons, attributes of edges",
			text:  "digraph G { a -> b -> c [label=x]\n b [type=task][color=red] a [type=plan] }",
			graph: "G",
			want: []dot.Node{
				{Name: "a", Type: "plan", Pos: dot.Pos{Line: 2, Col: 27}}, {Name: "b", Type: "task", Pos: dot.Pos{Line: 2, Col: 2}}, {Name: "c", Pos: dot.Pos{Line: 1, Col: 23}},
			},
			edges: "a>b b>c",
		},
		{
			name:  "defaults, subgraphs and comments",
			text:  "/* x */ strict digraph \"my graph\" {\n# line\n rankdir=LR; graph [x=1]; edge [y=2]\n node [type=task] // rest\n p [type=\"plan\"]; subgraph cluster { node [type=plan] q }\n p -> {t u}; v }",
			graph: "my graph",
			want: []dot.Node{
				{Name: "p", Type: "plan", Pos: dot.Pos{Line: 5, Col: 2}}, {Name: "q", Type: "plan", Pos: dot.Pos{Line: 5, Col: 55}},
				{Name: "t", Type: "task", Pos: dot.Pos{Line: 6, Col: 8}}, {Name: "u", Type: "task", Pos: dot.Pos{Line: 6, Col: 10}}, {Name: "v", Type: "task", Pos: dot.Pos{Line: 6, Col: 14}},
			},
			edges: "p>t p>u",
		},
		{
			name: "quotes and numbers",
			text: `digraph { "a \"b\"" -> -1.5 -> "node" }`,
			want: []dot.Node{
				{Name: `a "b"`, Pos: dot.Pos{Line: 1, Col: 11}}, {Name: "-1.5", Pos: dot.Pos{Line: 1, Col: 24}}, {Name: "node", Pos: dot.Pos{Line: 1, Col: 32}},
			},
			edges: `a "b">-1.5 -1.5>node`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, err := dot.Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			var nodes []dot.Node
			for _, n := range g.Nodes {
				if g.Node(n.Name) != n {
					t.Errorf("Node(%q) is another one", n.Name)
				}
				nodes = append(nodes, *n)
			}
			if diff := cmp.Diff(test.want, nodes, cmpopts.IgnoreUnexported(dot.Node{})); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if g.Name != test.graph || edges(g) != test.edges {
				t.Errorf("graph %q with edges %q, want %q with %q", g.Name, edges(g), test.graph, test.edges)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "1:1: got the end of the file, want digraph"},
		{"graph G { a -- b }", `1:1: got "graph", want digraph`},
		{"digraph G {\n a -- b }", "2:4: got --, want ->, since the graph is directed"},
		{"digraph G {\n a -> }", "2:7: got }, want the name of a node"},
		{"digraph G { a [type] }", "1:20: got ], want ="},
		{"digraph G { a [type=] }", "1:21: got ], want a value"},
		{"digraph G { a", "1:14: got the end of the file, want the name of a node"},
		{"digraph G { a } b", `1:17: got "b", want the end of the file`},
		{"digraph G { a:port }", "1:14: got :, want no port"},
		{"digraph G { a [label=<b>] }", "1:22: HTML labels are not read; write a quoted label"},
		{"digraph G { \"a }", "1:13: string is not closed"},
		{"digraph G /* {", "1:11: comment is not closed"},
		{"digraph G { é ! }", "1:15: unexpected character '!'"},
		{"digraph G " + strings.Repeat("{", 200), "1:112: subgraphs nest deeper than 100"},
		{"digraph G { {" + strings.Repeat("a ", 400) + "} -> {" + strings.Repeat("b ", 400) + "} }", "1:819: more than 100000 edges"},
	} {
		_, err := dot.Parse(test.text)
		var fault *dot.SyntaxError
		if !errors.As(err, &fault) || fault.Error() != test.want {
			t.Errorf("Parse(%q) = %v, want %v", test.text, err, test.want)
		}
	}
}

func TestNext(t *testing.T) {
	g, err := dot.Parse("digraph G { a -> b; a -> c; b -> a; a -> b }")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "c"}, g.Next("a")); diff != "" {
		t.Errorf("Next(a) (-want +got):\n%s", diff)
	}
	if got := g.Next("c"); got != nil {
		t.Errorf("Next(c) = %v, want none", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("digraph G { a [type=\"plan\"]; a -> b }")
	f.Add("strict digraph { subgraph x { a -> {b c} } node [type=task] /* */ }")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := dot.Parse(text)
		if err != nil {
			return
		}
		for _, e := range g.Edges {
			if g.Node(e.From.Name) != e.From || g.Node(e.To.Name) != e.To {
				t.Errorf("edge %s->%s joins nodes that the graph lacks", e.From.Name, e.To.Name)
			}
		}
	})
}
