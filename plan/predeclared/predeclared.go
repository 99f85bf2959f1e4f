// Package predeclared holds the names that a plan finds without loading
// anything:
//
//	PlanResult TaskResult StoredData ExecutionStatus   messages and the enum
//	struct                                             starlarkstruct's constructor
//	json math time                                     modules
//
// Everything here is deterministic: the same on every machine, at every time.
// That is why these modules differ from those of go.starlark.net/lib.
//
//   - time.now() is the record's timestamp, and an error while a plan is loaded.
//     All times are in UTC until told otherwise; zones come from the tz database
//     that is embedded here, never from the host; "Local" is refused.
//   - math holds only what gives the same result on every CPU. Functions as exp or
//     sin do not, and naming one is an error that says so.
//   - json writes and reads standard JSON, at most 64 levels deep and 16 MiB long,
//     with object keys sorted.
//
// A builtin whose work grows with its arguments charges the thread's step counter
// for it, before it does the work. So do those of Starlark's own builtins that need
// it, which are replaced for that: all any bytes dict enumerate fail float hash int
// list max min print repr reversed set sorted str tuple zip. Values are shared by all threads and immutable;
// what differs by run is bound to the thread with [Bind].
package predeclared

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"google.golang.org/protobuf/reflect/protoreflect"

	"starplan/plan/execution"
	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// Env is what a run gives to the predeclared names.
type Env struct {
	// Now is what time.now() gives; nil while a plan is loaded.
	Now *time.Time
	// MaxSteps is the thread's step limit, which builtins charge against.
	MaxSteps uint64
}

// envKey is the thread-local name of the Env.
const envKey = "starplan.env"

// Bind gives a thread its Env. It must be called before the thread runs.
func Bind(thread *starlark.Thread, env Env) {
	thread.SetLocal(envKey, &env)
}

// errSteps is what a builtin returns when it would exceed the step limit. Whoever
// runs the thread learns of it by OnMaxSteps, not by this text.
var errSteps = errors.New("step limit reached")

// charge counts n steps for work that a builtin is about to do. Where that
// reaches the limit, the thread is stopped as if it had taken the steps itself.
func charge(thread *starlark.Thread, n int) error {
	env, ok := thread.Local(envKey).(*Env)
	if !ok || n <= 0 {
		return nil
	}
	cost := uint64(n)
	if env.MaxSteps == 0 || thread.Steps+cost < env.MaxSteps {
		thread.Steps += cost
		return nil
	}
	thread.Steps = env.MaxSteps
	if thread.OnMaxSteps != nil {
		thread.OnMaxSteps(thread)
	} else {
		thread.Cancel(errSteps.Error())
	}
	return errSteps
}

// bytesPerStep is how much text one step stands for in builtins that read or
// write text. A plain step takes 5 to 30 ns, and so do so many bytes.
const bytesPerStep = 16

// CheckTaskName refuses the name of a task that consumers cannot store.
func CheckTaskName(name string) error {
	if !utf8.ValidString(name) {
		return errors.New("got a string that is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(name); n > execution.MaxName {
		return fmt.Errorf("got a name of %d characters, want at most %d", n, execution.MaxName)
	}
	return nil
}

// nextTaskNames is the field whose elements consumers limit in length.
const nextTaskNames = "starplan.v1.PlanResult.next_task_names"

// checkField refuses what consumers cannot store, where a script gives it.
func checkField(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if fd.FullName() == nextTaskNames {
		return CheckTaskName(v.String())
	}
	return nil
}

// values is made once: all of it is frozen and shared by all programs.
var values = sync.OnceValue(func() starlark.StringDict {
	d := starlark.StringDict{
		"PlanResult":      starlarkpb.Constructor((*planpb.PlanResult)(nil), checkField),
		"TaskResult":      starlarkpb.Constructor((*planpb.TaskResult)(nil)),
		"StoredData":      starlarkpb.Constructor((*planpb.StoredData)(nil)),
		"ExecutionStatus": starlarkpb.Enum(planpb.ExecutionStatus(0).Descriptor()),
		"struct":          starlark.NewBuiltin("struct", starlarkstruct.Make),
		"json":            jsonModule(),
		"math":            mathModule(),
		"time":            timeModule(),
	}
	maps.Copy(d, charged())
	d.Freeze()
	return d
})

// Values gives the predeclared names with their values. Nobody may change it.
func Values() starlark.StringDict { return values() }

// Has reports whether a name is predeclared.
func Has(name string) bool { return values().Has(name) }
