package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"starplan/plan/execution"
)

// Location is where a plan lies on disk.
type Location struct {
	// Graph is the graph whose keys the plan serves; empty for those of any.
	Graph string
	// Name is the plan's name.
	Name string
	// Path is the plan's entry, for people.
	Path string

	top, dir, entry string
}

// Label names the plan as [Source.Label] does.
func (l Location) Label() string { return execution.Key{Graph: l.Graph, Plan: l.Name}.String() }

// Read reads the plan. It reads nothing outside of the plan's own directory, and
// that has to lie in the directory that was searched.
func (l Location) Read() (*Source, error) {
	root, err := l.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	src, err := readRoot(root, l.entry, l.Name)
	if err != nil {
		return nil, err
	}
	src.Graph = l.Graph
	return src, nil
}

// open gives the plan's own directory; links that lead out of the directory that
// was searched are refused.
func (l Location) open() (*os.Root, error) {
	top, err := os.OpenRoot(l.top)
	if err != nil {
		return nil, fmt.Errorf("read plan %q: %w", l.Label(), err)
	}
	defer func() { _ = top.Close() }()
	root, err := top.OpenRoot(l.dir)
	if err != nil {
		return nil, fmt.Errorf("read plan %q: %w", l.Label(), err)
	}
	return root, nil
}

// Find lists the plans of a directory, sorted by label: NAME.star, NAME/plan.star
// and GRAPH_ID/NAME/plan.star. Not plans are *_test.star, and whatever begins
// with "_" or ".". A folder that holds plan.star is a plan's and never a graph's.
// Two plans of one name in the same place are an error that names both.
//
// Where path is a file, it is the one plan found, named after its file.
func Find(path string) ([]Location, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []Location{fileLocation(path, nameOf(path))}, nil
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f := finder{path: path, root: root}
	if err := f.search("."); err != nil {
		return nil, err
	}
	slices.SortFunc(f.found, func(a, b Location) int { return cmp.Compare(a.Label(), b.Label()) })
	for i := 1; i < len(f.found); i++ {
		if a, b := f.found[i-1], f.found[i]; a.Label() == b.Label() {
			return nil, fmt.Errorf("two plans are named %q: %s and %s; rename or remove one", a.Label(), a.Path, b.Path)
		}
	}
	return f.found, nil
}

// fileLocation is the location of a plan that is a file of its own.
func fileLocation(path, name string) Location {
	dir, entry := filepath.Split(path)
	return Location{Name: name, Path: path, top: cmp.Or(dir, "."), dir: ".", entry: entry}
}

// finder searches a directory for plans.
type finder struct {
	path  string
	root  *os.Root
	found []Location
}

// search looks at the entries of one folder: the top one or a graph's.
func (f *finder) search(dir string) error {
	entries, err := fs.ReadDir(f.root.FS(), filepath.ToSlash(dir))
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") {
			continue
		}
		path := filepath.Join(dir, name)
		info, err := f.root.Stat(path)
		switch {
		case err == nil && info.IsDir():
			err = f.folder(dir, name)
		case dir == ".":
			// A file, or a link that leads nowhere, which Read will complain about.
			err = f.file(name)
		default:
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// file adds NAME.star.
func (f *finder) file(file string) error {
	name, ok := strings.CutSuffix(file, ".star")
	if !ok || strings.HasSuffix(name, "_test") {
		return nil
	}
	return f.add(Location{Name: name, dir: ".", entry: file})
}

// folder adds NAME/plan.star, or at the top what the graph folder holds.
func (f *finder) folder(dir, name string) error {
	path := filepath.Join(dir, name)
	_, err := f.root.Lstat(filepath.Join(path, EntryFile))
	switch {
	case err == nil:
		graph := ""
		if dir != "." {
			graph = dir
		}
		return f.add(Location{Graph: graph, Name: name, dir: path, entry: EntryFile})
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", f.path, err)
	case dir == ".":
		return f.search(path)
	default:
		return nil
	}
}

func (f *finder) add(l Location) error {
	l.top = f.path
	l.Path = filepath.Join(f.path, l.dir, l.entry)
	if err := checkPlanName(l.Name); err != nil {
		return fmt.Errorf("%s: %w", l.Path, err)
	}
	if !utf8.ValidString(l.Graph) {
		return fmt.Errorf("%s: graph %q: want valid UTF-8", l.Path, l.Graph)
	}
	f.found = append(f.found, l)
	return nil
}

// checkPlanName refuses names that no record key could select, or that consumers
// cannot store.
func checkPlanName(name string) error {
	switch {
	case name == "" || !utf8.ValidString(name):
		return fmt.Errorf("plan name %q: want valid UTF-8 of at least one character", name)
	case strings.Contains(name, ":"):
		return fmt.Errorf("plan name %q: want no colon, which separates graph and plan in record keys", name)
	case utf8.RuneCountInString(name) > execution.MaxName:
		return fmt.Errorf("plan name %q: want at most %d characters", name, execution.MaxName)
	}
	return nil
}

// selectPlans lists the plans that a process serves: those of path that names and
// graph leave, where both may be empty. A name in the list that is not there is
// an error.
func selectPlans(path string, names []string, graph string) ([]Location, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if len(names) != 1 {
			return nil, fmt.Errorf("%s is a file, so exactly one plan name is wanted: got %d", path, len(names))
		}
		if err := checkPlanName(names[0]); err != nil {
			return nil, err
		}
		return []Location{fileLocation(path, names[0])}, nil
	}
	found, err := Find(path)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(l Location) bool {
		return graph != "" && l.Graph != "" && l.Graph != graph
	})
	if len(names) == 0 {
		return found, nil
	}
	var chosen []Location
	for _, name := range names {
		n := len(chosen)
		for _, l := range found {
			if l.Name == name {
				chosen = append(chosen, l)
			}
		}
		if len(chosen) == n {
			return nil, fmt.Errorf("plan %q is not in %s (plans there: %s)", name, path, list(labels(found)))
		}
	}
	slices.SortFunc(chosen, func(a, b Location) int { return cmp.Compare(a.Label(), b.Label()) })
	return slices.CompactFunc(chosen, func(a, b Location) bool { return a.Label() == b.Label() }), nil
}

func labels(found []Location) []string {
	names := make([]string, 0, len(found))
	for _, l := range found {
		names = append(names, l.Label())
	}
	return names
}

// maxListed bounds the names in one message.
const maxListed = 20

// list joins names for a message, bounded.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if rest := len(names) - maxListed; rest > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), rest)
	}
	return strings.Join(names, ", ")
}
