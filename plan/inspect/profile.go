package inspect

// maxNodes bounds the places of a profile. The steps of further ones count for the
// line that leads to them.
const maxNodes = 20_000

// profile counts steps in a tree of calls, whose nodes are lines.
type profile struct {
	root  node
	path  []*node // The line of each call under way, outermost first.
	nodes int
	last  uint64 // Steps counted so far.
}

type node struct {
	place    Place
	steps    uint64
	children []*node // In the order of their first visit.
	index    map[Place]*node
}

func newProfile() *profile { return new(profile) }

// top is where steps count.
func (p *profile) top() *node {
	if len(p.path) == 0 {
		return &p.root
	}
	return p.path[len(p.path)-1]
}

// enter begins a call, move goes to another line of it, leave ends it.
func (p *profile) enter(place Place) { p.path = append(p.path, p.child(p.top(), place)) }

func (p *profile) move(place Place) {
	p.leave()
	p.enter(place)
}

func (p *profile) leave() { p.path = p.path[:len(p.path)-1] }

func (p *profile) child(n *node, place Place) *node {
	if c, ok := n.index[place]; ok {
		return c
	}
	if p.nodes == maxNodes {
		return n
	}
	p.nodes++
	c := &node{place: place}
	if n.index == nil {
		n.index = make(map[Place]*node)
	}
	n.index[place] = c
	n.children = append(n.children, c)
	return c
}

// account counts the steps since the last time. The count of a thread may be a
// little behind after a jump that probes moved.
func (p *profile) account(steps uint64) {
	if steps > p.last {
		p.top().steps += steps - p.last
		p.last = steps
	}
}

// samples gives the lines that took steps.
func (p *profile) samples(each func(Sample)) { p.root.samples(nil, each) }

func (n *node) samples(above []Place, each func(Sample)) {
	for _, c := range n.children {
		stack := append([]Place{c.place}, above...)
		if c.steps > 0 {
			each(Sample{Stack: stack, Steps: c.steps})
		}
		c.samples(stack, each)
	}
}
