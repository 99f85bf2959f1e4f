package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.starlark.net/syntax"
	"google.golang.org/protobuf/proto"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

// load loads the plan as the service would.
func (c *checker) load(ctx context.Context, u unit, survey *plan.Survey, modules map[string]*module) error {
	src, err := plan.NewSource(u.name, survey.Entry, survey.Files)
	var fault *plan.LoadError
	if err == nil {
		src.Graph = u.graphID
		err = c.loadSource(ctx, src, modules)
	}
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &fault):
		return err
	}
	m := modules[fault.File]
	if m == nil {
		m = modules[survey.Entry]
	}
	// What fails where a finding stands already fails because of it.
	if fault.Line == 0 || !m.findings.hasError(fault.Line) {
		m.findings.fault(fault)
	}
	return nil
}

// loadSource loads a plan where it may be loaded.
func (c *checker) loadSource(ctx context.Context, src *plan.Source, modules map[string]*module) error {
	for _, m := range modules {
		if !m.bounded {
			if c.probe(ctx, src, modules[src.Entry]) {
				return nil
			}
			return c.opts.Engine.Load(ctx, src)
		}
	}
	return c.local.Load(ctx, src)
}

// probeTime is how long a plan may take to load together with others.
const probeTime = 2 * time.Second

// probe reports whether the engine can load the plan. [plan.Engine.Load] starts a
// process for each plan, where the engine is a pool of workers; to run a record
// loads many plans in one, one after the other. So another plan is run that loads
// this one as a module and does nothing else. If that works, so does this one,
// whose top levels take less; that its plan() takes one argument, the text tells.
// Whatever else happens, Load has the last word.
func (c *checker) probe(ctx context.Context, src *plan.Source, entry *module) bool {
	if planDef(entry.file) == nil {
		return false
	}
	name := "probe.star"
	for has(src.Files, name) {
		name = "_" + name
	}
	files := maps.Clone(src.Files)
	files[name] = fmt.Sprintf("load(%s, _ = %q)\ndef plan(plan_input):\n    return PlanResult()\n", syntax.Quote(src.Entry, false), entryPoint)
	other, err := plan.NewSource(src.Name, name, files)
	if err != nil {
		return false
	}
	value, err := proto.Marshal(&planpb.PlanInput{InputId: "check", PlanName: src.Name})
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	rec := execution.Record{Topic: "check", Key: []byte(src.Name), Value: value, Timestamp: time.UnixMilli(0)}
	answer := make(chan execution.Outcome, 1)
	c.opts.Engine.Start(ctx, other, rec, func(out execution.Outcome) { answer <- out })
	select {
	case out := <-answer:
		return out.Reason == ""
	case <-ctx.Done():
		return false
	}
}

func has(files map[string]string, name string) bool {
	_, ok := files[name]
	return ok
}
