package plan

import (
	"cmp"
	"runtime/debug"
	"time"
)

// The limits that a zero field of [Limits] stands for.
const (
	// DefaultTimeout is five minutes.
	DefaultTimeout = 5 * time.Minute
	// StepsPerSecond turns a timeout into a step limit. So many steps take 0.05
	// to 0.3 s of plain work, so that the step limit strikes before the clock on a
	// machine three times slower too.
	StepsPerSecond = 20_000_000
	// DefaultMaxSteps is what DefaultTimeout gives.
	DefaultMaxSteps = uint64(DefaultTimeout/time.Second) * StepsPerSecond
	// DefaultMaxMemory is 256 MiB.
	DefaultMaxMemory = 256 << 20
	// DefaultMaxExecution is the largest record that Kafka's default of
	// max.message.bytes takes, less room for key and record header.
	DefaultMaxExecution = 1<<20 - 4096
)

// withDefaults fills the fields that are zero.
func (l Limits) withDefaults() Limits {
	l.MaxSteps = cmp.Or(l.MaxSteps, DefaultMaxSteps)
	l.Timeout = cmp.Or(l.Timeout, DefaultTimeout)
	l.MaxMemory = cmp.Or(l.MaxMemory, DefaultMaxMemory)
	l.MaxExecution = cmp.Or(l.MaxExecution, DefaultMaxExecution)
	return l
}

// interpreterModule is the module of the Starlark interpreter.
const interpreterModule = "go.starlark.net"

// InterpreterVersion names the version of the Starlark interpreter that is
// linked in, which step counts and the texts of evaluation errors depend on. It
// is "unknown" in a binary that was built without module information.
func InterpreterVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == interpreterModule {
			for dep.Replace != nil {
				dep = dep.Replace
			}
			return dep.Version
		}
	}
	return "unknown"
}
