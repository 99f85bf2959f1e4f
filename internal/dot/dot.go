// Package dot reads graphs in the part of the DOT language that the platform's
// bundles use:
//
//	digraph Name {
//	    route [label="Route", type="plan"];
//	    fetch [type="task"];
//	    route -> fetch;
//	}
//
// Default attributes (`node [type="task"]`), attributes of the graph and of edges,
// chains of edges, subgraphs, comments, quoted names and all orders of statements
// are read too. Ports and HTML labels are refused. The reader is our own since a
// finding has to point at a line and column, which libraries for DOT do not keep.
//
// The language: https://graphviz.org/doc/info/lang.html.
package dot

import (
	"fmt"
	"slices"
)

// Graph is a directed graph.
type Graph struct {
	Name string
	// Nodes are in the order of their first mention.
	Nodes []*Node
	// Edges are in the order of the file.
	Edges []Edge

	byName map[string]*Node
}

// Pos is a place in the file. Lines and columns count from 1, columns in runes.
type Pos struct{ Line, Col int }

// Node is a node of a graph.
type Node struct {
	Name string
	// Type is the attribute type: "plan" or "task" in graphs of the platform, empty
	// where there is none.
	Type string
	// Pos is where the node is declared, or else first mentioned.
	Pos Pos

	declared bool
}

// Edge leads from one node to another.
type Edge struct {
	From, To *Node
	Pos      Pos // Of the target.
}

// Node gives a node by its name; nil where there is none.
func (g *Graph) Node(name string) *Node { return g.byName[name] }

// Next lists the names of the nodes that edges lead to from a node, each once, in
// order of the file.
func (g *Graph) Next(name string) []string {
	var names []string
	for _, e := range g.Edges {
		if e.From.Name == name && !slices.Contains(names, e.To.Name) {
			names = append(names, e.To.Name)
		}
	}
	return names
}

// SyntaxError is text that is no graph.
type SyntaxError struct {
	Pos
	Message string
}

// Error gives "3:7: message".
func (e *SyntaxError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Message) }

// What a graph may have at most: subgraphs within subgraphs, and edges, since a
// short text can ask for very many, as {a b c} -> {d e f}.
const (
	maxDepth = 100
	maxEdges = 100_000
)

// Parse reads one directed graph. The error is a [*SyntaxError].
func Parse(text string) (*Graph, error) {
	p := parser{
		lexer: lexer{rest: text, pos: Pos{1, 1}},
		graph: &Graph{byName: make(map[string]*Node)},
	}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.graph, nil
}

// parser is one token ahead.
type parser struct {
	lexer lexer
	tok   token
	graph *Graph
}

func (p *parser) next() error {
	tok, err := p.lexer.next()
	if err != nil {
		return err
	}
	p.tok = tok
	return nil
}

// fault says what was wanted in place of the token at hand.
func (p *parser) fault(want string) error {
	return &SyntaxError{p.tok.pos, fmt.Sprintf("got %s, want %s", p.tok, want)}
}

func (p *parser) parse() error {
	if err := p.next(); err != nil {
		return err
	}
	if p.tok.keyword("strict") {
		if err := p.next(); err != nil {
			return err
		}
	}
	if !p.tok.keyword("digraph") {
		return p.fault("digraph")
	}
	if err := p.next(); err != nil {
		return err
	}
	if p.tok.kind == kindID {
		p.graph.Name = p.tok.text
		if err := p.next(); err != nil {
			return err
		}
	}
	if _, err := p.block(scope{}, 0); err != nil {
		return err
	}
	if p.tok.kind != kindEnd {
		return p.fault("the end of the file")
	}
	return nil
}

// scope holds the default attributes of nodes.
type scope struct{ typ string }

// block reads statements in braces, and gives the nodes that they mention.
func (p *parser) block(s scope, depth int) ([]*Node, error) {
	if depth > maxDepth {
		return nil, &SyntaxError{p.tok.pos, fmt.Sprintf("subgraphs nest deeper than %d", maxDepth)}
	}
	if !p.tok.is("{") {
		return nil, p.fault("{")
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	var all []*Node
	for !p.tok.is("}") {
		nodes, err := p.statement(&s, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, nodes...)
		if p.tok.is(";") || p.tok.is(",") {
			if err := p.next(); err != nil {
				return nil, err
			}
		}
	}
	return all, p.next()
}

func (p *parser) statement(s *scope, depth int) ([]*Node, error) {
	switch {
	case p.tok.keyword("node"):
		attrs, err := p.defaults()
		if typ, ok := attrs["type"]; ok {
			s.typ = typ
		}
		return nil, err
	case p.tok.keyword("graph"), p.tok.keyword("edge"):
		_, err := p.defaults()
		return nil, err
	}
	left, id, err := p.operand(*s, depth)
	if err != nil {
		return nil, err
	}
	if p.tok.is("=") && id != nil {
		p.forget(id)
		return nil, p.assignment()
	}
	all, edge := left, false
	for p.tok.is("->") {
		edge = true
		if err := p.next(); err != nil {
			return nil, err
		}
		pos := p.tok.pos
		right, _, err := p.operand(*s, depth)
		if err != nil {
			return nil, err
		}
		if len(p.graph.Edges)+len(left)*len(right) > maxEdges {
			return nil, &SyntaxError{pos, fmt.Sprintf("more than %d edges", maxEdges)}
		}
		for _, from := range left {
			for _, to := range right {
				p.graph.Edges = append(p.graph.Edges, Edge{from, to, pos})
			}
		}
		left = right
		all = append(all, right...)
	}
	if p.tok.is("--") {
		return nil, p.fault("->, since the graph is directed")
	}
	attrs, err := p.attributes()
	if err != nil {
		return nil, err
	}
	if id != nil && !edge {
		id.declare(attrs)
	}
	return all, nil
}

// defaults reads `node [attributes]`.
func (p *parser) defaults() (map[string]string, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	if !p.tok.is("[") {
		return nil, p.fault("[")
	}
	return p.attributes()
}

// mention is a node's name where it stands, so that it can be declared there.
type mention struct {
	node  *Node
	pos   Pos
	fresh bool
}

func (m *mention) declare(attrs map[string]string) {
	if typ, ok := attrs["type"]; ok {
		m.node.Type = typ
	}
	if !m.node.declared {
		m.node.declared, m.node.Pos = true, m.pos
	}
}

// operand reads a name or a subgraph. The mention is nil for a subgraph.
func (p *parser) operand(s scope, depth int) ([]*Node, *mention, error) {
	if p.tok.keyword("subgraph") {
		if err := p.next(); err != nil {
			return nil, nil, err
		}
		if p.tok.kind == kindID {
			if err := p.next(); err != nil {
				return nil, nil, err
			}
		}
		nodes, err := p.block(s, depth+1)
		return nodes, nil, err
	}
	if p.tok.is("{") {
		nodes, err := p.block(s, depth+1)
		return nodes, nil, err
	}
	if p.tok.kind != kindID {
		return nil, nil, p.fault("the name of a node")
	}
	m := p.mention(s)
	if err := p.next(); err != nil {
		return nil, nil, err
	}
	if p.tok.is(":") {
		return nil, nil, p.fault("no port")
	}
	return []*Node{m.node}, m, nil
}

// mention finds or makes the node that the token names.
func (p *parser) mention(s scope) *mention {
	n := p.graph.byName[p.tok.text]
	fresh := n == nil
	if fresh {
		n = &Node{Name: p.tok.text, Type: s.typ, Pos: p.tok.pos}
		p.graph.byName[n.Name] = n
		p.graph.Nodes = append(p.graph.Nodes, n)
	}
	return &mention{n, p.tok.pos, fresh}
}

// forget takes back a mention that turned out to be an attribute's name.
func (p *parser) forget(m *mention) {
	if m.fresh {
		delete(p.graph.byName, m.node.Name)
		p.graph.Nodes = p.graph.Nodes[:len(p.graph.Nodes)-1]
	}
}

// assignment reads `= value`.
func (p *parser) assignment() error {
	if err := p.next(); err != nil {
		return err
	}
	if p.tok.kind != kindID {
		return p.fault("a value")
	}
	return p.next()
}

// attributes reads any number of lists of attributes.
func (p *parser) attributes() (map[string]string, error) {
	attrs := make(map[string]string)
	for p.tok.is("[") {
		if err := p.next(); err != nil {
			return nil, err
		}
		for !p.tok.is("]") {
			if err := p.attribute(attrs); err != nil {
				return nil, err
			}
		}
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	return attrs, nil
}

func (p *parser) attribute(attrs map[string]string) error {
	if p.tok.kind != kindID {
		return p.fault("the name of an attribute or ]")
	}
	name := p.tok.text
	if err := p.next(); err != nil {
		return err
	}
	if !p.tok.is("=") {
		return p.fault("=")
	}
	if err := p.next(); err != nil {
		return err
	}
	if p.tok.kind != kindID {
		return p.fault("a value")
	}
	attrs[name] = p.tok.text
	if err := p.next(); err != nil {
		return err
	}
	if p.tok.is(",") || p.tok.is(";") {
		return p.next()
	}
	return nil
}
