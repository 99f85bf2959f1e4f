// Package cli is the command line of starplan: one file a command.
//
// Standard output carries results, standard error everything else. The exit
// codes are the same everywhere: 0 is fine, 1 means findings or failures, 2
// means wrong usage or configuration.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"
)

// The exit codes.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 2
)

// Process is what a command knows of the process that it runs in.
type Process struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Reload delivers requests to read the plans again (SIGHUP).
	Reload <-chan os.Signal
}

// usageError is a mistake of the one who typed the command: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errFailed ends a command with exit code 1 where everything worth saying has
// been said already.
var errFailed = errors.New("failed")

type app struct {
	Run        runCmd        `cmd:"" help:"Run the service."`
	Dev        devCmd        `cmd:"" help:"Try plans with an embedded broker; needs no Kafka."`
	Exec       execCmd       `cmd:"" help:"Run a plan on inputs from files or a topic, and see what it does."`
	Check      checkCmd      `cmd:"" help:"Find mistakes in plans without running them on an input."`
	Fmt        fmtCmd        `cmd:"" help:"Format plans."`
	Test       testCmd       `cmd:"" help:"Run the tests of plans."`
	New        newCmd        `cmd:"" help:"Begin a plan: its file, its tests and inputs."`
	Stubs      stubsCmd      `cmd:"" help:"Write a Python stub of what plans find, for editors."`
	Send       sendCmd       `cmd:"" help:"Put a PlanInput on the topic."`
	Tail       tailCmd       `cmd:"" help:"Print executions as they come."`
	Doctor     doctorCmd     `cmd:"" help:"Check sandbox, plans, connection, topics, rights and group."`
	Health     healthCmd     `cmd:"" help:"Ask a running service whether it is ready."`
	Completion completionCmd `cmd:"" help:"Print a script that makes a shell complete commands."`
	Replay     replayCmd     `cmd:"" help:"Run a changed plan on recorded inputs and show what would differ."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

const description = `Starplan runs Starlark plans over Kafka: for each PlanInput on plan-inputs-{tenant} it
runs the plan that the record names and emits a PlanExecution on plan-executions-{tenant}.

Begin with "starplan dev": it needs no Kafka.`

// Main runs the command that the arguments name and gives the exit code. It ends
// soon after ctx does.
func Main(ctx context.Context, p Process) int {
	var a app
	parser, err := kong.New(&a,
		kong.Name("starplan"),
		kong.Description(description),
		kong.Writers(p.Stdout, p.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"version": version()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
	)
	if err != nil {
		fmt.Fprintf(p.Stderr, "starplan: %v\n", err)
		return ExitUsage
	}
	dropEmptyVariables(parser)
	args := p.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(p.Stderr, "starplan: %v\nTry: starplan --help\n", err)
		return ExitUsage
	}
	return exitCode(kctx.Run(), p.Stderr)
}

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errFailed):
		return ExitFailure
	case errors.As(err, &usage):
		report(stderr, err)
		return ExitUsage
	default:
		report(stderr, err)
		return ExitFailure
	}
}

// report prints an error; one that joins several gets a line for each.
func report(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "starplan: %s\n", line)
	}
}

// dropEmptyVariables makes an empty environment variable as good as none:
// deployment templates leave many of them.
func dropEmptyVariables(parser *kong.Kong) {
	for _, group := range parser.Model.Leaves(false) {
		for _, flags := range group.AllFlags(false) {
			for _, f := range flags {
				for _, name := range f.Envs {
					if v, ok := os.LookupEnv(name); ok && v == "" {
						_ = os.Unsetenv(name) // It fails for names that cannot be set.
					}
				}
			}
		}
	}
}

// version tells the program's version and the interpreter's, on which step
// counts depend.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "starplan (unknown build)"
	}
	interpreter := "unknown"
	for _, dep := range info.Deps {
		if dep.Path == "go.starlark.net" {
			interpreter = dep.Version
		}
	}
	return fmt.Sprintf("starplan %s (%s, go.starlark.net %s)", info.Main.Version, info.GoVersion, interpreter)
}

// isTerminal reports whether f, a reader or writer, is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
