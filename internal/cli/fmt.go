package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rogpeppe/go-internal/diff"

	"starplan/internal/format"
	"starplan/plan"
)

type fmtCmd struct {
	Paths []string `arg:"" name:"path" help:"Starlark files, or directories: all *.star below them; - is standard input."`

	Check bool `help:"Change nothing; list the files that would change, and exit with 1 where there are any."`
	Diff  bool `help:"Change nothing; show what would change, and exit with 1 where anything would."`
}

// Help is shown below the flags.
func (fmtCmd) Help() string {
	return `The layout is buildifier's. What a file means is never changed: nothing is moved, sorted or
renamed, and comments stay. A file that does not parse is left as it is, and the exit code is 1.

Examples:

  starplan fmt plans/
  starplan fmt --check plans/        in CI
  starplan fmt - < plan.star`
}

// Run formats every file; one that cannot be formatted does not keep the others
// from it.
func (c *fmtCmd) Run(p Process) error {
	if len(c.Paths) == 1 && c.Paths[0] == "-" {
		return c.filter(p)
	}
	files, err := starFiles(c.Paths, ".star")
	if err != nil {
		return usageError{err}
	}
	if len(files) == 0 {
		return usagef("no *.star files in %q", c.Paths)
	}
	failed := false
	for _, file := range files {
		changed, err := c.file(p, file)
		if err != nil {
			reportFormat(p, err)
		}
		failed = failed || err != nil || changed && (c.Check || c.Diff)
	}
	if failed {
		return errFailed
	}
	return nil
}

// filter formats standard input to standard output.
func (c *fmtCmd) filter(p Process) error {
	const name = "standard input"
	text, err := io.ReadAll(io.LimitReader(p.Stdin, maxInput))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	out, err := format.Source(name, text)
	if err != nil {
		reportFormat(p, err)
		return errFailed
	}
	if !c.Check && !c.Diff {
		_, err = p.Stdout.Write(out)
		return err
	}
	if c.show(p, name, text, out) {
		return errFailed
	}
	return nil
}

// file formats one file and reports whether its text changed, or would.
func (c *fmtCmd) file(p Process, name string) (changed bool, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	out, err := format.Source(name, text)
	if err != nil {
		return false, err
	}
	if c.Check || c.Diff {
		return c.show(p, name, text, out), nil
	}
	if bytes.Equal(text, out) {
		return false, nil
	}
	if err := replaceFile(name, out); err != nil {
		return false, err
	}
	fmt.Fprintln(p.Stdout, name)
	return true, nil
}

// show tells how a text would change and reports whether it would.
func (c *fmtCmd) show(p Process, name string, text, out []byte) bool {
	if bytes.Equal(text, out) {
		return false
	}
	if c.Diff {
		_, _ = p.Stdout.Write(diff.Diff(name, text, name+" (formatted)", out)) // As for any output.
	} else {
		fmt.Fprintln(p.Stdout, name)
	}
	return true
}

// reportFormat prints why a file was not formatted.
func reportFormat(p Process, err error) {
	var fault *plan.LoadError
	if errors.As(err, &fault) {
		fmt.Fprintln(p.Stderr, printable(fault.Error())) // It begins with the position.
		return
	}
	report(p.Stderr, err)
}
