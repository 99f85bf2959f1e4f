// Package inspect looks into runs of a plan: which lines ran and what they
// changed, how many steps each of them took, and what the variables held where a
// run failed.
//
// It runs the plan once more for that. Runs are pure, so what is seen is what
// happened; and the run that counts is not slowed and takes not a step more. An
// [Inspector] enforces the step limit, but neither wall clock nor memory: that is
// for the process that it works in.
//
// All that it tells is bounded in size. Values are written as Starlark literals,
// as far as they have any, cut to a few hundred bytes.
package inspect

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/probe"
)

// MaxLines is the largest value of Options.Lines.
const MaxLines = 10_000_000

// Options say what is looked for.
type Options struct {
	// Lines is how many lines of a trace are told; 0 means none.
	Lines int
	// Profile counts steps by line and call stack.
	Profile bool
	// Locals tells what variables held where plan() failed.
	Locals bool
}

// Event is one thing that was seen: exactly one field is set.
type Event struct {
	// Line is a line that is about to run.
	Line *Line `json:"line,omitempty"`
	// Changed are variables that the last line of a call has changed.
	Changed *Changed `json:"changed,omitempty"`
	// Skipped is how many lines ran beyond Options.Lines. It comes last.
	Skipped uint64 `json:"skipped,omitempty"`
	// Sample is a part of a profile. Samples come when the run is over.
	Sample *Sample `json:"sample,omitempty"`
	// Frame is a call that was under way when plan() failed; the outermost one,
	// plan's own, comes first.
	Frame *Frame `json:"frame,omitempty"`
}

// Place is a line of a function.
type Place struct {
	Function string `json:"function"`
	// Module is the name of the plan's module, as "plan.star".
	Module string `json:"module"`
	Line   int    `json:"line"`
	// Start is the line on which the function begins.
	Start int `json:"start"`
}

// Line is a line that is about to run. A function that is called shows its own
// first line, with its parameters; a loop its line at each turn.
type Line struct {
	Place
	// Depth is how many functions of the plan are being called; plan itself is 1.
	Depth int `json:"depth"`
}

// Changed tells of variables that hold something else than when the line before
// ran.
type Changed struct {
	Depth int        `json:"depth"`
	Vars  []Variable `json:"vars"`
	// More is how many others changed.
	More int `json:"more,omitempty"`
}

// Variable is a name and the text of what it holds.
type Variable struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Sample is the steps of one line, of the calls that led to it.
type Sample struct {
	// Stack begins with the line itself.
	Stack []Place `json:"stack"`
	Steps uint64  `json:"steps"`
}

// Frame is a call that was under way.
type Frame struct {
	Place
	Col  int        `json:"col"`
	Vars []Variable `json:"vars"`
	// More is how many variables there are beyond those.
	More int `json:"more,omitempty"`
}

// Inspector looks into runs of one plan. It is for one goroutine at a time.
type Inspector struct {
	src *plan.Source
	lim plan.Limits
	// hidden are the variables of comprehensions: no trace shows them.
	hidden map[spot]bool
	plain  *plan.Program // Nil until it is needed.
	probed *plan.Program // Nil until it is needed.
	// run is under way; nil while none is.
	run *run
}

// New makes an Inspector for a plan under limits. It runs nothing.
func New(src *plan.Source, lim plan.Limits) *Inspector {
	return &Inspector{src: src, lim: lim, hidden: comprehensionVars(src)}
}

// Inspect runs the plan on a record and tells what it sees. The error is a
// *plan.LoadError: the plan does not load.
func (i *Inspector) Inspect(tenant string, rec execution.Record, opts Options, emit func(Event)) error {
	if opts.Lines > 0 || opts.Profile {
		if err := i.trace(tenant, rec, opts, emit); err != nil {
			return err
		}
	}
	if opts.Locals {
		return i.locals(tenant, rec, emit)
	}
	return nil
}

// trace runs the plan once, with probes.
func (i *Inspector) trace(tenant string, rec execution.Record, opts Options, emit func(Event)) (err error) {
	if i.probed == nil {
		i.probed, err = plan.CompileProbed(i.src, i.lim, func(thread *starlark.Thread, module string, point probe.Point) {
			if i.run != nil {
				i.run.passed(thread, module, point)
			}
		})
		if err != nil {
			return err
		}
	}
	r := newRun(i.probed.MaxSteps(), i.hidden, opts, emit)
	i.run = r
	defer func() { i.run = nil }()
	out, _ := i.probed.Watch(tenant, rec, r.step)
	r.finish(out.Steps)
	return nil
}

// spot is a position that can be compared.
type spot struct {
	module    string
	line, col int32
}

func spotOf(p syntax.Position) spot { return spot{p.Filename(), p.Line, p.Col} }

// comprehensionVars are where the variables of comprehensions are bound.
func comprehensionVars(src *plan.Source) map[spot]bool {
	vars := make(map[spot]bool)
	for name, text := range src.Files {
		file, err := plan.Parse(name, text)
		if err != nil {
			continue // The plan does not load, which is told in its time.
		}
		syntax.Walk(file, func(n syntax.Node) bool {
			if clause, ok := n.(*syntax.ForClause); ok {
				for _, id := range probe.Targets(clause.Vars) {
					vars[spotOf(id.NamePos)] = true
				}
			}
			return true
		})
	}
	return vars
}
