// Package check judges plans without running them on records: what does not
// parse, names and fields that are not there, arguments that do not fit, paths
// that return nothing, tasks that the graph does not have, top levels that fail.
//
//	report, err := check.Files(ctx, []string{"plans/"}, check.Options{})
//	report, err := check.Source(ctx, "plans/route.star", text, check.Options{})
//
// A file that does not parse gives one finding, since the parser stops there.
// Everything else gives all that is wrong. What a plan does with values is
// followed through variables, loops, comprehensions and functions; where the text
// does not tell what a value is, nothing is said about it. An error means that the
// plan cannot be served, or that a run which gets to that place fails.
//
// At last the plan is loaded: one whose top level could cost something through a
// [plan.Engine], which isolates it where it is a pool of workers, any other here.
//
// The codes of findings are stable: [Codes] lists them.
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"starplan/plan"
)

// Options configure a check.
type Options struct {
	// Engine runs top levels that may cost something. Nil runs them in this process,
	// under the step limit and nothing else: that is for plans that are one's own.
	Engine plan.Engine
	// Limits are those of the Engine; zero fields mean the defaults.
	Limits plan.Limits
	// Graph is the path of a graph in DOT that has the plans as nodes; often empty.
	Graph string
	// Tasks are all tasks that plans may name; nil where they are not known. They
	// go before those of a graph.
	Tasks []string
}

// Files checks the plans of all paths. A path is a file, a folder that holds
// plan.star, a directory of plans as [plan.Find] reads it, or a graph's bundle: a
// directory that holds agent_graph.dot and plans/NAME/plan.star. A file whose name
// begins with "_" is a module, which needs no plan().
//
// An error means that a path could not be read or that the engine failed, not that
// something is wrong with a plan.
func Files(ctx context.Context, paths []string, opts Options) (*Report, error) {
	c, err := newChecker(opts)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	for _, path := range paths {
		if err := c.path(path); err != nil {
			return nil, fmt.Errorf("check: %w", err)
		}
	}
	return c.run(ctx)
}

// Source checks a text that need not be in a file. path says where it would lie:
// modules are read from that directory, and the plan is named after it.
func Source(ctx context.Context, path, text string, opts Options) (*Report, error) {
	c, err := newChecker(opts)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(path), ".star")
	if filepath.Base(path) == plan.EntryFile {
		if abs, err := filepath.Abs(path); err == nil {
			name = filepath.Base(filepath.Dir(abs))
		}
	}
	c.units = append(c.units, unit{
		dir: filepath.Dir(path), label: name, name: name, module: isModule(path), graph: c.graph,
		survey: func() (*plan.Survey, error) { return plan.SurveyText(path, text) },
	})
	return c.run(ctx)
}

// unit is one plan to check.
type unit struct {
	dir, label, name string
	// graphID is the graph whose keys the plan serves; often empty.
	graphID string
	// module says that it is no plan, but a module of plans.
	module bool
	graph  *graph // Nil where none is known.
	survey func() (*plan.Survey, error)
}

// checker collects units and then findings.
type checker struct {
	opts  Options
	local plan.Engine
	graph *graph // Of Options.Graph.
	units []unit

	mu       sync.Mutex
	findings []Finding
	texts    map[string]string
}

func newChecker(opts Options) (*checker, error) {
	c := &checker{opts: opts, local: plan.NewInProcess("check", opts.Limits), texts: make(map[string]string)}
	if opts.Engine == nil {
		c.opts.Engine = c.local
	}
	if opts.Graph != "" {
		g, err := c.readGraph(opts.Graph)
		if err != nil {
			return nil, err
		}
		c.graph = g
	}
	return c, nil
}

// run checks all units, several at a time.
func (c *checker) run(ctx context.Context) (*Report, error) {
	var group errgroup.Group
	group.SetLimit(8 * runtime.GOMAXPROCS(0)) // Most of them may wait for the engine.
	for _, u := range c.units {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.unit(ctx, u)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return newReport(c.findings, c.texts), nil
}

// take adds the findings of one module.
func (c *checker) take(f *findings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts[f.file] = f.text
	c.findings = append(c.findings, f.list...)
}

// path adds the plans of one path.
func (c *checker) path(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir() && exists(filepath.Join(path, graphFile)):
		return c.bundle(path)
	case info.IsDir() && exists(filepath.Join(path, plan.EntryFile)):
		locs, err := plan.Find(filepath.Join(path, plan.EntryFile))
		if err != nil {
			return err
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		locs[0].Name = filepath.Base(abs)
		c.add(locs[0], c.graph)
		return nil
	}
	found, err := plan.Find(path)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s holds no plan: want NAME.star, NAME/%s or GRAPH_ID/NAME/%s", path, plan.EntryFile, plan.EntryFile)
	}
	for _, loc := range found {
		c.add(loc, c.graph)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// add adds a plan.
func (c *checker) add(loc plan.Location, g *graph) {
	c.units = append(c.units, unit{
		dir: filepath.Dir(loc.Path), label: loc.Label(), name: loc.Name, graphID: loc.Graph,
		module: isModule(loc.Path), graph: g, survey: loc.Survey,
	})
}

// isModule reports whether a file is a module by its name, or a test: neither
// needs plan().
func isModule(path string) bool {
	base := filepath.Base(path)
	return strings.HasPrefix(base, "_") || isTest(path)
}

// isTest reports whether a file is a test by its name.
func isTest(path string) bool { return strings.HasSuffix(filepath.Base(path), "_test.star") }

// unit checks one plan.
func (c *checker) unit(ctx context.Context, u unit) error {
	survey, err := u.survey()
	if err != nil {
		return err
	}
	modules := make(map[string]*module)
	for name, text := range survey.Files {
		modules[name] = checkModule(u, name, text, name == survey.Entry)
	}
	entry := modules[survey.Entry]
	if entry == nil {
		entry = &module{findings: moduleFindings(u.dir, survey.Entry, u.label, "")}
		modules[survey.Entry] = entry
	}
	for _, fault := range survey.Faults {
		m := modules[fault.File]
		if m == nil {
			m = entry
		}
		m.broken = true
		m.findings.fault(fault)
	}
	checkLoads(modules, survey.Entry)
	if !u.module {
		entry.signature(entryPoint)
		c.tasks(u, modules, entry)
	}
	broken := slices.ContainsFunc(slices.Collect(maps.Values(modules)), func(m *module) bool { return m.broken })
	if !broken && !u.module {
		err = c.load(ctx, u, survey, modules)
	}
	for _, m := range modules {
		c.take(m.findings)
	}
	return err
}
