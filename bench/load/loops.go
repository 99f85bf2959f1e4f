package load

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// tryLoops are run tries times to learn how fast this machine is.
const (
	tryLoops = 300_000
	tries    = 3
)

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
	var took time.Duration
	for range tries {
		begin := time.Now()
		if _, err := starlark.ExecFileOptions(&syntax.FileOptions{}, &starlark.Thread{Name: "loops"}, "loops.star", fmt.Sprintf(source, tryLoops), nil); err != nil {
			return 0, fmt.Errorf("load: loops: %w", err)
		}
		took += time.Since(begin)
	}
	return int(float64(tries*tryLoops) * float64(d) / float64(took)), nil
}
