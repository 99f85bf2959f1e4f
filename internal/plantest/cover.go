package plantest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/plan/probe"
)

// Coverage is how much of one file ran.
type Coverage struct {
	File string `json:"file"`
	// Covered and Lines count the lines on which a statement begins.
	Covered int     `json:"covered"`
	Lines   int     `json:"lines"`
	Percent float64 `json:"percent"`
	// Uncovered are the lines with a statement that did not run.
	Uncovered []int `json:"uncovered"`
}

// Ranges writes the uncovered lines as "3-5, 9".
func (c Coverage) Ranges() string {
	var parts []string
	for i := 0; i < len(c.Uncovered); {
		j := i
		for j+1 < len(c.Uncovered) && c.Uncovered[j+1] == c.Uncovered[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(c.Uncovered[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", c.Uncovered[i], c.Uncovered[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// coverage counts the statements of all files that are loaded while it lives. It
// is safe for concurrent use.
type coverage struct {
	mu    sync.Mutex
	files map[string]*fileCoverage
}

// fileCoverage is one file's: its points, and whether each was passed. A file that
// several tests load is parsed several times, into the same points.
type fileCoverage struct {
	points []probe.Point
	ran    []atomic.Bool
}

func newCoverage() *coverage { return &coverage{files: make(map[string]*fileCoverage)} }

// instrument puts marks between the statements of a file, which must not be
// resolved yet, and gives the predeclared names that it needs then.
func (c *coverage) instrument(path string, file *syntax.File, names starlark.StringDict) starlark.StringDict {
	var fc *fileCoverage
	points, with := probe.Instrument(file, names, func(_ *starlark.Thread, point int) { fc.ran[point].Store(true) })
	c.mu.Lock()
	defer c.mu.Unlock()
	fc = c.files[path]
	if fc == nil || !slices.EqualFunc(fc.points, points, func(a, b probe.Point) bool { return a.Kind == b.Kind && a.Line == b.Line }) {
		fc = &fileCoverage{points: points, ran: make([]atomic.Bool, len(points))}
		c.files[path] = fc
	}
	return with
}

// report gives the coverage of all files in order.
func (c *coverage) report() []Coverage {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Coverage, 0, len(c.files))
	for path, fc := range c.files {
		lines := make(map[int]bool) // Whether all statements on it ran.
		for i, point := range fc.points {
			if point.Kind != probe.Statement {
				continue
			}
			before, ok := lines[point.Line]
			lines[point.Line] = fc.ran[i].Load() && (before || !ok)
		}
		cov := Coverage{File: path, Lines: len(lines), Percent: 100, Uncovered: []int{}}
		for line, ran := range lines {
			if ran {
				cov.Covered++
			} else {
				cov.Uncovered = append(cov.Uncovered, line)
			}
		}
		slices.Sort(cov.Uncovered)
		if cov.Lines > 0 {
			cov.Percent = 100 * float64(cov.Covered) / float64(cov.Lines)
		}
		list = append(list, cov)
	}
	slices.SortFunc(list, func(a, b Coverage) int { return cmp.Compare(a.File, b.File) })
	return list
}
