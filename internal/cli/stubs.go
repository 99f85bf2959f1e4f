package cli

import (
	"io"
	"os"

	"starplan/internal/reference"
)

type stubsCmd struct {
	Out string `placeholder:"FILE" help:"Write to a file, which is replaced, instead of standard output."`
}

// Help is shown below the flags.
func (stubsCmd) Help() string {
	return `The stub tells editors that understand Python what a plan finds without loading it: names, types
and documentation. Pyright and Pylance read it where it is called __builtins__.pyi and lies at the
root of the project; let them take *.star for Python. A comment tells them the types of plan():

  def plan(plan_input):
      # type: (PlanInput) -> PlanResult

Examples:

  starplan stubs --out __builtins__.pyi`
}

// Run writes the stub.
func (c *stubsCmd) Run(p Process) error {
	if c.Out == "" {
		_, err := io.WriteString(p.Stdout, reference.Stubs())
		return err
	}
	return os.WriteFile(c.Out, []byte(reference.Stubs()), 0o644)
}
