package plan

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeTree writes files, given by slash-separated path, below a new directory.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

const okPlan = "def plan(plan_input):\n    return PlanResult()\n"

func TestReadFile(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"collect.star":       `load("_shared.star", "f")` + "\n" + okPlan,
		"_shared.star":       `load("lib/dates.star", "g")` + "\nf = g\n",
		"lib/dates.star":     "g = 1\n",
		"unused.star":        "x = 1\n",
		"folder/plan.star":   `load("dates.star", "g")` + "\n" + okPlan,
		"folder/dates.star":  "g = 2\n",
		"broken.star":        "def plan(:\n",
		"folder/unused.star": "",
	})
	for _, test := range []struct {
		path, name string
		want       *Source
	}{
		{"collect.star", "", &Source{Name: "collect", Entry: "collect.star"}},
		{"collect.star", "renamed", &Source{Name: "renamed", Entry: "collect.star"}},
		{"folder", "", &Source{Name: "folder", Entry: "plan.star"}},
		{"folder/plan.star", "", &Source{Name: "plan", Entry: "plan.star"}},
		{"broken.star", "", &Source{Name: "broken", Entry: "broken.star"}},
	} {
		src, err := ReadFile(filepath.Join(dir, test.path), test.name)
		if err != nil {
			t.Errorf("ReadFile(%q, %q): %v", test.path, test.name, err)
			continue
		}
		if src.Name != test.want.Name || src.Entry != test.want.Entry || src.Graph != "" {
			t.Errorf("ReadFile(%q, %q) = %+v, want %+v", test.path, test.name, src, test.want)
		}
	}
	src, err := ReadFile(filepath.Join(dir, "collect.star"), "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"_shared.star", "collect.star", "lib/dates.star"}
	if got := slices.Sorted(maps.Keys(src.Files)); !slices.Equal(got, want) {
		t.Errorf("files = %q, want %q: what is loaded and nothing else", got, want)
	}
	rebuilt, err := NewSource(src.Name, src.Entry, src.Files)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(src, rebuilt); diff != "" {
		t.Errorf("NewSource of the same text (-read +rebuilt):\n%s", diff)
	}
}

func TestReadFileRelativeToWorkingDirectory(t *testing.T) {
	dir := writeTree(t, map[string]string{"collect.star": okPlan, "folder/plan.star": okPlan})
	t.Chdir(dir)
	for path, want := range map[string]string{"collect.star": "collect", "folder": "folder", "folder/": "folder"} {
		src, err := ReadFile(path, "")
		if err != nil || src.Name != want {
			t.Errorf("ReadFile(%q) = %+v, %v, want a plan named %q", path, src, err, want)
		}
	}
	t.Chdir(filepath.Join(dir, "folder"))
	if src, err := ReadFile(".", ""); err != nil || src.Name != "folder" {
		t.Errorf("ReadFile(.) = %+v, %v, want a plan named folder", src, err)
	}
}

// TestReadFileConfinement checks every way to name what lies outside of the
// plan's directory.
func TestReadFileConfinement(t *testing.T) {
	top := writeTree(t, map[string]string{
		"secret.star":          "x = 1\n",
		"plan/sub/inside.star": "x = 1\n",
	})
	dir := filepath.Join(top, "plan")
	symlink(t, "../secret.star", filepath.Join(dir, "out.star"))
	symlink(t, filepath.Join(top, "secret.star"), filepath.Join(dir, "absolute.star"))
	symlink(t, filepath.Join(dir, "sub/inside.star"), filepath.Join(dir, "absolute_inside.star"))
	symlink(t, "..", filepath.Join(dir, "up"))
	symlink(t, "sub/inside.star", filepath.Join(dir, "in.star"))
	symlink(t, "sub", filepath.Join(dir, "insub"))
	symlink(t, "loop.star", filepath.Join(dir, "loop.star"))
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.star"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		module string
		want   string // Empty where the module can be read.
	}{
		{"in.star", ""},
		{"insub/inside.star", ""},
		{"sub/inside.star", ""},
		{"out.star", `plan.star:1:6: cannot load "out.star": path escapes from parent`},
		{"absolute.star", `plan.star:1:6: cannot load "absolute.star": path escapes from parent`},
		{"absolute_inside.star", `plan.star:1:6: cannot load "absolute_inside.star": path escapes from parent`},
		{"up/secret.star", `plan.star:1:6: cannot load "up/secret.star": path escapes from parent`},
		{"loop.star", `plan.star:1:6: cannot load "loop.star": too many levels of symbolic links`},
		{"fifo.star", `plan.star:1:6: cannot load "fifo.star": not a regular file`},
		{"sub", `plan.star:1:6: cannot load "sub": not a regular file`},
		{"absent.star", `plan.star:1:6: cannot load "absent.star": no such file in the plan's directory`},
		{"../secret.star", `plan.star:1:6: cannot load "../secret.star": want a path below the plan's directory, without ".."`},
		{"sub/../../secret.star", `plan.star:1:6: cannot load "sub/../../secret.star": want a path below the plan's directory, without ".."`},
		{"sub/../in.star", `plan.star:1:6: cannot load "sub/../in.star": want a path below the plan's directory, without ".."`},
		{"/etc/passwd", `plan.star:1:6: cannot load "/etc/passwd": want a path relative to the plan's directory, as "lib.star"`},
		{"//lib.star", `plan.star:1:6: cannot load "//lib.star": want a path relative to the plan's directory, as "lib.star"`},
		{":lib.star", `plan.star:1:6: cannot load ":lib.star": want a path relative to the plan's directory, as "lib.star"`},
		{"@repo//lib.star", `plan.star:1:6: cannot load "@repo//lib.star": want a path relative to the plan's directory, as "lib.star"`},
		{"./in.star", `plan.star:1:6: cannot load "./in.star": want a plain path, as "lib.star" or "lib/dates.star"`},
		{"sub//inside.star", `plan.star:1:6: cannot load "sub//inside.star": want a plain path, as "lib.star" or "lib/dates.star"`},
		{"", `plan.star:1:6: cannot load "": want a plain path, as "lib.star" or "lib/dates.star"`},
		{".", `plan.star:1:6: cannot load ".": want a plain path, as "lib.star" or "lib/dates.star"`},
	} {
		text := `load("` + test.module + `", "x")` + "\n" + okPlan
		if err := os.WriteFile(filepath.Join(dir, "plan.star"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(dir, "")
		if test.want == "" {
			if err != nil {
				t.Errorf("ReadFile of a plan that loads %q: %v", test.module, err)
			}
			continue
		}
		var fault *LoadError
		if !errors.As(err, &fault) || fault.Error() != test.want || fault.Code != CodeLoad {
			t.Errorf("ReadFile of a plan that loads %q: %v, want %s", test.module, err, test.want)
		}
	}
}

func TestReadFileEntryOutside(t *testing.T) {
	top := writeTree(t, map[string]string{"secret.star": okPlan, "plans/ok.star": okPlan})
	symlink(t, "../secret.star", filepath.Join(top, "plans", "link.star"))
	if src, err := ReadFile(filepath.Join(top, "plans", "link.star"), ""); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("ReadFile(a link that leads out) = %+v, %v, want an error", src, err)
	}
	if _, err := ReadFile(filepath.Join(top, "absent.star"), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadFile(absent) = %v, want os.ErrNotExist", err)
	}
}

// TestReadFileConfigMap reads plans from the layout of a mounted ConfigMap.
func TestReadFileConfigMap(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"..2026_01_02/plan.star": `load("lib.star", "x")` + "\n" + okPlan,
		"..2026_01_02/lib.star":  "x = 1\n",
	})
	symlink(t, "..2026_01_02", filepath.Join(dir, "..data"))
	symlink(t, "..data/plan.star", filepath.Join(dir, "plan.star"))
	symlink(t, "..data/lib.star", filepath.Join(dir, "lib.star"))
	src, err := ReadFile(dir, "collect")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Compile(src, Limits{}); err != nil {
		t.Error(err)
	}
}

func TestSourceLimit(t *testing.T) {
	const want = "plan.star: source exceeds the limit of 262144 bytes with all modules; move data out of the plan or split it into several"
	load := `load("lib.star", "x")` + "\n"
	fill := func(n int) string { return "#" + strings.Repeat("x", n-2) + "\n" }
	for _, test := range []struct {
		name      string
		plan, lib string
		ok        bool
	}{
		{"one file, exactly", fill(MaxSource), "", true},
		{"one file, one more", fill(MaxSource + 1), "", false},
		{"two files, exactly", load + fill(1000), fill(MaxSource - 1000 - len(load)), true},
		{"two files, one more", load + fill(1000), fill(MaxSource - 999 - len(load)), false},
		{"far more", fill(10 * MaxSource), "", false},
	} {
		files := map[string]string{"plan.star": test.plan}
		if test.lib != "" {
			files["lib.star"] = test.lib
		}
		_, readErr := ReadFile(writeTree(t, files), "x")
		_, newErr := NewSource("x", "plan.star", files)
		for _, err := range []error{readErr, newErr} {
			var fault *LoadError
			switch {
			case test.ok && err != nil:
				t.Errorf("%s: %v", test.name, err)
			case !test.ok && (!errors.As(err, &fault) || fault.Error() != want || fault.Code != CodeSourceLimit):
				t.Errorf("%s: %v, want %s", test.name, err, want)
			}
		}
	}
}

func TestNewSourceErrors(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no entry", map[string]string{"lib.star": ""}, `plan "x": entry "plan.star" is not among its files`},
		{"bad module name", map[string]string{"plan.star": "", "../x": ""}, `plan "x": module name "../x": want a path below the plan's directory, without ".."`},
		{"no UTF-8", map[string]string{"plan.star": "# ä\nx = 'ä\xe4'\n"}, `plan.star:2:7: byte "\xe4" is not valid UTF-8`},
		{"NUL in a module name", map[string]string{"plan.star": "", "a\x00b": ""}, `plan "x": module name "a\x00b": want slashes between folders and no backslash or NUL`},
	} {
		if _, err := NewSource("x", "plan.star", test.files); err == nil || err.Error() != test.want {
			t.Errorf("%s: NewSource = %v, want %s", test.name, err, test.want)
		}
	}
}

// TestDigest fixes the algorithm, since digests are compared across versions, and
// checks that every part of the text counts.
func TestDigest(t *testing.T) {
	source := func(entry string, files map[string]string) string {
		src, err := NewSource("x", entry, files)
		if err != nil {
			t.Fatal(err)
		}
		return src.Digest
	}
	base := map[string]string{"a.star": "x = 1\n", "b.star": "y = 2\n"}
	const want = "9f23ea0742d2c06d9e5f2e8ba78df2ad34e1bd8949f4f5a3dc269abc87bde08e"
	if got := source("a.star", base); got != want {
		t.Errorf("digest = %s, want %s", got, want)
	}
	seen := map[string]string{source("a.star", base): "base"}
	for name, digest := range map[string]string{
		"other entry":       source("b.star", base),
		"other text":        source("a.star", map[string]string{"a.star": "x = 1\n", "b.star": "y = 3\n"}),
		"other name":        source("a.star", map[string]string{"a.star": "x = 1\n", "c.star": "y = 2\n"}),
		"file less":         source("a.star", map[string]string{"a.star": "x = 1\n"}),
		"text moved over":   source("a.star", map[string]string{"a.star": "x = 1\ny = 2\n", "b.star": ""}),
		"name moved over":   source("a.star", map[string]string{"a.star": "x = 1\n", "b.stary": " = 2\n"}),
		"swapped":           source("a.star", map[string]string{"a.star": "y = 2\n", "b.star": "x = 1\n"}),
		"trailing new line": source("a.star", map[string]string{"a.star": "x = 1\n\n", "b.star": "y = 2\n"}),
	} {
		if other, ok := seen[digest]; ok {
			t.Errorf("digest of %q equals that of %q", name, other)
		}
		seen[digest] = name
	}
}

func TestNewSourceCopiesFiles(t *testing.T) {
	files := map[string]string{"plan.star": okPlan}
	src, err := NewSource("x", "plan.star", files)
	if err != nil {
		t.Fatal(err)
	}
	files["plan.star"] = "changed"
	if src.Files["plan.star"] != okPlan {
		t.Error("NewSource shares the caller's map")
	}
}

func TestFind(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"ship.star":             okPlan,
		"ship_test.star":        "",
		"_lib.star":             "",
		".hidden.star":          okPlan,
		"README.md":             "",
		"collect/plan.star":     okPlan,
		"collect/lib.star":      "",
		"collect/sub/plan.star": okPlan,
		"_shared/plan.star":     okPlan,
		"graph1/ship/plan.star": okPlan,
		"graph1/ship/lib.star":  "",
		"graph1/_x/plan.star":   okPlan,
		"graph1/stray.star":     okPlan,
		"graph2/ship/plan.star": okPlan,
		"empty/nothing.txt":     "",
		"graph1/deep/er/x.star": okPlan,
	})
	symlink(t, "nowhere.star", filepath.Join(dir, "dangling.star"))
	found, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, loc := range found {
		rel, err := filepath.Rel(dir, loc.Path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, loc.Label()+" "+filepath.ToSlash(rel))
		src, err := loc.Read()
		if loc.Name == "dangling" {
			if err == nil {
				t.Error("Read of a dangling link gives no error")
			}
			continue
		}
		if err != nil || src.Name != loc.Name || src.Graph != loc.Graph || src.Label() != loc.Label() {
			t.Errorf("Read of %s = %+v, %v", loc.Label(), src, err)
		}
	}
	want := []string{
		"collect collect/plan.star",
		"dangling dangling.star",
		"graph1:ship graph1/ship/plan.star",
		"graph2:ship graph2/ship/plan.star",
		"ship ship.star",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Find (-want +got):\n%s", diff)
	}
}

func TestFindErrors(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{
			"two plans of one name", map[string]string{"ship.star": okPlan, "ship/plan.star": okPlan},
			`two plans are named "ship": DIR/ship/plan.star and DIR/ship.star; rename or remove one`,
		},
		{
			"a name that no key selects", map[string]string{"a:b.star": okPlan},
			`DIR/a:b.star: plan name "a:b": want no colon, which separates graph and plan in record keys`,
		},
		{
			"a name too long", map[string]string{strings.Repeat("x", 101) + ".star": okPlan},
			`DIR/` + strings.Repeat("x", 101) + `.star: plan name "` + strings.Repeat("x", 101) + `": want at most 100 characters`,
		},
		{
			"no name", map[string]string{"g/ /plan.star": okPlan, "\xff.star": okPlan},
			"DIR/\xff.star: plan name \"\\xff\": want valid UTF-8 of at least one character",
		},
	} {
		dir := writeTree(t, test.files)
		_, err := Find(dir)
		if err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != test.want {
			t.Errorf("%s: Find = %v, want %s", test.name, err, test.want)
		}
	}
}

// TestFindConfinement checks that a plan's folder cannot be a link out of the
// directory that is served.
func TestFindConfinement(t *testing.T) {
	top := writeTree(t, map[string]string{"outside/plan.star": okPlan, "plans/in/plan.star": okPlan})
	symlink(t, "../outside", filepath.Join(top, "plans", "out"))
	symlink(t, "in", filepath.Join(top, "plans", "alias"))
	found, err := Find(filepath.Join(top, "plans"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := labels(found), []string{"alias", "in"}; !slices.Equal(got, want) {
		t.Errorf("Find = %q, want %q", got, want)
	}
	// A folder that is made a link after it was found.
	if err := os.RemoveAll(filepath.Join(top, "plans", "in")); err != nil {
		t.Fatal(err)
	}
	symlink(t, "../outside", filepath.Join(top, "plans", "in"))
	if src, err := found[1].Read(); err == nil {
		t.Errorf("Read of a folder that leads out = %+v, want an error", src)
	}
}
