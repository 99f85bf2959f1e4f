package starlarkpb

// extent is an upper bound on what scripts have put together in a message. Copies
// share what they were copied from, so without a bound 60 lines of a script could
// build a message that takes longer than anyone lives to serialize. What came
// through FromProto counts as nothing: it is as large as it is.
type extent struct {
	levels int // of messages within the message
	nodes  int // messages within the message
}

// below bounds each part of a message of extent e.
func (e extent) below() extent {
	return extent{levels: max(e.levels-1, 0), nodes: max(e.nodes-1, 0)}
}

// hold adds to e, which is the extent of a message, that of a kid of it.
func (e *extent) hold(kid *Message) {
	k := kid.extent()
	e.levels = max(e.levels, k.levels+1)
	e.nodes += k.nodes
	if kid.added {
		e.nodes++
	} else {
		e.nodes -= kid.built.nodes // They are in e already.
	}
}

// extent bounds what scripts have put together in m. It recurses as build does.
func (m *Message) extent() extent {
	e := m.built
	if m.view {
		return e
	}
	kids, unlock := m.lockKids()
	defer unlock()
	for _, kid := range kids {
		switch kid := kid.(type) {
		case *Message:
			if !kid.view {
				e.hold(kid)
			}
		case *Repeated:
			for _, elem := range kid.elems {
				if elem, ok := elem.(*Message); ok {
					e.hold(elem)
				}
			}
		case *Map:
			for _, elem := range kid.vals {
				if elem, ok := elem.(*Message); ok {
					e.hold(elem)
				}
			}
		}
	}
	return e
}
