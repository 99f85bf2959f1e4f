package load

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// tryLoops are run to learn how fast this machine is.
const tryLoops = 1_000_000

// Loops gives for Options.SlowLoops what burns about that long here and now, on a
// core of its own. Machines differ tenfold in this, and virtual ones change over a
// day; the loop is that of Plan.
func Loops(d time.Duration) (int, error) {
	const source = `
def burn(loops):
    total = 0
    for i in range(loops):
        total += i

burn(%d)
`
	thread := &starlark.Thread{Name: "loops"}
	begin := time.Now()
	if _, err := starlark.ExecFileOptions(&syntax.FileOptions{}, thread, "loops.star", fmt.Sprintf(source, tryLoops), nil); err != nil {
		return 0, fmt.Errorf("load: loops: %w", err)
	}
	return int(float64(tryLoops) * float64(d) / float64(time.Since(begin))), nil
}
