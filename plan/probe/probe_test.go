package probe_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starplan/plan/probe"
)

// compile gives f of a file, and how to call it.
func compile(t *testing.T, text string, instrument func(*syntax.File) starlark.StringDict) func() uint64 {
	t.Helper()
	opts := &syntax.FileOptions{TopLevelControl: true}
	file, err := opts.Parse("f.star", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := instrument(file)
	prog, err := starlark.FileProgram(file, names.Has)
	if err != nil {
		t.Fatal(err)
	}
	globals, err := prog.Init(new(starlark.Thread), names)
	if err != nil {
		t.Fatal(err)
	}
	return func() uint64 {
		thread := new(starlark.Thread)
		if _, err := starlark.Call(thread, globals["f"], nil, nil); err != nil {
			t.Fatal(err)
		}
		return thread.Steps
	}
}

func TestInstrument(t *testing.T) {
	const text = `"""Nothing to run."""
def f():
    """Nor this."""
    total = 0
    for i, (a, [b]) in [(0, (1, [2])), (1, (3, [4]))]:
        if i == 1:
            total += a
        elif b:
            pass
        else:
            total = 100
    def g(x):
        if x:
            return 1
    g(0)
    return total
`
	want := []string{
		"enter 2", "statement 4", "statement 5",
		"turn 5 [i a b]", "statement 6", "statement 8", "statement 9",
		"turn 5 [i a b]", "statement 6", "statement 7",
		"statement 15", "enter 12", "statement 13", "end 12", "statement 16",
	}
	kinds := map[probe.Kind]string{probe.Statement: "statement", probe.Enter: "enter", probe.Turn: "turn", probe.End: "end"}
	var got []string
	var points []probe.Point
	var steps []uint64
	call := compile(t, text, func(file *syntax.File) (names starlark.StringDict) {
		points, names = probe.Instrument(file, starlark.StringDict{"unused": starlark.None}, func(thread *starlark.Thread, i int) {
			p := points[i]
			line := fmt.Sprint(kinds[p.Kind], " ", p.Line)
			if p.Vars != nil {
				line += fmt.Sprint(" ", p.Vars)
			}
			got = append(got, line)
			steps = append(steps, thread.Steps)
			if name := thread.CallFrame(1).Name; name != "f" && name != "g" {
				t.Errorf("frame 1 at %s is %s, want the function", line, name)
			}
		})
		if !names.Has("unused") {
			t.Error("the names that were given are missing")
		}
		return names
	})
	with := call()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("points passed (-want +got):\n%s", diff)
	}
	without := compile(t, text, func(*syntax.File) starlark.StringDict { return nil })()
	if with < without-2 || with > without+2 {
		t.Errorf("%d steps with probes, %d without", with, without)
	}
	if steps[0] != 0 || steps[1] != 0 {
		t.Errorf("steps at the first points = %v, want 0: nothing has run", steps[:2])
	}
	for i := 1; i < len(steps); i++ {
		if steps[i] < steps[i-1] {
			t.Errorf("steps go back: %v", steps)
		}
	}
}
